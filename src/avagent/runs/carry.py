"""A shard of the previous run taken over whole: copied where it lies, without a byte of media being read."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pydantic_core import from_json

from avagent import storage
from avagent.core.state import PASSING_REASONS, Outcome
from avagent.records.changes import ShardChanges, write_changes
from avagent.records.decisions import decisions_digest, write_decisions
from avagent.records.manifest import decisions_url
from avagent.runs.previous import Earlier
from avagent.runs.repaired_clips import repairs_url
from avagent.runs.rewrite import ERRORS_FOLDER, ShardReport
from avagent.runs.shard_reports import read_report, write_report
from avagent.shards.tfrecord.output import ERRORS_SUFFIX


def carry_over(shard: str, earlier: Earlier, output: str, *, decisions_only: bool = False) -> ShardReport | None:
    """Take over decisions, refined shard and dead letters; the report comes last, and tells that all is there.

    Args:
        shard: URL of the input shard, which is the same file as in the previous run.
        earlier: where it was refined.
        output: the output folder.
        decisions_only: leave the refined shard.

    Returns:
        The shard's report. None, and nothing written, if it has to be decided on again: it is not known to be whole, or
        one of its clips failed for a reason that may have passed.

    Raises:
        OSError: storage failed.
    """
    found = _sound_report(shard, earlier)
    if found is None:
        return None
    report, text = found
    if not decisions_only:
        _copy_shard(report, earlier, output)
    write_changes(output, shard, ShardChanges(previous=earlier.shard, carried=True, reused=report.clips))
    report = _write_decisions(report, earlier, output, text)
    if not decisions_only:
        write_report(output, report)
    return report


def _sound_report(shard: str, earlier: Earlier) -> tuple[ShardReport, bytes] | None:
    """The earlier report, put right for this input, and its decisions; None: they do not agree with what is there."""
    if earlier.shard is None:
        return None
    try:
        report = read_report(earlier.output, earlier.shard)
        text = storage.read_bytes(decisions_url(earlier.output, earlier.shard))
        outcomes, passing = _tally(text)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if report is None or passing or outcomes != dict(report.outcomes):
        return None
    # Reasons name the shard where it was.
    if report.errors and shard != report.source:
        return None
    if report.url is not None and _size(report.url) != report.filesize:
        return None
    if report.errors and _size(storage.join(earlier.output, ERRORS_FOLDER, report.name)) is None:
        return None
    return replace(report, source=shard), text


def _tally(decisions: bytes) -> tuple[dict[Outcome, int], bool]:
    """Outcomes, and whether one failed for a reason that may have passed. Raises ValueError, KeyError, TypeError."""
    outcomes: Counter[Outcome] = Counter()
    passing = False
    for line in decisions.splitlines():
        record: Any = from_json(line)
        outcomes[Outcome(record["outcome"])] += 1
        failure: Any = record["failure"]
        passing = passing or (failure is not None and failure["reason"] in PASSING_REASONS)
    return dict(outcomes), passing


def _copy_shard(report: ShardReport, earlier: Earlier, output: str) -> None:
    if report.errors:
        for name in (report.name, f"{report.name}.{ERRORS_SUFFIX}"):
            with suppress(FileNotFoundError):
                storage.copy(
                    storage.join(earlier.output, ERRORS_FOLDER, name), storage.join(output, ERRORS_FOLDER, name)
                )
    if report.url is not None:
        copied = storage.copy(report.url, storage.join(output, report.name))
        if copied != report.filesize:
            raise OSError(f"{report.url}: copied {copied} bytes of {report.filesize}: it changed meanwhile; run again")
    with suppress(FileNotFoundError):
        storage.copy(repairs_url(earlier.output, report.name), repairs_url(output, report.name))


def _write_decisions(report: ShardReport, earlier: Earlier, output: str, text: bytes) -> ShardReport:
    """As they are, or for the shard's new place; gives the report that goes with them."""
    target = decisions_url(output, report.source)
    first: Any = from_json(text.split(b"\n", 1)[0] or b"null")
    if first is None or first["ref"]["shard"] == report.source:
        storage.write_bytes(target, text)
        return report
    decisions = [replace(d, ref=replace(d.ref, shard=report.source)) for d in earlier.decisions()]
    write_decisions(target, decisions)
    return replace(report, decisions=decisions_digest(decisions))


def _size(url: str) -> int | None:
    try:
        return storage.size(url)
    except FileNotFoundError:
        return None
