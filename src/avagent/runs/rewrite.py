"""One shard and its decisions in, one refined shard and its dead letters out.

What becomes of each clip is here; how it is written is its format's :class:`ShardOutput`: clips that stay as they are,
and all but the repaired media, are copied verbatim. One sample is in memory at a time. Nothing in the output depends on
when or where it was written: running again gives the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from avagent import storage
from avagent.core.actions import Action
from avagent.core.clip import Clip, ClipRef, Member, content_hash
from avagent.core.errors import AVAgentError, ClipError, Failure, FailureReason, ParameterError, ShardError, Stage
from avagent.core.state import LEFT_AS_IT_IS, ClipDecision, Outcome
from avagent.records.decisions import Provenance, clip_record, container_tag
from avagent.runs.repaired_clips import EarlierShard, Repair, write_repairs
from avagent.shards.formats import DEFAULT_OPTIONS, ShardFormat, ShardOptions, format_of
from avagent.shards.output import ERRORS_FOLDER, ShardOutput
from avagent.shards.samples import BadSample, Loose

__all__ = ["ERRORS_FOLDER", "EditClip", "LateFailure", "RewriteOptions", "ShardReport", "fail", "rewrite_shard"]

EditClip = Callable[[ClipRef, Clip, tuple[Action, ...]], tuple[Member, ...]]
"""(ref, clip, actions) -> the members that replace those of the same name. Raises ClipError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LateFailure:
    """A clip that was decided, but could not be written: its decision becomes `failed`.

    Attributes:
        index: of the clip.
        failure: why.
        left: whether the clip stays as it is instead: nothing is wrong with it, but something would be lost.
    """

    index: int
    failure: Failure
    left: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReport:
    """What became of a shard: small, since it travels.

    Attributes:
        name: file name of the shard, the same in and out.
        source: URL of the input shard.
        url: of the refined shard; None: none of its clips was decided on, nothing was written.
        outcomes: (outcome, number of clips) of all decided clips, in the order of the outcomes.
        nsamples: clips in the refined shard.
        filesize: in bytes.
        md5: of the refined shard.
        errors: clips in the dead-letter shard.
        late_failures: decisions that this phase turned into failures.
        decisions: digest of the decisions that it was written by, see `records.decisions_digest`; empty: not known.
        undecided: clips of the input shard that have no decision, and are in neither shard.
    """

    name: str
    source: str
    url: str | None
    outcomes: tuple[tuple[Outcome, int], ...]
    nsamples: int
    filesize: int
    md5: str
    errors: int
    late_failures: tuple[LateFailure, ...] = ()
    decisions: str = ""
    undecided: int = 0

    @property
    def clips(self) -> int:
        """All decided clips: those in the refined shard and the dead letters."""
        return self.nsamples + self.errors

    def amend(self, decisions: Iterable[ClipDecision]) -> Iterator[ClipDecision]:
        """The shard's final decisions: those given, with the late failures put in."""
        late = {failed.index: failed for failed in self.late_failures}
        for decision in decisions:
            found = late.get(decision.ref.index)
            yield decision if found is None else (leave if found.left else fail)(decision, found.failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriteOptions:
    """What rewriting needs besides the shard.

    Attributes:
        output: the output folder.
        edit: makes the repaired members of a clip.
        provenance: for the clips' records.
        reading: how the shard is read.
        earlier: a refined shard whose repaired clips are taken as they are, where bytes and actions are the same; it
            may be the one that is written anew.
    """

    output: str
    edit: EditClip
    provenance: Provenance
    reading: ShardOptions = DEFAULT_OPTIONS
    earlier: EarlierShard | None = None


def fail(decision: ClipDecision, failure: Failure) -> ClipDecision:
    """The decision of a clip that failed after all; what was found out about it stays on record."""
    return replace(decision, outcome=Outcome.FAILED, reason=str(failure.reason), actions=(), failure=failure)


def leave(decision: ClipDecision, failure: Failure) -> ClipDecision:
    """The decision of a clip whose repair cannot be written without loss: it stays as it is."""
    return replace(decision, outcome=Outcome.UNCHANGED, reason=str(failure.reason), actions=(), remark=failure.message)


def rewrite_shard(shard: str, decisions: Iterable[ClipDecision], options: RewriteOptions) -> ShardReport:
    """Write the refined shard and, if a clip failed, the dead-letter shard; each appears whole or not at all.

    Decisions are matched by index. A clip without one is left out, as if the shard were shorter (`--limit`). A clip
    whose bytes are no longer those that were decided on fails. Where the repaired clips lie is written to
    :func:`avagent.runs.repaired_clips.repairs_url`.

    Raises:
        OSError: reading or writing failed; nothing is left half written.
        ParameterError: two decisions for one clip that differ, or `edit` answered with a member that the clip has not.
    """
    name = storage.basename(shard)
    pending = _by_index(decisions, shard)
    total = len(pending)
    shard_format = format_of(shard)
    with ExitStack() as stack:
        output = shard_format.open_output(shard, options.output, stack)
        rewriter = _Rewriter(shard, pending, options, shard_format, output)
        rewriter.run()
        report = rewriter.report(name, total)
        written = output.end()
    if report.errors == 0:
        output.remove_letters()
    write_repairs(options.output, name, rewriter.repairs)
    if written is None:
        return report
    return replace(report, url=storage.join(options.output, name), filesize=written.nbytes, md5=written.md5)


class _Rewriter:
    """One pass over a shard."""

    def __init__(
        self,
        shard: str,
        pending: dict[int, ClipDecision],
        options: RewriteOptions,
        shard_format: ShardFormat[Any],
        output: ShardOutput[Any],
    ) -> None:
        self._shard = shard
        self._pending = pending
        self._options = options
        self._format = shard_format
        self._output = output
        self._outcomes: Counter[Outcome] = Counter()
        self._late: list[LateFailure] = []
        self._undecided = 0
        self.repairs: list[Repair] = []

    def run(self) -> None:
        if not self._pending:
            self._undecided = self._samples()
            if self._undecided:
                return
        self._output.begin()
        for item in self._items():
            if isinstance(item, Loose):
                self._output.pass_on(item)
            elif (decision := self._pending.pop(item.index, None)) is None:
                self._undecided += 1
            elif isinstance(item, BadSample):
                self._bad(item, decision)
            else:
                self._sample(item, decision)
        for index in sorted(self._pending):
            self._missing(self._pending[index])

    def report(self, name: str, total: int) -> ShardReport:
        errors = self._outcomes[Outcome.FAILED]
        report = ShardReport(
            name=name,
            source=self._shard,
            url=None,
            outcomes=tuple((outcome, self._outcomes[outcome]) for outcome in Outcome if self._outcomes[outcome]),
            nsamples=self._outcomes.total() - errors,
            filesize=0,
            md5="",
            errors=errors,
            late_failures=tuple(self._late),
            undecided=self._undecided,
        )
        if report.clips != total:
            raise AVAgentError(f"{self._shard}: {total} clips were decided on, {report.clips} written")
        return report

    def _samples(self) -> int:
        items = self._format.iter_samples(self._shard, self._options.reading)
        return sum(not isinstance(item, Loose) for item in items)

    def _items(self) -> Iterator[Any]:
        """What the shard holds; a shard that could not be read when it was decided on may still be unreadable."""
        try:
            yield from self._format.iter_samples(self._shard, self._options.reading)
        except OSError:
            if not all(_was_unreadable(decision) for decision in self._pending.values()):
                raise

    def _sample(self, sample: Any, decision: ClipDecision) -> None:
        clip: Clip = sample.clip()
        ref: ClipRef = sample.ref(self._shard, clip)
        replaced: dict[str, Member] = {}
        failure = decision.failure
        if failure is None and (ref.content_sha256, ref.key) != (decision.ref.content_sha256, decision.ref.key):
            failure = self._turn(decision, _changed(decision, "holds other bytes now"))
        if failure is None and decision.actions:
            try:
                replaced = self._edited(ref, clip, decision.actions)
            except ClipError as error:
                left = error.reason in LEFT_AS_IT_IS
                failure = self._turn(decision, error.failure(), left=left)
                if left:
                    decision, failure = leave(decision, failure), None
        if failure is not None:
            self._outcomes[Outcome.FAILED] += 1
            self._output.reject(sample, decision.ref, failure)
            return
        self._outcomes[decision.outcome] += 1
        start = self._output.position() if replaced else None
        contents = {name: member.data for name, member in replaced.items()}
        self._output.keep(sample, contents, clip_record(decision, self._options.provenance))
        end = self._output.position() if replaced else None
        if start is not None and end is not None:
            tag = container_tag(decision.actions, self._options.provenance)
            self.repairs.append(_repair(ref, clip, decision.actions, replaced, (start, end), tag))

    def _edited(self, ref: ClipRef, clip: Clip, actions: tuple[Action, ...]) -> dict[str, Member]:
        tag = container_tag(actions, self._options.provenance)
        earlier = self._options.earlier.members(ref, actions, tag) if self._options.earlier is not None else None
        members = earlier if earlier is not None else self._options.edit(ref, clip, actions)
        replaced = {member.name: member for member in members}
        if unknown := sorted(set(replaced) - {member.name for member in clip.members}):
            raise ParameterError(
                f"the edit of clip {ref.key!r} gave members that the clip has not: {', '.join(unknown)}"
            )
        return replaced

    def _bad(self, bad: BadSample, decision: ClipDecision) -> None:
        failure = decision.failure
        if failure is None:
            failure = self._turn(decision, _changed(decision, f"can no longer be read: {bad.failure.message}"))
        self._outcomes[Outcome.FAILED] += 1
        self._output.reject_bad(bad, failure)

    def _missing(self, decision: ClipDecision) -> None:
        """What was decided on is gone; its key may belong to another sample by now."""
        failure = decision.failure
        unique = failure is not None and decision.ref.index == 0
        if failure is None:
            failure = self._turn(decision, _changed(decision, "is no longer there"))
        self._outcomes[Outcome.FAILED] += 1
        self._output.reject_missing(decision.ref, failure, unique=unique)

    def _turn(self, decision: ClipDecision, failure: Failure, *, left: bool = False) -> Failure:
        self._late.append(LateFailure(index=decision.ref.index, failure=failure, left=left))
        return failure


def _repair(
    ref: ClipRef,
    clip: Clip,
    actions: tuple[Action, ...],
    replaced: Mapping[str, Member],
    place: tuple[int, int],
    tag: str,
) -> Repair:
    refined = tuple(replaced.get(member.name, member) for member in clip.members)
    return Repair(
        key=ref.key,
        source_sha256=ref.content_sha256,
        actions=actions,
        members=tuple(replaced),
        offset=place[0],
        length=place[1] - place[0],
        content_sha256=content_hash(refined),
        tag=tag,
    )


def _by_index(decisions: Iterable[ClipDecision], shard: str) -> dict[int, ClipDecision]:
    found: dict[int, ClipDecision] = {}
    for decision in decisions:
        index = decision.ref.index
        if (decision.failure is None) == (decision.outcome == Outcome.FAILED):
            raise ParameterError(
                f"{shard}: the decision {decision.outcome} for clip {decision.ref.key!r} does not go with its failure"
                f" {decision.failure}"
            )
        if found.setdefault(index, decision) != decision:
            raise ParameterError(f"{shard}: two different decisions for clip {decision.ref.key!r} at index {index}")
    return found


def _was_unreadable(decision: ClipDecision) -> bool:
    return decision.failure is not None and decision.failure.reason == FailureReason.UNREADABLE_SHARD


def _changed(decision: ClipDecision, how: str) -> Failure:
    message = f"clip {decision.ref.key!r} of {decision.ref.shard} {how}; decide again"
    return ShardError(message, reason=FailureReason.CHANGED_SINCE_LISTED, stage=Stage.WRITE).failure()
