"""A refined shard and its dead letters in, the same with decided-again clips at their places out.

Clips that were refined before are copied as they are, with their records; the input shard is not read. The result is,
byte for byte, what rewriting the input by the new decisions would give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from avagent import storage
from avagent.core.clip import RECORD_SUFFIX, Clip, Member, content_hash
from avagent.core.errors import AVAgentError, ClipError, Failure
from avagent.core.state import ClipDecision, Outcome
from avagent.records.decisions import Provenance, clip_record, container_tag
from avagent.runs.dead_letters import DeadLetter, RecordLetters, TarLetters, open_letters_output, read_letters
from avagent.runs.repaired_clips import Repair, read_repairs, write_repairs
from avagent.runs.rewrite import EditClip, LateFailure, ShardReport
from avagent.shards.formats import ShardOptions, format_of
from avagent.shards.samples import Loose, Sample
from avagent.shards.tfrecord.examples import bytes_values
from avagent.shards.tfrecord.records import RECORD_FEATURE, RecordSample


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeOptions:
    """What merging needs besides the shard.

    Attributes:
        output: folder of the run.
        folder: where the new files go; not the same.
        edit: makes the repaired members of a clip.
        provenance: for the records of the clips that were decided again.
        reading: how shards are read.
    """

    output: str
    folder: str
    edit: EditClip
    provenance: Provenance
    reading: ShardOptions


def merge_shard(
    report: ShardReport, before: Sequence[ClipDecision], after: Sequence[ClipDecision], options: MergeOptions
) -> ShardReport:
    """Write refined shard, dead letters and repairs anew into `options.folder`; each appears whole or not at all.

    Args:
        report: of the shard as it is; its files lie in `options.output`.
        before: decisions of all its clips, as it is.
        after: the same clips as they shall be; only failed ones may have another decision.
        options: see there.

    Raises:
        OSError: reading or writing failed.
        AVAgentError: the files are not those of the report.
    """
    with ExitStack() as stack:
        output = open_letters_output(report.source, options.output, options.folder, stack)
        merger = _Merger(report, options, output)
        merger.run(sorted(before, key=_index), sorted(after, key=_index))
        merged = merger.report(len(after))
        written = output.end()
    write_repairs(options.folder, report.name, merger.repairs)
    if written is None:
        return merged
    url = storage.join(options.folder, report.name)
    return replace(merged, url=url, filesize=written.nbytes, md5=written.md5)


def _index(decision: ClipDecision) -> int:
    return decision.ref.index


class _Merger:
    """One pass over a refined shard and its dead letters."""

    def __init__(self, report: ShardReport, options: MergeOptions, output: TarLetters | RecordLetters) -> None:
        self._report = report
        self._options = options
        self._output = output
        self._samples = self._iter_samples()
        self._next: Any = next(self._samples, None)
        self._repaired = {(r.key, r.source_sha256): r for r in read_repairs(options.output, report.name)}
        self._outcomes: Counter[Outcome] = Counter()
        self._late: list[LateFailure] = []
        self._end = 0
        self._passed = 0
        self.repairs: list[Repair] = []

    def run(self, before: Sequence[ClipDecision], after: Sequence[ClipDecision]) -> None:
        letters = read_letters(self._options.output, self._report.source, before, self._options.reading)
        if self._report.url is not None or any(decision.failure is None for decision in after):
            self._output.begin()
        for old, new in zip(before, after, strict=True):
            if old.ref.index != new.ref.index:
                raise self._mismatch(f"two decisions are for the clips {old.ref.index} and {new.ref.index}")
            if old.failure is None:
                self._pass_loose(None)
                self._carry_clip(new)
            else:
                letter = next(letters)
                self._pass_before(letter, old)
                self._letter(letter, new)
            self._end = old.ref.offset + old.ref.length
        self._pass_loose(None)
        if self._next is not None:
            raise self._mismatch("it holds more clips")
        for letter in letters:
            raise self._mismatch(f"{letter.name!r} is a dead letter too many")

    def report(self, total: int) -> ShardReport:
        errors = self._outcomes[Outcome.FAILED]
        if self._outcomes.total() != total:
            raise self._mismatch(f"{total} clips were decided on, {self._outcomes.total()} written")
        return ShardReport(
            name=self._report.name,
            source=self._report.source,
            url=None,
            outcomes=tuple((outcome, self._outcomes[outcome]) for outcome in Outcome if self._outcomes[outcome]),
            nsamples=total - errors,
            filesize=0,
            md5="",
            errors=errors,
            late_failures=tuple(self._late),
        )

    def _iter_samples(self) -> Iterator[Any]:
        if self._report.url is not None:
            url = storage.join(self._options.output, self._report.name)
            yield from format_of(url).iter_samples(url, self._options.reading)

    def _mismatch(self, how: str) -> AVAgentError:
        return AVAgentError(
            f"{self._report.name} in {self._options.output} is not what its decisions say: {how}; refine it again"
        )

    def _pass_before(self, letter: DeadLetter, decision: ClipDecision) -> None:
        """The entries between samples that lay before a clip that failed.

        Letters of earlier versions do not tell how many. The room before the clip does, unless it is that between two
        archives that were joined.
        """
        if letter.loose_before is not None:
            self._pass_loose(letter.loose_before - self._passed)
            return
        room = decision.ref.offset - self._end
        while isinstance(self._next, Loose) and room > 0:
            room -= self._next.entry.length
            self._pass_loose(1)

    def _pass_loose(self, count: int | None) -> None:
        """Entries between samples keep their places; None: all that come next."""
        while isinstance(self._next, Loose) and (count is None or count > 0):
            count = None if count is None else count - 1
            self._output.pass_on(self._next)
            self._passed += 1
            self._next = next(self._samples, None)

    def _carry_clip(self, decision: ClipDecision) -> None:
        """A clip that was refined before, as it is."""
        sample = self._next
        if not isinstance(sample, (Sample, RecordSample)) or sample.key != decision.ref.key:
            raise self._mismatch(f"the clip {decision.ref.key!r} is not where it should be")
        start = self._output.position()
        self._output.keep(sample, {}, _record_of(sample))  # type: ignore[arg-type]
        repaired = self._repaired.get((decision.ref.key, decision.ref.content_sha256))
        end = self._output.position()
        if repaired is not None and start is not None and end is not None:
            self.repairs.append(replace(repaired, offset=start, length=end - start))
        self._outcomes[decision.outcome] += 1
        self._next = next(self._samples, None)

    def _letter(self, letter: DeadLetter, decision: ClipDecision) -> None:
        """A clip that failed before, and is well now, or failed again."""
        failure = decision.failure
        sample = letter.sample
        replaced: dict[str, Member] = {}
        if failure is None and sample is None:
            raise self._mismatch(f"the dead letter of {decision.ref.key!r} is no clip")
        if failure is None and sample is not None and decision.actions:
            try:
                members = self._options.edit(decision.ref, sample.clip(), decision.actions)
                replaced = {member.name: member for member in members}
            except ClipError as error:
                failure = error.failure()
                self._late.append(LateFailure(index=decision.ref.index, failure=failure))
        if failure is not None or sample is None:
            self._fail_again(letter, failure)
            return
        self._outcomes[decision.outcome] += 1
        start = self._output.position() if replaced else None
        record = clip_record(decision, self._options.provenance)
        self._output.keep(sample, {n: m.data for n, m in replaced.items()}, record)  # type: ignore[arg-type]
        end = self._output.position() if replaced else None
        if start is not None and end is not None:
            tag = container_tag(decision.actions, self._options.provenance)
            self.repairs.append(_repair(decision, sample.clip(), replaced, (start, end), tag))

    def _fail_again(self, letter: DeadLetter, failure: Failure | None) -> None:
        """The letter as it is; a clip that can be read by now, and failed at something else, as a clip."""
        self._outcomes[Outcome.FAILED] += 1
        reason = failure or letter.decision.failure
        if reason is None:
            raise self._mismatch(f"the dead letter of {letter.decision.ref.key!r} has no reason")
        if letter.sample is not None and reason != letter.decision.failure:
            self._output.reject(letter.sample, letter.decision.ref, reason)  # type: ignore[arg-type]
        else:
            self._output.carry(letter, reason)


def _repair(
    decision: ClipDecision, clip: Clip, replaced: Mapping[str, Member], place: tuple[int, int], tag: str
) -> Repair:
    return Repair(
        key=decision.ref.key,
        source_sha256=decision.ref.content_sha256,
        actions=decision.actions,
        members=tuple(replaced),
        offset=place[0],
        length=place[1] - place[0],
        content_sha256=content_hash(tuple(replaced.get(member.name, member) for member in clip.members)),
        tag=tag,
    )


def _record_of(sample: Sample | RecordSample) -> bytes:
    """The record (JSON) that a refined clip carries."""
    if isinstance(sample, RecordSample):
        feature = sample.example.get(RECORD_FEATURE)
        values = bytes_values(feature) if feature is not None else ()
        return values[0] if values else b""
    member = sample.clip().get(RECORD_SUFFIX)
    return member.data if member is not None else b""
