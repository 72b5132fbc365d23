"""The clips of shards as a mapping: key to clip."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from html import escape
from itertools import islice

from avagent.api.clip import Clip
from avagent.api.tools import Tools
from avagent.core.clip import ClipRef
from avagent.core.errors import Failure
from avagent.pipelines.recipe import Recipe
from avagent.shards.formats import read_shard
from avagent.shards.listing import list_shards
from avagent.shards.samples import BadSample

_SHOWN = 20


def open_clips(source: str, *, recipe: str | Recipe = "embedded") -> Clips:
    """The clips of shards, refined or not, in either format.

    Args:
        source: folder of shards, glob, brace pattern, shard or shard list, wherever fsspec reaches.
        recipe: whose models caption, plan and score, and by which shards are read: name, YAML file, or one loaded by
            `load_recipe`.

    Raises:
        UsageError: nothing matched.
        RecipeError: the recipe cannot be used.
    """
    return Clips(source, list_shards(source), Tools(recipe))


class Clips(Mapping[str, Clip]):
    """Key to clip. Shards are read from end to end as far as it takes to find a key; what was passed is remembered.

    Of several clips of one key the first is meant.

    Attributes:
        shards: their URLs.
        bad: key of each sample that cannot be used, as far as shards were read, and why.
    """

    def __init__(self, source: str, shards: list[str], tools: Tools) -> None:
        self._source = source
        self._tools = tools
        self.shards = tuple(shards)
        self.bad: dict[str, Failure] = {}
        self._known: dict[str, ClipRef] = {}
        self._walk = self._refs()

    def _refs(self) -> Iterator[str]:
        """The keys that are met for the first time, one after the other."""
        for shard in self.shards:
            for item in read_shard(shard, self._tools.shards):
                if isinstance(item, BadSample):
                    self.bad.setdefault(item.key, item.failure)
                elif item.ref.key not in self._known:
                    self._known[item.ref.key] = item.ref
                    yield item.ref.key

    def __getitem__(self, key: str) -> Clip:
        if key not in self._known and not any(found == key for found in self._walk):
            why = f" (it cannot be used: {self.bad[key].message})" if key in self.bad else ""
            near = difflib.get_close_matches(key, self._known, n=3)
            hint = f"; near are {', '.join(near)}" if near else ""
            raise KeyError(f"no clip {key!r} in {self._source}{why}{hint}")
        return Clip(self._known[key], self._tools)

    def __iter__(self) -> Iterator[str]:
        place = 0
        while True:
            while place < len(self._known):
                # Dictionaries keep their order, and nothing is taken out of this one.
                yield from islice(list(self._known), place, None)
                place = len(self._known)
            if next(self._walk, None) is None and place == len(self._known):
                return

    def __len__(self) -> int:
        for _ in self._walk:
            pass
        return len(self._known)

    def __repr__(self) -> str:
        return f"Clips({self._source!r}, {len(self.shards)} shards)"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(key)}</td><td>{escape(self._known[key].shard)}</td>"
            f"<td style='text-align:right'>{self._known[key].length:,}</td></tr>"
            for key in islice(self, _SHOWN)
        )
        head = f"<p>{escape(repr(self))}, the first {_SHOWN}:</p>" if len(self._known) >= _SHOWN else ""
        return f"{head}<table><tr><th>key</th><th>shard</th><th>bytes</th></tr>{rows}</table>"
