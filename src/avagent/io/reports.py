"""What became of a shard, as a small file beside its decisions: how workers report to the end of the run."""

from __future__ import annotations

from dataclasses import replace

from pydantic import ConfigDict, TypeAdapter, ValidationError

from avagent.core.errors import ParameterError
from avagent.io import storage
from avagent.io.manifest import MANIFEST_FOLDER, SHARDS_FOLDER
from avagent.io.rewrite import ShardReport

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


def remove_reports(output: str) -> None:
    """Forget what was written: every shard is to be written again."""
    storage.remove(storage.join(output, MANIFEST_FOLDER, SHARDS_FOLDER), recursive=True)
