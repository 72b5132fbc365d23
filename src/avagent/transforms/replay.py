"""Dead letters to decisions, and decided letters back into their shards."""

# Beam calls the argument of `expand` input_or_inputs; here it is named after what it holds.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection

from avagent.core.errors import AVAgentError, FailureReason
from avagent.core.state import ClipDecision, ClipState
from avagent.dsp.threads import run_one_thread
from avagent.media.store import MediaStore
from avagent.records.decisions import decisions_digest, read_decisions, write_decisions
from avagent.records.manifest import decisions_url
from avagent.runs.dead_letters import letters_url, read_letters
from avagent.runs.merge import MergeOptions, merge_shard
from avagent.runs.rewrite import ShardReport
from avagent.runs.shard_reports import read_report, write_report
from avagent.shards.formats import ShardOptions
from avagent.storage.retries import configure
from avagent.transforms.loop import Loop
from avagent.transforms.metrics import NAMESPACE, count_retries
from avagent.transforms.progress import report_progress
from avagent.transforms.refine import DecideClips
from avagent.transforms.store import StoreConfig, process_store
from avagent.transforms.write import ApplyTarget, repaired_members


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayTask:
    """The dead letters of a shard.

    Attributes:
        shard: URL of the input shard; it is not read.
        output: folder of the run.
        folder: where new decisions and files go.
        reasons: which letters are meant; none: all.
    """

    shard: str
    output: str
    folder: str
    reasons: tuple[FailureReason, ...] = ()


def is_meant(decision: ClipDecision, reasons: tuple[FailureReason, ...]) -> bool:
    """Whether a clip failed, and for one of these reasons."""
    return decision.failure is not None and (not reasons or decision.failure.reason in reasons)


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

    def expand(self, tasks: PCollection[ReplayTask]) -> PCollection[str]:
        """ReplayTask -> URL of the shard."""
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


def _write(grouped: tuple[str, Iterable[ClipDecision | ReplayTask]]) -> str:
    found = list(grouped[1])
    task = next(item for item in found if isinstance(item, ReplayTask))
    decisions = [item for item in found if isinstance(item, ClipDecision)]
    write_decisions(decisions_url(task.folder, task.shard), replayed_decisions(task, decisions))
    return task.shard


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
        edit=partial(repaired_members, audio_codec=target.audio_codec, shards=target.shards),
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
