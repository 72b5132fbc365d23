"""What became of a shard, as a small file beside its decisions: how workers report to the end of the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from pydantic import ConfigDict, TypeAdapter, ValidationError

from avagent import storage
from avagent.core.errors import ParameterError
from avagent.records.changes import CHANGES_SUFFIX
from avagent.records.decisions import decisions_digest, read_decisions
from avagent.records.manifest import MANIFEST_FOLDER, SHARDS_FOLDER, decisions_url
from avagent.runs.rewrite import ShardReport
from avagent.storage.concurrent import ordered_map

_REPORT: TypeAdapter[tuple[ShardReport]] = TypeAdapter(tuple[ShardReport], config=ConfigDict(extra="forbid"))


def report_url(output: str, shard: str) -> str:
    """Where a shard's report lies: `_manifest/shards/<shard name>.json`."""
    return storage.join(output, MANIFEST_FOLDER, SHARDS_FOLDER, f"{storage.basename(shard)}.json")


def write_report(output: str, report: ShardReport) -> None:
    """Write a shard's report, atomically; URLs in it are relative: the folder can be moved. Raises OSError."""
    kept = replace(report, url=report.url and report.name)
    storage.write_bytes(report_url(output, report.name), _REPORT.dump_json((kept,))[1:-1] + b"\n")


def read_report(output: str, shard: str) -> ShardReport | None:
    """A shard's report; None: it was not written yet.

    Raises:
        OSError: it cannot be read.
        ParameterError: it is not a report.
    """
    url = report_url(output, shard)
    try:
        text = storage.read_bytes(url)
    except FileNotFoundError:
        return None
    try:
        report = _REPORT.validate_json(b"[" + text + b"]")[0]
    except ValidationError as error:
        raise ParameterError(f"{url} is not the report of a shard: {error}") from error
    return replace(report, url=report.url and storage.join(output, report.name))


def read_reports(output: str, shards: Iterable[str]) -> Iterator[ShardReport | None]:
    """The reports of shards, in their order; several are read at once. Raises as :func:`read_report`."""
    return ordered_map(partial(read_report, output), shards)


def remove_stale_reports(output: str, shards: Iterable[str]) -> None:
    """Forget shards that were not written by their decisions as these are now: they are to be written again."""
    for shard, fresh in ordered_map(lambda shard: (shard, _is_fresh(output, shard)), shards):
        if not fresh:
            storage.remove(report_url(output, shard))


def _is_fresh(output: str, shard: str) -> bool:
    try:
        report = read_report(output, shard)
        return report is None or report.decisions == decisions_digest(read_decisions(decisions_url(output, shard)))
    except (FileNotFoundError, ParameterError):
        return False


def shards_reported(output: str) -> frozenset[str]:
    """Names of the shards that have a report, by one listing. Raises OSError."""
    names = storage.folder_sizes(storage.join(output, MANIFEST_FOLDER, SHARDS_FOLDER))
    reports = (name for name in names if name.endswith(".json") and not name.endswith(CHANGES_SUFFIX))
    return frozenset(name.removesuffix(".json") for name in reports)


def remove_reports(output: str) -> None:
    """Forget what was written: every shard is to be written again."""
    storage.remove(storage.join(output, MANIFEST_FOLDER, SHARDS_FOLDER), recursive=True)
