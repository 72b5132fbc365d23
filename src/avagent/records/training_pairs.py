"""Training pairs for a planner, as JSON lines: "(context description, action)" of the paper (section 3.1), and why."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from avagent import storage
from avagent.core.clip import Clip
from avagent.core.errors import ParameterError, UsageError
from avagent.core.ports import PlanRequest
from avagent.dsp.faults import Fault

SKIPPED = "skipped"
_CONFIG = ConfigDict(extra="forbid", strict=True, ser_json_inf_nan="constants")


class Split(StrEnum):
    """What a pair is for; decided by the recording that its clip comes from."""

    TRAIN = "train"
    VALIDATION = "validation"


class Situation(StrEnum):
    """Where in the loop a pair stands."""

    FIRST = "first"
    """The first round."""
    MENDED = "mended"
    """The right action was applied and kept: nothing more to do."""
    MISTAKEN = "mistaken"
    """A wrong action was tried and dropped: the right one is still to come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPair:
    """What a planner is asked, and what it should answer.

    Attributes:
        prompt: the text about the clip, as a planner LLM reads it, without the instruction.
        answer: what it should write.
        right: kinds of action any one of which is right; empty: to do nothing is.
        key, source: the clip, and the recording that it comes from.
        licences: of the recording, as its clip states them; see :func:`licences_of`.
        split: of the source.
        fault: what was put in; None: nothing.
        situation: where in the loop.
        request: the same question as a value, for planners that read no text.
    """

    prompt: str
    answer: str
    right: tuple[str, ...]
    key: str
    source: str
    licences: tuple[str, ...]
    split: Split
    fault: Fault | None
    situation: Situation
    request: PlanRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedClip:
    """A clip, or one fault of it, of which no pair could be made, and why."""

    key: str
    reason: str


_PAIRS: TypeAdapter[tuple[PlanPair]] = TypeAdapter(tuple[PlanPair], config=_CONFIG)
_SKIPPED: TypeAdapter[tuple[SkippedClip]] = TypeAdapter(tuple[SkippedClip], config=_CONFIG)


def pair_to_json(pair: PlanPair) -> str:
    """One line of JSON; equal pairs give equal lines."""
    (record,) = _PAIRS.dump_python((pair,), mode="json")
    record["request"]["allowed"].sort()
    return json.dumps(record, ensure_ascii=False, allow_nan=True)


def pair_from_json(line: str | bytes) -> PlanPair:
    """The inverse of :func:`pair_to_json`. Raises ParameterError."""
    text = line.encode() if isinstance(line, str) else line
    try:
        return _PAIRS.validate_json(b"[" + text.strip() + b"]")[0]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        raise ParameterError(f"not a training pair: {where}: {first['msg']}") from error


def source_of(clip: Clip) -> str:
    """The recording that a clip was cut from: `source` or `sources` of its `json` member, else the clip's key.

    Clips of one recording must not be spread over training and validation.
    """
    fields = _fields(clip)
    return " + ".join(_texts(fields.get("source") or fields.get("sources"))) or clip.key


def licences_of(clip: Clip) -> tuple[str, ...]:
    """`license`, `licence` or `licences` of a clip's `json` member; empty: it states none."""
    fields = _fields(clip)
    return tuple(_texts(fields.get("licences") or fields.get("licence") or fields.get("license")))


def _fields(clip: Clip) -> dict[str, Any]:
    member = clip.get("json")
    try:
        record: Any = json.loads(member.data) if member is not None else None
    except ValueError:
        return {}
    return cast("dict[str, Any]", record) if isinstance(record, dict) else {}


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return sorted(str(part) for part in cast("list[Any]", value))
    return [value] if isinstance(value, str) and value else []


def split_of(source: str, validation: float, seed: int) -> Split:
    """Training or validation, by a hash of the source: the same wherever and whenever it is asked.

    Args:
        source: see :func:`source_of`.
        validation: share of the sources held out, [0, 1].
        seed: another one gives another split.
    """
    digest = hashlib.sha256(f"{seed}/{source}".encode()).digest()
    drawn = int.from_bytes(digest[:8], "big") / 2.0**64
    return Split.VALIDATION if drawn < validation else Split.TRAIN


def pairs_url(folder: str, split: Split, shard: str) -> str:
    """Where the pairs of a shard lie: `train/SHARD.jsonl`, `validation/SHARD.jsonl`."""
    return storage.join(folder, split, f"{storage.basename(shard)}.jsonl")


def write_pairs(folder: str, shard: str, made: Iterable[PlanPair | SkippedClip]) -> int:
    """The pairs of a shard, in the order given, and what was skipped; returns the number of pairs. Raises OSError."""
    items = list(made)
    pairs = [item for item in items if isinstance(item, PlanPair)]
    for split in Split:
        _write(pairs_url(folder, split, shard), (pair_to_json(p) for p in pairs if p.split is split))
    skipped = (_SKIPPED.dump_json((item,))[1:-1].decode() for item in items if isinstance(item, SkippedClip))
    _write(storage.join(folder, SKIPPED, f"{storage.basename(shard)}.jsonl"), skipped)
    return len(pairs)


def read_pairs(folder: str, split: Split) -> Iterator[PlanPair]:
    """All pairs of a split, in the order of their shards' names.

    Raises:
        UsageError: the folder holds no pairs.
        ParameterError: a line is not a pair; the message says which.
    """
    for url in _files(folder, split):
        for number, line in enumerate(storage.read_text(url).splitlines(), start=1):
            try:
                yield pair_from_json(line)
            except ParameterError as error:
                raise ParameterError(f"{url}, line {number}: {error}; make the pairs again") from error


def read_skipped(folder: str) -> Iterator[SkippedClip]:
    """What no pairs could be made of. Raises UsageError as :func:`read_pairs`."""
    for url in _files(folder, SKIPPED):
        for line in storage.read_bytes(url).splitlines():
            yield _SKIPPED.validate_json(b"[" + line + b"]")[0]


def pairs_fingerprint(folder: str) -> str:
    """SHA-256 of all pairs, 64 hexadecimal digits. Raises UsageError as :func:`read_pairs`."""
    digest = hashlib.sha256()
    for split in Split:
        for url in _files(folder, split):
            digest.update(f"{split}/{storage.basename(url)}\n".encode())
            digest.update(storage.read_bytes(url))
    return digest.hexdigest()


def _files(folder: str, part: str) -> list[str]:
    found = sorted(u for u in storage.list_folder(storage.join(folder, part)) if u.endswith(".jsonl"))
    if not found:
        raise UsageError(f"{folder} holds no training pairs ({part}/*.jsonl): make them with `avagent plan-data`")
    return found


def _write(url: str, lines: Iterable[str]) -> None:
    with storage.atomic_write(url) as file:
        for line in lines:
            file.write(line.encode() + b"\n")
