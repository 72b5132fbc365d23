"""The files of `_ingest/`: what was looked at, as lines of JSON for the run and as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]
from pydantic import ConfigDict, TypeAdapter, ValidationError

from avagent import storage
from avagent.core.errors import ParameterError
from avagent.core.ingest import Checked, Unusable

INGEST_FOLDER = "_ingest"
STATE_FILE = "clips.jsonl"
FILES_FILE = "files.parquet"
UNUSABLE_FILE = "unusable.parquet"

# pyarrow carries no types
_pa: Any = pa
_pq: Any = pq
_CHECKED: TypeAdapter[tuple[Checked]] = TypeAdapter(tuple[Checked], config=ConfigDict(extra="forbid"))
_Columns = tuple[tuple[str, str, bool], ...]
_COMMON: _Columns = (
    ("url", "string", True),
    ("key", "string", False),
    ("seconds", "double", True),
    ("loudness", "double", True),
)
FILES_COLUMNS: _Columns = (
    *_COMMON,
    ("shard", "string", False),
    ("nbytes", "int64", False),
    ("content_sha256", "string", False),
    ("media_sha256", "string", False),
    ("flags", "string", False),
    ("labels", "string", True),
    ("start_seconds", "double", True),
    ("end_seconds", "double", True),
    ("cut", "string", False),
    ("cut_start_seconds", "double", True),
)
UNUSABLE_COLUMNS: _Columns = (
    *_COMMON,
    ("reason", "string", False),
    ("message", "string", False),
    ("dropped", "bool", False),
)
_ROWS_A_GROUP = 16_384


def ingest_url(output: str, *parts: str) -> str:
    """A file of `_ingest/`."""
    return storage.join(output, INGEST_FOLDER, *parts)


def write_checked(url: str, found: Iterable[Checked]) -> None:
    """One a line, in order. Atomic. Raises OSError."""
    with storage.atomic_write(url) as file:
        for checked in found:
            file.write(_CHECKED.dump_json((checked,))[1:-1] + b"\n")


def read_checked(url: str) -> Iterator[Checked]:
    """The inverse of :func:`write_checked`. Raises OSError, ParameterError."""
    with storage.open_read(url) as source:
        for number, line in enumerate(source, start=1):
            try:
                yield _CHECKED.validate_json(b"[" + line + b"]")[0]
            except ValidationError as error:
                raise ParameterError(f"{url}, line {number}, is not a checked clip: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A checked clip and the number of its shard; None: it is in none."""

    shard: int | None
    clip: Checked


_PLACED: TypeAdapter[tuple[Placed]] = TypeAdapter(tuple[Placed], config=ConfigDict(extra="forbid"))


def write_state(output: str, placed: Iterable[Placed]) -> None:
    """What the next ingest into this folder starts from: `_ingest/clips.jsonl`. Atomic. Raises OSError."""
    with storage.atomic_write(ingest_url(output, STATE_FILE)) as file:
        for item in placed:
            file.write(_PLACED.dump_json((item,))[1:-1] + b"\n")


def read_state(output: str) -> Iterator[Placed]:
    """The inverse; nothing if no ingest was finished there. Raises OSError, ParameterError."""
    url = ingest_url(output, STATE_FILE)
    if not storage.exists(url):
        return
    with storage.open_read(url) as source:
        for number, line in enumerate(source, start=1):
            try:
                yield _PLACED.validate_json(b"[" + line + b"]")[0]
            except ValidationError as error:
                raise ParameterError(f"{url}, line {number}, is not a placed clip: {error}") from error


def write_files_table(output: str, shards: Iterable[tuple[str, Iterable[Checked]]]) -> None:
    """`files.parquet`: one row a clip, in the order of the shards. Raises OSError."""
    rows = (_file_row(shard, clip) for shard, clips in shards for clip in clips)
    _write_table(ingest_url(output, FILES_FILE), FILES_COLUMNS, rows)


def write_unusable_table(output: str, found: Iterable[Checked]) -> None:
    """`unusable.parquet`: one row a reason; `dropped` is false for clips that were only flagged. Raises OSError."""
    _write_table(ingest_url(output, UNUSABLE_FILE), UNUSABLE_COLUMNS, (r for c in found for r in _unusable_rows(c)))


def _common_row(clip: Checked) -> dict[str, Any]:
    files = clip.candidate.files
    return {
        "url": files[0].url if files else None,
        "key": _text(clip.key),
        "seconds": clip.seconds,
        "loudness": clip.loudness,
    }


def _file_row(shard: str, clip: Checked) -> dict[str, Any]:
    segment = clip.candidate.segment
    return {
        **_common_row(clip),
        "shard": shard,
        "nbytes": clip.nbytes,
        "content_sha256": clip.content_sha256,
        "media_sha256": clip.media_sha256,
        "flags": ",".join(clip.flags),
        "labels": None if segment is None else ",".join(segment.labels),
        "start_seconds": None if segment is None else segment.start,
        "end_seconds": None if segment is None else segment.end,
        "cut": clip.cut,
        "cut_start_seconds": clip.start,
    }


def _unusable_rows(clip: Checked) -> Iterator[dict[str, Any]]:
    reasons: list[Unusable] = list(clip.flags)
    if clip.problem is not None and clip.problem not in reasons:
        reasons.append(clip.problem)
    for reason in reasons:
        yield {
            **_common_row(clip),
            "reason": str(reason),
            "message": _text(clip.message),
            "dropped": clip.problem is not None,
        }


def _text(value: str) -> str:
    """Names of files may hold bytes that are not UTF-8."""
    return value.encode("utf-8", "backslashreplace").decode()


def _write_table(url: str, columns: _Columns, rows: Iterable[dict[str, Any]]) -> None:
    schema = _pa.schema([_pa.field(name, _pa.type_for_alias(kind), nullable) for name, kind, nullable in columns])
    with storage.atomic_write(url) as file, _pq.ParquetWriter(file, schema, compression="zstd") as writer:
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append(row)
            if len(batch) >= _ROWS_A_GROUP:
                writer.write_table(_pa.Table.from_pylist(batch, schema=schema))
                batch = []
        if batch:
            writer.write_table(_pa.Table.from_pylist(batch, schema=schema))
