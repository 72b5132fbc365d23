"""Dead letters to decisions, and decided letters back into their shards."""

# Beam calls the argument of `expand` input_or_inputs; here it is named after what it holds.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection, TaggedOutput

from avagent import storage
from avagent.core.errors import AVAgentError, FailureReason
from avagent.core.state import ClipDecision, ClipState
from avagent.dsp.threads import run_one_thread
from avagent.media.store import MediaStore
from avagent.records.decisions import decisions_digest, read_decisions, write_decisions
from avagent.records.manifest import decisions_url, write_manifest
from avagent.runs.dead_letters import letters_url, read_letters
from avagent.runs.merge import MergeOptions, merge_shard
from avagent.runs.previous import Earlier, Part
from avagent.runs.rewrite import ShardReport
from avagent.runs.run_plan import ShardTask
from avagent.runs.shard_reports import read_report, write_report
from avagent.shards.formats import ShardOptions
from avagent.storage.retries import configure
from avagent.transforms.decisions import DecideShards
from avagent.transforms.loop import Loop
from avagent.transforms.metrics import NAMESPACE, count_retries
from avagent.transforms.progress import report_progress
from avagent.transforms.refine import DecideClips
from avagent.transforms.store import StoreConfig, process_store
from avagent.transforms.write import ApplyDecisions, ApplyTarget, repaired_members


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayTask:
    """The dead letters of a shard.

    Attributes:
        shard: URL of the input shard; it is not read.
        output: folder of the run.
        folder: where new decisions and files go.
        reasons: which letters are meant; none: all.
        source: where the shard is read again, since what failed is not among its dead letters; None: they are enough.
    """

    shard: str
    output: str
    folder: str
    reasons: tuple[FailureReason, ...] = ()
    source: str | None = None


def is_meant(decision: ClipDecision, reasons: tuple[FailureReason, ...]) -> bool:
    """Whether a clip failed, and for one of these reasons."""
    return decision.failure is not None and (not reasons or decision.failure.reason in reasons)


def is_changed(output: str, folder: str, shard: str) -> bool:
    """Whether the decisions in the folder of a replay are other than those of the run. Raises OSError."""
    return list(read_decisions(decisions_url(output, shard))) != list(read_decisions(decisions_url(folder, shard)))


class ReplayShards(beam.PTransform):
    """Dead letters decided on again, and merged into their shards as soon as those are, in the folder of the replay.

    What an interrupted replay did is not done again.

    Args:
        loop: for deciding.
        target: where files go.
        output: folder of the run.
    """

    def __init__(self, loop: Loop, target: ApplyTarget, output: str) -> None:
        super().__init__()
        self._loop = loop
        self._target = target
        self._output = output

    def expand(self, tasks: PCollection[ReplayTask]) -> PCollection[ShardReport]:
        """ReplayTask -> reports of the shards that changed."""
        names = {"output": self._output, "folder": self._target.output}
        todo: Any = tasks | "Todo" >> beam.FlatMap(_todo).with_outputs(*_Todo)
        letters: Any = todo[_Todo.LETTERS] | "Letters" >> DecideLetters(self._loop)
        shards: Any = todo[_Todo.SHARD] | "Decide" >> DecideShards(self._loop, self._target.output)
        merged: Any = (
            (letters, todo[_Todo.MERGE])
            | "DecidedLetters" >> beam.Flatten()
            | "ChangedLetters" >> beam.Filter(lambda task: is_changed(shard=task.shard, **names))
            | "Merge" >> MergeLetters(self._target)
        )
        applied: Any = (
            (shards, todo[_Todo.APPLY])
            | "DecidedShards" >> beam.Flatten()
            | "ChangedShards" >> beam.Filter(lambda task: is_changed(shard=task.url, **names))
            | "WithRepairs" >> beam.Map(_with_repairs, output=self._output)
            | "Apply" >> ApplyDecisions(self._target)
        )
        reports: Any = (merged, applied) | "Reports" >> beam.Flatten()
        return reports


class _Todo(StrEnum):
    LETTERS = "letters"
    SHARD = "shard"
    MERGE = "merge"
    APPLY = "apply"


def _todo(task: ReplayTask) -> Iterator[TaggedOutput]:
    if read_report(task.folder, task.shard) is not None:
        return
    decided = storage.exists(decisions_url(task.folder, task.shard))
    if task.source is None:
        yield TaggedOutput(_Todo.MERGE if decided else _Todo.LETTERS, task)
    elif decided:
        yield TaggedOutput(_Todo.APPLY, ShardTask(url=task.source))
    else:
        yield TaggedOutput(_Todo.SHARD, ShardTask(url=task.source, earlier=_without_letters(task)))


def _without_letters(task: ReplayTask) -> Earlier:
    """For a shard that is read again: all its clips but the letters that are meant are decided already."""
    kept = storage.join(task.folder, "kept")
    # Clips are looked up in other shards as well: there are none.
    write_manifest(kept, (), fingerprint="")
    known = read_decisions(decisions_url(task.output, task.shard))
    write_decisions(decisions_url(kept, task.shard), (d for d in known if not is_meant(d, task.reasons)))
    return Earlier(output=kept, shard=storage.basename(task.shard), holds=frozenset(Part))


def _with_repairs(task: ShardTask, output: str) -> ShardTask:
    """What the run repaired is taken from its shard."""
    return ShardTask(
        url=task.url, earlier=Earlier(output=output, shard=storage.basename(task.url), holds=frozenset({Part.REPAIRS}))
    )


def letter_states(task: ReplayTask, store: MediaStore, options: ShardOptions) -> Iterator[ClipState]:
    """One state for each letter that is a clip."""
    decisions = list(read_decisions(decisions_url(task.output, task.shard)))
    others = {decision.ref.key for decision in decisions if decision.failure is None}
    for letter in read_letters(task.output, task.shard, decisions, options):
        if letter.sample is None or letter.place is None or not is_meant(letter.decision, task.reasons):
            continue
        taken = letter.sample.key in others
        others.add(letter.sample.key)
        failure = letter.decision.failure
        if taken or (failure is not None and failure.reason is FailureReason.DUPLICATE_KEY):
            continue
        store.put(letter.place, letter.sample.clip())
        yield ClipState(ref=letter.place)


def replayed_decisions(task: ReplayTask, found: Iterable[ClipDecision]) -> list[ClipDecision]:
    """The decisions of the whole shard, those on letters put in where they are other than before."""
    by_index = {decision.ref.index: decision for decision in found}
    after: list[ClipDecision] = []
    for before in read_decisions(decisions_url(task.output, task.shard)):
        now = by_index.get(before.ref.index)
        if now is None or (now.failure is not None and before.failure is not None and _same(before, now)):
            after.append(before)
        else:
            after.append(_home(before, now))
    return after


def _same(before: ClipDecision, now: ClipDecision) -> bool:
    """Whether it failed again for the same reason: then its message, which may name the shard, stays."""
    return (before.failure and before.failure.reason) == (now.failure and now.failure.reason)


def _home(before: ClipDecision, now: ClipDecision) -> ClipDecision:
    """A decision on a dead letter as one on the clip in its own shard."""
    return replace(now, ref=replace(before.ref, key=now.ref.key, content_sha256=now.ref.content_sha256))


class DecideLetters(beam.PTransform):
    """Dead letters to decision files of their shards in the folder of the task."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def expand(self, tasks: PCollection[ReplayTask]) -> PCollection[ReplayTask]:
        """ReplayTask -> the same, once the shard's decisions are written."""
        spread: Any = tasks | "Spread" >> beam.Reshuffle()
        states = spread | "ReadLetters" >> beam.FlatMap(_read, store=self._loop.store)
        decided: Any = states | "DecideClips" >> DecideClips(self._loop) | "KeyByShard" >> beam.Map(_keyed)
        listed: Any = tasks | "Listed" >> beam.Map(_listed)
        written: Any = (
            (decided, listed)
            | "WithTasks" >> beam.Flatten()
            | "GroupByShard" >> beam.GroupByKey()
            | "WriteDecisions" >> beam.Map(_write)
        )
        return written


def _read(task: ReplayTask, store: StoreConfig) -> Iterator[ClipState]:
    yield from letter_states(task, process_store(store), store.shards)


def _keyed(decision: ClipDecision) -> tuple[str, ClipDecision | ReplayTask]:
    return decision.ref.shard, decision


def _listed(task: ReplayTask) -> tuple[str, ClipDecision | ReplayTask]:
    return letters_url(task.output, task.shard), task


def _write(grouped: tuple[str, Iterable[ClipDecision | ReplayTask]]) -> ReplayTask:
    found = list(grouped[1])
    task = next(item for item in found if isinstance(item, ReplayTask))
    decisions = [item for item in found if isinstance(item, ClipDecision)]
    write_decisions(decisions_url(task.folder, task.shard), replayed_decisions(task, decisions))
    return task


def merge_letters(task: ReplayTask, target: ApplyTarget) -> ShardReport:
    """Write a shard's files anew into the task's folder, by the decisions there, and their report.

    Raises:
        OSError: reading or writing failed.
        AVAgentError: the shard is not what its report and decisions say.
    """
    report = read_report(task.output, task.shard)
    if report is None:
        raise AVAgentError(f"{task.output} has no report of {task.shard}: refine it again")
    before = list(read_decisions(decisions_url(task.output, task.shard)))
    after = list(read_decisions(decisions_url(task.folder, task.shard)))
    options = MergeOptions(
        output=task.output,
        folder=task.folder,
        edit=partial(repaired_members, target=target),
        provenance=target.provenance,
        reading=target.shards,
    )
    merged = replace(merge_shard(report, before, after, options), decisions=decisions_digest(after))
    write_report(task.folder, merged)
    return merged


class MergeLetters(beam.PTransform):
    """Decided letters back into their shards, in the folder of the task."""

    def __init__(self, target: ApplyTarget) -> None:
        super().__init__()
        self._target = target

    def expand(self, tasks: PCollection[ReplayTask]) -> PCollection[ShardReport]:
        """ReplayTask -> ShardReport."""
        reports: Any = tasks | "Spread" >> beam.Reshuffle() | "MergeShard" >> beam.Map(_merge, target=self._target)
        return reports


def _merge(task: ReplayTask, target: ApplyTarget) -> ShardReport:
    run_one_thread()
    configure(target.shards.storage)
    with count_retries():
        report = merge_letters(task, target)
    Metrics.counter(NAMESPACE, "shards_written").inc()
    report_progress(target.progress, "written", report.filesize)
    return report
