"""Shards to clip states, by reference; the media goes to the worker's store as it streams by."""

# Beam calls the argument of `expand` input_or_inputs; here it is named after what it holds.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection

from avagent.core.state import ClipState
from avagent.io.media_store import MediaStore
from avagent.io.samples import BadSample
from avagent.io.shard_format import DEFAULT_OPTIONS, ShardOptions, read_shard
from avagent.transforms.store import StoreConfig, process_store


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTask:
    """A shard to work on.

    Attributes:
        url: of the shard.
        clips: only so many of its first clips; None: all.
    """

    url: str
    clips: int | None = None


def read_states(task: ShardTask, store: MediaStore, options: ShardOptions = DEFAULT_OPTIONS) -> Iterator[ClipState]:
    """One state a clip; what cannot be worked on has failed already."""
    for item in islice(read_shard(task.url, options), task.clips):
        if isinstance(item, BadSample):
            yield ClipState(ref=item.ref, failure=item.failure)
        else:
            store.put(item.ref, item.clip)
            yield ClipState(ref=item.ref)


class ReadShards(beam.PTransform):
    """Read every shard in one pass, each wherever there is a free worker."""

    def __init__(self, store: StoreConfig) -> None:
        super().__init__()
        self._store = store

    def expand(self, tasks: PCollection[ShardTask]) -> PCollection[ClipState]:
        """ShardTask -> ClipState."""
        states: Any = tasks | "Spread" >> beam.Reshuffle() | "Read" >> beam.FlatMap(_read, store=self._store)
        return states


def _read(task: ShardTask, store: StoreConfig) -> Iterator[ClipState]:
    yield from read_states(task, process_store(store), store.shards)
