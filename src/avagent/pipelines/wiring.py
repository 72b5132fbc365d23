"""From a recipe to ports and the loop that uses them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from avagent import __version__
from avagent.io.records import Provenance
from avagent.models.registry import build_captioner, build_planner, build_scorer
from avagent.pipelines.recipe import Recipe
from avagent.transforms.loop import Loop, PortLoader
from avagent.transforms.store import StoreConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Wired:
    """A recipe, ready to run.

    Attributes:
        recipe: what was asked for.
        models: fingerprint of each port.
        loop: for the decide phase.
        provenance: for the records.
    """

    recipe: Recipe
    models: Mapping[str, str]
    loop: Loop
    provenance: Provenance


def wire(recipe: Recipe) -> Wired:
    """Build the ports of a recipe once, here, so that what is missing shows before any worker starts.

    Raises:
        RecipeError: an unknown implementation or option.
        MissingModelError: weights or packages are not installed.
    """
    captioner = partial(build_captioner, recipe.captioner.name, dict(recipe.captioner.options))
    planner = partial(build_planner, recipe.planner.name, dict(recipe.planner.options))
    scorer = partial(build_scorer, recipe.scorer.name, dict(recipe.scorer.options))
    scoring = scorer()
    models = {
        "captioner": captioner().fingerprint,
        "planner": planner().fingerprint,
        "scorer": scoring.fingerprint,
    }
    loop = Loop(
        captioner=PortLoader(captioner),
        planner=PortLoader(planner),
        scorer=PortLoader(scorer),
        policy=recipe.loop_policy(scoring.margins),
        allowed=recipe.allowed,
        store=StoreConfig(max_bytes=recipe.worker.cache_mib << 20, run=uuid.uuid4().hex, shards=recipe.shard_options()),
        max_batch=recipe.worker.max_batch,
    )
    provenance = Provenance(
        recipe=recipe.name, fingerprint=recipe.fingerprint(models), models=models, version=__version__
    )
    return Wired(recipe=recipe, models=models, loop=loop, provenance=provenance)
