"""One shard and its decisions in, one refined shard and its dead letters out.

Clips that stay as they are, and all members but the repaired one, are copied as verbatim tar blocks. One sample is in
memory at a time. Nothing in the output depends on when or where it was written: running again gives the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

from avagent.core.actions import Action
from avagent.core.clip import RECORD_SUFFIX, Clip, ClipRef, Member
from avagent.core.errors import AVAgentError, ClipError, Failure, FailureReason, ParameterError, ShardError, Stage
from avagent.core.state import ClipDecision, Outcome
from avagent.io import storage
from avagent.io.records import ERROR_SUFFIX, Provenance, clip_record, error_name, error_record, record_name
from avagent.io.samples import BadSample, Loose, Sample, safe_key, split_name
from avagent.io.storage import AtomicFile, Written
from avagent.io.tar_reader import DEFAULT_LIMITS, Entry, ShardLimits
from avagent.io.tar_writer import TarWriter
from avagent.io.webdataset import iter_samples

ERRORS_FOLDER = "_errors"
QUARANTINE_SUFFIX = "quarantine"

EditClip = Callable[[ClipRef, Clip, tuple[Action, ...]], tuple[Member, ...]]
"""(ref, clip, actions) -> the members that replace those of the same name. Raises ClipError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LateFailure:
    """A clip that was decided, but could not be written: its decision becomes `failed`."""

    index: int
    failure: Failure


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

    @property
    def clips(self) -> int:
        """All decided clips: those in the refined shard and the dead letters."""
        return self.nsamples + self.errors

    def amend(self, decisions: Iterable[ClipDecision]) -> Iterator[ClipDecision]:
        """The shard's final decisions: those given, with the late failures put in."""
        late = {failed.index: failed.failure for failed in self.late_failures}
        for decision in decisions:
            failure = late.get(decision.ref.index)
            yield decision if failure is None else fail(decision, failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriteOptions:
    """What rewriting needs besides the shard.

    Attributes:
        output: the output folder.
        edit: makes the repaired members of a clip.
        provenance: for the clips' records.
        limits: what a shard may claim.
    """

    output: str
    edit: EditClip
    provenance: Provenance
    limits: ShardLimits = DEFAULT_LIMITS


def fail(decision: ClipDecision, failure: Failure) -> ClipDecision:
    """The decision of a clip that failed after all; what was found out about it stays on record."""
    return replace(decision, outcome=Outcome.FAILED, reason=str(failure.reason), actions=(), failure=failure)


def rewrite_shard(shard: str, decisions: Iterable[ClipDecision], options: RewriteOptions) -> ShardReport:
    """Write the refined shard and, if a clip failed, the dead-letter shard; each appears whole or not at all.

    Decisions are matched by index. A clip without one is left out, as if the shard were shorter (`--limit`). A clip
    whose bytes are no longer those that were decided on fails.

    Raises:
        OSError: reading or writing failed; nothing is left half written.
        ParameterError: two decisions for one clip that differ, or `edit` answered with a member that the clip has not.
    """
    name = storage.basename(shard)
    letters_url = storage.join(options.output, ERRORS_FOLDER, name)
    pending = _by_index(decisions, shard)
    total = len(pending)
    with ExitStack() as stack:
        refined = _LazyTar(storage.join(options.output, name), stack)
        letters = _LazyTar(letters_url, stack)
        rewriter = _Rewriter(shard, pending, options, refined, letters)
        rewriter.run()
        report = rewriter.report(name, total)
        refined.end()
        letters.end()
    if report.errors == 0:
        storage.remove(letters_url)
    written = refined.written
    if written is None:
        return report
    return replace(report, url=refined.url, filesize=written.nbytes, md5=written.md5)


class _LazyTar:
    """A shard that is begun when there is something to write; it appears when the stack unwinds without an error."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self.url = url
        self._stack = stack
        self._file: AtomicFile | None = None
        self._tar: TarWriter | None = None

    def tar(self) -> TarWriter:
        if self._tar is None:
            self._file = self._stack.enter_context(storage.atomic_write(self.url))
            self._tar = TarWriter(self._file)
        return self._tar

    def end(self) -> None:
        if self._tar is not None:
            self._tar.close()

    @property
    def written(self) -> Written | None:
        return self._file.written if self._file is not None else None


class _Rewriter:
    """One pass over a shard."""

    def __init__(
        self,
        shard: str,
        pending: dict[int, ClipDecision],
        options: RewriteOptions,
        refined: _LazyTar,
        letters: _LazyTar,
    ) -> None:
        self._shard = shard
        self._pending = pending
        self._options = options
        self._refined = refined
        self._letters = letters
        self._outcomes: Counter[Outcome] = Counter()
        self._late: list[LateFailure] = []

    def run(self) -> None:
        if not self._pending and self._holds_samples():
            return
        self._refined.tar()
        for item in self._items():
            match item:
                case Loose(entry=entry):
                    _copy(self._refined.tar(), entry)
                case Sample() if decision := self._pending.pop(item.index, None):
                    self._sample(item, decision)
                case BadSample() if decision := self._pending.pop(item.index, None):
                    self._bad(item, decision)
                case _:
                    pass
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
        )
        if report.clips != total:
            raise AVAgentError(f"{self._shard}: {total} clips were decided on, {report.clips} written")
        return report

    def _holds_samples(self) -> bool:
        return any(not isinstance(item, Loose) for item in iter_samples(self._shard, self._options.limits))

    def _items(self) -> Iterator[Sample | BadSample | Loose]:
        """What the shard holds; a shard that could not be read when it was decided on may still be unreadable."""
        try:
            yield from iter_samples(self._shard, self._options.limits)
        except OSError:
            if not all(_was_unreadable(decision) for decision in self._pending.values()):
                raise

    def _sample(self, sample: Sample, decision: ClipDecision) -> None:
        clip = sample.clip()
        ref = sample.ref(self._shard, clip)
        replaced: dict[str, bytes] = {}
        failure = decision.failure
        if failure is None and (ref.content_sha256, ref.key) != (decision.ref.content_sha256, decision.ref.key):
            failure = self._turn(decision, _changed(decision, "holds other bytes now"))
        if failure is None and decision.actions:
            try:
                replaced = self._edited(ref, clip, decision.actions)
            except ClipError as error:
                failure = self._turn(decision, error.failure())
        if failure is not None:
            self._dead_letter(sample, failure)
            return
        self._outcomes[decision.outcome] += 1
        tar = self._refined.tar()
        for entry in sample.entries:
            if entry.name in replaced:
                tar.add(entry.name, replaced[entry.name])
            elif _suffix(entry) != RECORD_SUFFIX:
                _copy(tar, entry)
        tar.add(record_name(sample.key), clip_record(decision, self._options.provenance))

    def _edited(self, ref: ClipRef, clip: Clip, actions: tuple[Action, ...]) -> dict[str, bytes]:
        replaced = {member.name: member.data for member in self._options.edit(ref, clip, actions)}
        if unknown := sorted(set(replaced) - {member.name for member in clip.members}):
            raise ParameterError(
                f"the edit of clip {ref.key!r} gave members that the clip has not: {', '.join(unknown)}"
            )
        return replaced

    def _dead_letter(self, sample: Sample, failure: Failure) -> None:
        """The sample untouched, but for the reason of an earlier failure."""
        tar = self._letters.tar()
        for entry in sample.entries:
            if _suffix(entry) != ERROR_SUFFIX:
                _copy(tar, entry)
        self._explain(sample.key, failure)

    def _bad(self, bad: BadSample, decision: ClipDecision) -> None:
        failure = decision.failure
        if failure is None:
            failure = self._turn(decision, _changed(decision, f"can no longer be read: {bad.failure.message}"))
        key = safe_key(bad.ref, unique=bad.unique)
        tar = self._letters.tar()
        blocks = storage.iter_range(self._shard, bad.offset, bad.length)
        if bad.copyable:
            for block in blocks:
                tar.copy_raw(block)
        elif bad.length and bad.failure.reason != FailureReason.UNREADABLE_SHARD:
            tar.add_blocks(f"{key}.{QUARANTINE_SUFFIX}", bad.length, blocks)
        self._explain(key, failure)

    def _missing(self, decision: ClipDecision) -> None:
        """What was decided on is gone; its key may belong to another sample by now."""
        failure = decision.failure
        key = safe_key(decision.ref, unique=failure is not None and decision.ref.index == 0)
        if failure is None:
            failure = self._turn(decision, _changed(decision, "is no longer there"))
        self._explain(key, failure)

    def _explain(self, key: str, failure: Failure) -> None:
        self._letters.tar().add(error_name(key), error_record(failure))
        self._outcomes[Outcome.FAILED] += 1

    def _turn(self, decision: ClipDecision, failure: Failure) -> Failure:
        self._late.append(LateFailure(index=decision.ref.index, failure=failure))
        return failure


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


def _suffix(entry: Entry) -> str | None:
    parts = split_name(entry.name)
    return parts[1] if parts is not None else None


def _copy(tar: TarWriter, entry: Entry) -> None:
    tar.copy_raw(entry.header)
    tar.copy_raw(entry.data or b"")
    tar.copy_raw(entry.padding)
