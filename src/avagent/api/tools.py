"""What works on clips: the store that decodes and edits them, and a recipe's models, each made when first needed."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

from avagent.core.ports import Captioner, Planner, Scorer
from avagent.dsp.threads import run_one_thread
from avagent.media.decoder_process import process_decoder
from avagent.media.store import MediaStore
from avagent.pipelines.recipe import Recipe, load_recipe
from avagent.shards.formats import ShardOptions, read_clip
from avagent.storage.retries import configure

if TYPE_CHECKING:
    from avagent.pipelines.wiring import Wired


class Tools:
    """A recipe at work in this process.

    Args:
        recipe: name of a shipped one, path of a YAML file, or a recipe that was loaded.
    """

    def __init__(self, recipe: str | Recipe = "embedded") -> None:
        self.recipe = load_recipe(recipe) if isinstance(recipe, str) else recipe
        self.shards: ShardOptions = self.recipe.shard_options()

    @cached_property
    def store(self) -> MediaStore:
        """Clips by reference, decoded, edited and measured on demand."""
        run_one_thread()  # As in a run: sums depend on how many threads make them.
        configure(self.shards.storage)
        return MediaStore(
            max_bytes=self.recipe.worker.cache_mib << 20,
            read_clip=partial(read_clip, options=self.shards),
            limits=self.shards.media,
            decoder=process_decoder(self.shards.decoding),
        )

    @cached_property
    def wired(self) -> Wired:
        """The recipe with its models. Raises MissingModelError, RecipeError."""
        from avagent.pipelines.wiring import wire  # noqa: PLC0415  (it loads Beam: two seconds that a look saves)

        return wire(self.recipe)

    @property
    def captioner(self) -> Captioner:
        """The recipe's."""
        return self.wired.loop.captioner()

    @property
    def planner(self) -> Planner:
        """The recipe's."""
        return self.wired.loop.planner()

    @property
    def scorer(self) -> Scorer:
        """The recipe's, calibrated."""
        return self.wired.loop.scorer()
