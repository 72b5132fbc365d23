"""Whether an output folder is what its own records say, checked by reading all of it: after copying, or years later.

Shard by shard: bytes against the index, samples against the manifest's rows, each clip against its record and hashes,
dead letters against the decisions that failed. One sample of each of a few shards is in memory at a time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from itertools import groupby
from typing import Any, cast

import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]

from avagent import storage
from avagent.core.clip import Clip, ClipRef, content_hash
from avagent.core.errors import AVAgentError, UsageError
from avagent.core.state import Outcome
from avagent.records.decisions import read_decisions
from avagent.records.manifest import CLIPS_FILE, decisions_url, manifest_url
from avagent.runs.commit import INDEX_FILE, SUCCESS_FILE
from avagent.runs.dead_letters import letters_url, read_letters
from avagent.runs.repaired_clips import read_repairs
from avagent.shards.formats import DEFAULT_OPTIONS, ShardOptions, is_shard, read_shard
from avagent.shards.record_member import record_of
from avagent.shards.samples import BadSample
from avagent.storage.concurrent import ordered_map

_pq: Any = pq  # pyarrow carries no types

_BLOCK_BYTES = 1 << 20
_COLUMNS = ("key", "shard", "content_sha256", "outcome", "actions")


class Fault(StrEnum):
    """What is not as it is recorded."""

    UNFINISHED = "unfinished"
    INDEX = "index"
    MISSING = "missing"
    SIZE = "size"
    CHECKSUM = "checksum"
    UNREADABLE = "unreadable"
    COUNT = "count"
    RECORD = "record"
    CONTENT = "content"
    LETTERS = "letters"
    UNLISTED = "unlisted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong, and where: a shard's name (empty: the folder), a clip's key (empty: all of the shard)."""

    fault: Fault
    message: str
    shard: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardCheck:
    """What was found of a shard.

    Attributes:
        shard: its name.
        clips: samples that were read; rows of the manifest where nothing was read.
        nbytes: its size.
        letters: clips among the dead letters.
        problems: in the order that they were found.
    """

    shard: str
    clips: int = 0
    nbytes: int = 0
    letters: int = 0
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """How to look.

    Attributes:
        read: whether shards are read; if not, only sizes and counts are compared.
        shards: how they are read.
        threads: shards looked at side by side.
    """

    read: bool = True
    shards: ShardOptions = DEFAULT_OPTIONS
    threads: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What the manifest says of a clip."""

    key: str
    content_sha256: str
    outcome: str
    actions: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A shard to look at: its entry in the index, and the manifest's rows; None: there is none."""

    name: str
    entry: Mapping[str, Any] | None
    rows: tuple[_Row, ...] | None


def verify_output(output: str, options: VerifyOptions) -> Iterator[ShardCheck]:
    """Look at everything in an output folder of `refine`, `ingest` or `convert`; the folder itself is the last.

    Raises:
        UsageError: there is no index.
        OSError: storage failed, other than by not having a file.
    """
    index = _read_index(output)
    run = _read_run(output)
    seen: set[str] = set()
    clips = letters = 0
    jobs = _jobs(output, index, seen)
    for check in ordered_map(partial(_check, output, options=options), jobs, requests=options.threads):
        clips, letters = clips + check.clips, letters + check.letters
        yield check
    yield ShardCheck(shard="", problems=tuple(_folder_problems(output, index, seen, run, (clips, letters))))


def _read_index(output: str) -> dict[str, Mapping[str, Any]]:
    url = storage.join(output, INDEX_FILE)
    try:
        found = json.loads(storage.read_text(url))
        return {storage.basename(str(entry["url"])): entry for entry in found["shardlist"]}
    except FileNotFoundError as error:
        raise UsageError(
            f"{output} has no {INDEX_FILE}: it is no finished output of refine, ingest or convert"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{url} is not a wids index (an object with a 'shardlist' of 'url's)") from error


def _read_run(output: str) -> Mapping[str, Any]:
    try:
        found = json.loads(storage.read_text(manifest_url(output, "run.json")))
    except (FileNotFoundError, ValueError):
        return {}
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _jobs(output: str, index: Mapping[str, Mapping[str, Any]], seen: set[str]) -> Iterator[_Job]:
    """Every shard of manifest and index once; the manifest's rows lie shard by shard."""
    if has_manifest := storage.exists(manifest_url(output, CLIPS_FILE)):
        for name, rows in groupby(_rows(output), key=lambda pair: pair[0]):
            seen.add(name)
            yield _Job(name=name, entry=index.get(name), rows=tuple(row for _, row in rows))
    for name in sorted(index.keys() - seen):
        yield _Job(name=name, entry=index[name], rows=() if has_manifest else None)


def _rows(output: str) -> Iterator[tuple[str, _Row]]:
    with storage.open_read(manifest_url(output, CLIPS_FILE)) as file:
        for batch in _pq.ParquetFile(file).iter_batches(columns=list(_COLUMNS)):
            for row in batch.to_pylist():
                yield str(row.pop("shard")), _Row(**row)


def _folder_problems(
    output: str, index: Mapping[str, Any], seen: set[str], run: Mapping[str, Any], found: tuple[int, int]
) -> Iterator[Problem]:
    if not storage.exists(storage.join(output, SUCCESS_FILE)):
        yield Problem(fault=Fault.UNFINISHED, message=f"there is no {SUCCESS_FILE}: the run did not come to its end")
    for url in storage.list_folder(output):
        name = storage.basename(url)
        if is_shard(name) and not storage.is_temporary(url) and name not in index:
            yield Problem(fault=Fault.UNLISTED, shard=name, message="the shard is not in the index")
    counts = run.get("counts", {})
    for name, count in zip(("clips_in_shards", "clips_in_errors"), found, strict=True):
        if name in counts and counts[name] != count:
            yield Problem(fault=Fault.COUNT, message=f"run.json tells of {counts[name]} {name}, there are {count}")
    if seen and "shards" in counts and counts["shards"] != len(index):
        yield Problem(
            fault=Fault.INDEX, message=f"run.json tells of {counts['shards']} shards, the index of {len(index)}"
        )


def _check(output: str, job: _Job, options: VerifyOptions) -> ShardCheck:
    failed = [] if job.rows is None else [row for row in job.rows if row.outcome == Outcome.FAILED]
    kept = None if job.rows is None else [row for row in job.rows if row.outcome != Outcome.FAILED]
    check = _Shard(output, job.name, options)
    clips = len(kept or ())
    if job.entry is None:
        if kept:
            check.tell(Fault.INDEX, f"the manifest has {clips} clips of it, the index does not know it")
    else:
        clips = check.shard(job.entry, kept)
    if kept is not None:
        check.letters(len(failed))
    nbytes = 0 if job.entry is None else int(job.entry.get("filesize", 0))
    return ShardCheck(shard=job.name, clips=clips, nbytes=nbytes, letters=len(failed), problems=tuple(check.problems))


@dataclass(slots=True)
class _Shard:
    """One shard while it is looked at."""

    output: str
    name: str
    options: VerifyOptions
    problems: list[Problem] = field(default_factory=list["Problem"])

    def tell(self, fault: Fault, message: str, key: str = "") -> None:
        self.problems.append(Problem(fault=fault, shard=self.name, key=key, message=message))

    def shard(self, entry: Mapping[str, Any], rows: Sequence[_Row] | None) -> int:
        """Its bytes and its samples; gives the number of samples."""
        url = storage.join(self.output, self.name)
        expected = int(entry.get("nsamples", 0))
        if rows is not None and len(rows) != expected:
            self.tell(Fault.COUNT, f"the index tells of {expected} clips, the manifest of {len(rows)}")
        try:
            nbytes = storage.size(url)
            if nbytes != entry.get("filesize"):
                self.tell(Fault.SIZE, f"{nbytes} bytes, the index tells of {entry.get('filesize')}")
            if not self.options.read:
                return expected
            if (found := _md5(url)) != entry.get("md5sum"):
                self.tell(Fault.CHECKSUM, f"MD5 {found}, the index tells of {entry.get('md5sum')}")
            return self._samples(url, expected, rows)
        except FileNotFoundError:
            self.tell(Fault.MISSING, "the shard is not there")
        except OSError as error:
            self.tell(Fault.UNREADABLE, str(error))
        return 0

    def _samples(self, url: str, expected: int, rows: Sequence[_Row] | None) -> int:
        repairs = {} if rows is None else self._repairs()
        count = 0
        for item in read_shard(url, self.options.shards):
            if isinstance(item, BadSample):
                self.tell(Fault.UNREADABLE, item.failure.message, item.key)
            elif rows is not None and count < len(rows):
                self._clip(item.clip, item.ref, rows[count], repairs)
            count += 1
        if count != expected:
            self.tell(Fault.COUNT, f"{count} clips, the index tells of {expected}")
        return count

    def _repairs(self) -> dict[tuple[str, str], str]:
        """By key and hash of the source, the hash of the repaired clip."""
        try:
            return {(r.key, r.source_sha256): r.content_sha256 for r in read_repairs(self.output, self.name)}
        except AVAgentError as error:
            self.tell(Fault.RECORD, str(error))
            return {}

    def _clip(self, clip: Clip, ref: ClipRef, row: _Row, repairs: Mapping[tuple[str, str], str]) -> None:
        try:
            record = json.loads(record_of(clip))
        except ValueError:
            self.tell(Fault.RECORD, "the clip carries no record, or one that cannot be read", ref.key)
            return
        told = {
            "key": row.key,
            "content_sha256": row.content_sha256,
            "outcome": row.outcome,
            "actions": json.loads(row.actions),
        }
        if other := [name for name, value in told.items() if record.get(name) != value]:
            self.tell(Fault.RECORD, f"record and manifest differ in {', '.join(other)}", row.key)
            return
        repaired = row.outcome == Outcome.IMPROVED
        expected = repairs.get((row.key, row.content_sha256)) if repaired else row.content_sha256
        if expected is None:
            self.tell(Fault.RECORD, "the clip was repaired, and no hash of the result is on record", row.key)
        elif content_hash(clip.members) != expected:
            how = "was written by the repair" if repaired else "came in"
            self.tell(Fault.CONTENT, f"the clip's bytes are not those that {how}", row.key)

    def letters(self, failed: int) -> None:
        """The dead letters: as many as the manifest has failed clips."""
        url = letters_url(self.output, self.name)
        if not failed:
            if storage.exists(url):
                self.tell(Fault.LETTERS, "there are dead letters, and the manifest has no failed clip")
            return
        if not storage.exists(url):
            self.tell(Fault.LETTERS, f"the manifest has {failed} failed clips, and there are no dead letters")
            return
        if not self.options.read:
            return
        try:
            decisions = list(read_decisions(decisions_url(self.output, self.name)))
            count = sum(1 for _ in read_letters(self.output, self.name, decisions, self.options.shards))
        except (AVAgentError, OSError, ValueError, KeyError) as error:
            self.tell(Fault.LETTERS, f"the dead letters cannot be read: {error}")
            return
        if count != failed:
            self.tell(Fault.LETTERS, f"{count} dead letters, the manifest has {failed} failed clips")


def _md5(url: str) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with storage.open_read(url) as source:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def total(checks: Iterable[ShardCheck], most: int) -> tuple[ShardCheck, int]:
    """All checks as one, with so many of the problems at most; and how many problems there are."""
    whole, count, shards = ShardCheck(shard=""), 0, 0
    for check in checks:
        count += len(check.problems)
        shards += bool(check.shard)
        whole = replace(
            whole,
            clips=whole.clips + check.clips,
            nbytes=whole.nbytes + check.nbytes,
            letters=whole.letters + check.letters,
            problems=whole.problems + check.problems[: most - len(whole.problems)],
        )
    return replace(whole, shard=str(shards)), count
