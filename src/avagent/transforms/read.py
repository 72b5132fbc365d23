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
from avagent.runs.decision_parts import read_parts
from avagent.runs.known_clips import KnownClips
from avagent.runs.run_plan import ShardTask
from avagent.shards.formats import DEFAULT_OPTIONS, ShardOptions, read_shard
from avagent.shards.samples import BadSample, LoadedClip
from avagent.transforms.metrics import NAMESPACE, note_moment
from avagent.transforms.store import StoreConfig, process_store

STATES = "states"
REUSED = "reused"
RESUMED = "resumed"


def read_states(task: ShardTask, store: MediaStore, options: ShardOptions = DEFAULT_OPTIONS) -> Iterator[ClipState]:
    """One state a clip; what cannot be worked on has failed already."""
    for item in islice(read_shard(task.url, options), task.clips):
        if isinstance(item, LoadedClip):
            store.put(item.ref, item.clip)
        yield _state(item)


def _state(item: LoadedClip | BadSample) -> ClipState:
    return ClipState(ref=item.ref, failure=item.failure if isinstance(item, BadSample) else None)


class ReadShards(beam.PTransform):
    """Read every shard in one pass, each wherever there is a free worker.

    Args:
        store: of the workers.
        output: the output folder.
        parts: folder of the run whose decisions so far are taken up; None: none are.
    """

    def __init__(self, store: StoreConfig, output: str, parts: str | None = None) -> None:
        super().__init__()
        self._store = store
        self._output = output
        self._parts = parts

    def expand(self, tasks: PCollection[ShardTask]) -> dict[str, PCollection[Any]]:
        """ShardTask -> `states` to work on, `reused` decisions of the previous run, and `resumed` ones of this."""
        spread: Any = tasks | "Spread" >> beam.Reshuffle()
        read = beam.FlatMap(_read, store=self._store, output=self._output, parts=self._parts)
        outputs: Any = spread | "Read" >> read.with_outputs(REUSED, RESUMED, main=STATES)
        return {name: outputs[name] for name in (STATES, REUSED, RESUMED)}


def _read(task: ShardTask, store: StoreConfig, output: str, parts: str | None) -> Iterator[ClipState | TaggedOutput]:
    note_moment("decide")
    media = process_store(store)
    kept = read_parts(parts, task.url) if parts is not None else {}
    known = KnownClips(task.earlier) if task.earlier is not None else None
    for item in islice(read_shard(task.url, store.shards), task.clips):
        found = known.meet(item) if known is not None else _state(item)
        if isinstance(found, ClipDecision):
            Metrics.counter(NAMESPACE, "clips_reused").inc()
            yield TaggedOutput(REUSED, found)
        elif (decision := kept.get(item.ref)) is not None:
            Metrics.counter(NAMESPACE, "clips_resumed").inc()
            yield TaggedOutput(RESUMED, decision)
        else:
            if isinstance(item, LoadedClip):
                media.put(item.ref, item.clip)
            yield found
    if known is not None:
        write_changes(output, task.url, known.changes(complete=task.clips is None))
