"""Which shard a clip goes to: by the hash of its key, and so that a grown corpus changes few shards.

Clips that were placed before stay where they are. New ones are put in the order of the SHA-256 of their keys and fill
the last shard, then shards of their own. A hash that picks one of N shards outright would be simpler, but 1% more clips
would then change nearly every shard of 1,000 clips (1 - e^-10 of them), and a nightly run would copy all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from avagent.core.errors import ParameterError


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A clip to be placed: its key and size in bytes."""

    key: str
    nbytes: int


def key_order(key: str) -> bytes:
    """What new clips are sorted by."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def place(items: Iterable[Item], before: Mapping[str, int], *, max_bytes: int, max_clips: int) -> dict[int, list[str]]:
    """Keys by the number of their shard, in the order of the shard.

    Args:
        items: all clips, keys unique.
        before: shard of the clips that were placed before, in the order of their shards.
        max_bytes, max_clips: what a shard holds at most, but at least one clip. A shard that outgrows them because its
            clips were replaced by larger ones is left together.

    Raises:
        ParameterError: two items of one key.
    """
    sizes: dict[str, int] = {}
    for item in items:
        if item.key in sizes:
            raise ParameterError(f"two clips with the key {item.key!r}")
        sizes[item.key] = item.nbytes
    shards: dict[int, list[str]] = {}
    for key, number in before.items():
        if key in sizes:
            shards.setdefault(number, []).append(key)
    number = max(before.values(), default=0)
    clips = len(shards.get(number, ()))
    nbytes = sum(sizes[key] for key in shards.get(number, ()))
    for key in sorted((key for key in sizes if key not in before), key=key_order):
        if clips and (clips >= max_clips or nbytes + sizes[key] > max_bytes):
            number, clips, nbytes = number + 1, 0, 0
        shards.setdefault(number, []).append(key)
        clips, nbytes = clips + 1, nbytes + sizes[key]
    return dict(sorted(shards.items()))
