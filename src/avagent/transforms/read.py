"""Shards to clip states, by reference; the media goes to the worker's store as it streams by."""

# Beam calls the argument of `expand` input_or_inputs; here it is named after what it holds.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection, TaggedOutput

from avagent.core.state import ClipDecision, ClipState
from avagent.media.store import MediaStore
from avagent.records.changes import write_changes
from avagent.runs.known_clips import KnownClips
from avagent.runs.run_plan import ShardTask
from avagent.shards.formats import DEFAULT_OPTIONS, ShardOptions, read_shard
from avagent.shards.samples import BadSample, LoadedClip
from avagent.transforms.metrics import NAMESPACE, note_moment
from avagent.transforms.store import StoreConfig, process_store

STATES = "states"
REUSED = "reused"


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

    def __init__(self, store: StoreConfig, output: str) -> None:
        super().__init__()
        self._store = store
        self._output = output

    def expand(self, tasks: PCollection[ShardTask]) -> dict[str, PCollection[Any]]:
        """ShardTask -> `states` to work on, and `reused` decisions of the previous run."""
        spread: Any = tasks | "Spread" >> beam.Reshuffle()
        read = beam.FlatMap(_read, store=self._store, output=self._output).with_outputs(REUSED, main=STATES)
        outputs: Any = spread | "Read" >> read
        return {STATES: outputs[STATES], REUSED: outputs[REUSED]}


def _read(task: ShardTask, store: StoreConfig, output: str) -> Iterator[ClipState | TaggedOutput]:
    note_moment("decide")
    media = process_store(store)
    if task.earlier is None:
        yield from read_states(task, media, store.shards)
        return
    known = KnownClips(task.earlier)
    for item in islice(read_shard(task.url, store.shards), task.clips):
        found = known.meet(item)
        if isinstance(found, ClipDecision):
            Metrics.counter(NAMESPACE, "clips_reused").inc()
            yield TaggedOutput(REUSED, found)
            continue
        if isinstance(item, LoadedClip):
            media.put(item.ref, item.clip)
        yield found
    write_changes(output, task.url, known.changes(complete=task.clips is None))
