"""Shards to clip states, by reference; the media goes to the worker's store as it streams by."""

# Beam calls the argument of `expand` input_or_inputs; here it is named after what it holds.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection, TaggedOutput

from avagent.core.state import ClipDecision, ClipState, resumed
from avagent.io.changes import ClipChange, EarlierClips, ShardChanges, clip_change, deleted, write_changes
from avagent.io.media_store import MediaStore
from avagent.io.previous import Earlier, Part
from avagent.io.samples import BadSample, LoadedClip
from avagent.io.shard_format import DEFAULT_OPTIONS, ShardOptions, read_shard
from avagent.transforms.metrics import NAMESPACE
from avagent.transforms.store import StoreConfig, process_store

STATES = "states"
REUSED = "reused"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTask:
    """A shard to work on.

    Attributes:
        url: of the shard.
        clips: only so many of its first clips; None: all.
        earlier: what the previous run offers for it.
        compared: whether there is a previous run; what changed since is written to the manifest then.
    """

    url: str
    clips: int | None = None
    earlier: Earlier | None = None
    compared: bool = False


def read_states(task: ShardTask, store: MediaStore, options: ShardOptions = DEFAULT_OPTIONS) -> Iterator[ClipState]:
    """One state a clip; what cannot be worked on has failed already."""
    for item in islice(read_shard(task.url, options), task.clips):
        if isinstance(item, BadSample):
            yield ClipState(ref=item.ref, failure=item.failure)
        else:
            store.put(item.ref, item.clip)
            yield ClipState(ref=item.ref)


class KnownClips:
    """The clips of a shard against those of the previous run: who is decided already, who starts with what is known.

    Args:
        earlier: what the previous run offers; None: nothing, every clip is new.
    """

    def __init__(self, earlier: Earlier | None) -> None:
        self._earlier = earlier
        self._known = EarlierClips(earlier.decisions() if earlier is not None else ())
        self._holds = earlier.holds if earlier is not None else frozenset[Part]()
        self._clips: list[ClipChange] = []
        self._reused = self._captions = self._scores = 0

    def meet(self, item: LoadedClip | BadSample) -> ClipState | ClipDecision:
        """The clip's recorded decision, at its place of now; or its state, with all that is known and still holds."""
        ref, known = item.ref, self._known.match(item.ref)
        same = known is not None and known.ref.content_sha256 == ref.content_sha256
        if known is not None and same and isinstance(item, BadSample) and known.failure == item.failure:
            self._reused += 1
            return ClipState(ref=ref, failure=item.failure)
        if known is not None and same and not isinstance(item, BadSample) and self._decided(known, ref.shard):
            self._reused += 1
            return replace(known, ref=ref)
        self._clips.append(clip_change(ref, known))
        if isinstance(item, BadSample):
            return ClipState(ref=ref, failure=item.failure)
        return self._resumed(item, known) if known is not None and same else ClipState(ref=ref)

    def changes(self, *, complete: bool) -> ShardChanges:
        """What changed; only of a complete shard it can be told which clips are gone."""
        gone = map(deleted, self._known.left()) if complete else ()
        return ShardChanges(
            previous=self._earlier.shard if self._earlier is not None else None,
            reused=self._reused,
            captions_reused=self._captions,
            scores_reused=self._scores,
            clips=(*self._clips, *gone),
        )

    def _decided(self, known: ClipDecision, shard: str) -> bool:
        """Whether its decision can be taken as it is; a failure tells of the shard where it was."""
        told = known.failure is None or known.ref.shard == shard
        return Part.DECISIONS in self._holds and known.settled and told

    def _resumed(self, item: LoadedClip, known: ClipDecision) -> ClipState:
        captions, scores = Part.CAPTIONS in self._holds, Part.SCORES in self._holds
        if not captions and not scores:
            return ClipState(ref=item.ref)
        state = resumed(item.ref, known, captions=captions, scores=scores)
        self._captions += state.captions is not None
        self._scores += state.history is not None
        return state


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
    media = process_store(store)
    if not task.compared:
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
