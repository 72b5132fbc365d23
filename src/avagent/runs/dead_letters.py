"""The dead letters of a refined shard, read back: what the clip was, and what was recorded of it.

They lie in the order of the input, one for each failed decision: in a tar the clip's entries (or what is left of its
bytes, as `KEY.quarantine`), then `KEY.error.json`; of a TFRecord shard the records, and a line for each in
`NAME.errors.jsonl`. A letter that still is no clip has no sample; it can be carried on byte by byte.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from avagent import storage
from avagent.core.clip import Clip, ClipRef, content_hash
from avagent.core.errors import Failure, ParameterError
from avagent.core.state import ClipDecision
from avagent.records.decisions import ERROR_SUFFIX, LOOSE_BEFORE
from avagent.shards.compression import open_stream
from avagent.shards.formats import TFRECORD, ShardOptions, format_of
from avagent.shards.output import ERRORS_FOLDER
from avagent.shards.samples import Loose, Sample, safe_key, shard_stem
from avagent.shards.tfrecord.frames import iter_stream as record_stream
from avagent.shards.tfrecord.output import ERRORS_SUFFIX, TFRecordOutput
from avagent.shards.tfrecord.records import RecordSample, iter_records, numbered_key
from avagent.shards.webdataset.output import QUARANTINE_SUFFIX, WebDatasetOutput
from avagent.shards.webdataset.samples import is_gzip, samples_in
from avagent.shards.webdataset.samples import iter_stream as tar_stream
from avagent.shards.webdataset.tar_reader import Entry, read_entries


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A failed clip.

    Attributes:
        decision: as it was recorded.
        shard: URL of the dead-letter shard.
        offset, length: of the letter in it, in bytes, without the reason.
        name: what its reason is called in a tar.
        records: of a TFRecord shard, how many of them hold it.
        quarantined: whether what is left of it is no whole record.
        loose_before: entries without a key before it in its shard; None: it was not written down.
        sample: the clip, numbered as in its shard; None: what is left is no clip.
        place: where the sample lies in the dead-letter shard, for reading it again.
    """

    decision: ClipDecision
    shard: str
    offset: int
    length: int
    name: str = ""
    records: int = 1
    quarantined: bool = False
    loose_before: int | None = None
    sample: Sample | RecordSample | None = None
    place: ClipRef | None = None

    @property
    def index(self) -> int:
        """The clip's position in its shard."""
        return self.decision.ref.index


def letters_url(output: str, shard: str) -> str:
    """Where the dead letters of a shard lie."""
    return storage.join(output, ERRORS_FOLDER, storage.basename(shard))


def read_letters(
    output: str, shard: str, decisions: Iterable[ClipDecision], options: ShardOptions
) -> Iterator[DeadLetter]:
    """All dead letters of a shard, in order, one in memory at a time.

    Raises:
        OSError: they cannot be read.
        ParameterError: they are not those of the decisions.
    """
    failed = sorted((d for d in decisions if d.failure is not None), key=lambda d: d.ref.index)
    if not failed:
        return
    url = letters_url(output, shard)
    found = _records if format_of(shard) is TFRECORD else _entries
    count = 0
    for letter in found(url, failed, options):
        count += 1
        yield letter
    if count != len(failed):
        raise _mismatch(url, f"{len(failed)} clips failed, {count} are there")


def _mismatch(url: str, how: str) -> ParameterError:
    return ParameterError(f"{url} does not hold the failed clips of its decisions: {how}; run refine again")


def _entries(url: str, failed: list[ClipDecision], options: ShardOptions) -> Iterator[DeadLetter]:
    compressed = is_gzip(url)
    total = None if compressed else storage.size(url)
    pending: list[Entry] = []
    left = iter(failed)
    with open_stream(url, options.limits, compressed=compressed) as source:
        for entry in read_entries(source, total, options.limits):
            name = entry.name.removesuffix(f".{ERROR_SUFFIX}")
            if name == entry.name:
                pending.append(entry)
                continue
            decision = next(left, None)
            if decision is None or not _belongs(name, decision.ref):
                raise _mismatch(url, f"there is one for {name!r}")
            yield _letter(url, pending, entry, decision, options)
            pending = []
    if pending:
        raise _mismatch(url, f"{pending[0].name!r} has no reason")


def _belongs(name: str, ref: ClipRef) -> bool:
    return name in (ref.key, safe_key(ref), safe_key(ref, unique=False))


def _letter(url: str, entries: list[Entry], reason: Entry, decision: ClipDecision, options: ShardOptions) -> DeadLetter:
    start = entries[0].offset if entries else reason.offset
    name = reason.name.removesuffix(f".{ERROR_SUFFIX}")
    letter = DeadLetter(
        decision=decision,
        shard=url,
        offset=start,
        length=reason.offset - start,
        name=name,
        loose_before=_loose_before(reason.data or b""),
    )
    if not entries or any(entry.data is None for entry in entries):
        return letter
    if len(entries) == 1 and entries[0].name == f"{name}.{QUARANTINE_SUFFIX}":
        start += len(entries[0].header)
        data = entries[0].data or b""
    else:
        data = b"".join(entry.header + (entry.data or b"") + entry.padding for entry in entries)
    found = list(samples_in(io.BytesIO(data), len(data), decision.ref.shard, options.limits, options.suffixes))
    if len(found) != 1 or not isinstance(found[0], Sample) or any(isinstance(item, Loose) for item in found):
        return letter
    sample = replace(found[0], index=decision.ref.index)
    return replace(letter, sample=sample, place=_place(sample, sample.clip(), url, start, len(data)))


def _loose_before(reason: bytes) -> int | None:
    try:
        found: Any = json.loads(reason)
    except ValueError:
        return None
    count = found.get(LOOSE_BEFORE) if isinstance(found, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return count if isinstance(count, int) else None


def _place(sample: Sample | RecordSample, clip: Clip, url: str, offset: int, length: int) -> ClipRef:
    return ClipRef(
        key=sample.key,
        shard=url,
        offset=offset,
        length=length,
        content_sha256=content_hash(clip.members),
        index=sample.index,
    )


def _records(url: str, failed: list[ClipDecision], options: ShardOptions) -> Iterator[DeadLetter]:
    records = iter(iter_records(url, options.limits, options.fields))
    lines = storage.read_text(f"{url}.{ERRORS_SUFFIX}").splitlines()
    offset = number = 0
    for decision, line in zip(failed, lines, strict=False):
        about: dict[str, Any] = json.loads(line)
        if about["index"] != decision.ref.index:
            raise _mismatch(url, f"there is one for the record {about['index']}")
        own = [next(records, None) for _ in range(about["records"])]
        if None in own:
            raise _mismatch(url, "it ends early")
        length = sum(item.length for item in own if item is not None)
        letter = DeadLetter(
            decision=decision,
            shard=url,
            offset=offset,
            length=length,
            records=len(own),
            quarantined=bool(about["quarantined"]),
        )
        if len(own) == 1 and not letter.quarantined and isinstance(own[0], RecordSample):
            sample = _renumbered(own[0], number, decision.ref)
            letter = replace(letter, sample=sample, place=_place(sample, sample.clip(), url, offset, length))
        yield letter
        offset, number = offset + length, number + len(own)


def _renumbered(sample: RecordSample, number: int, ref: ClipRef) -> RecordSample:
    """A record without a key is named after its position, which is another among the dead letters."""
    numbered = sample.key == numbered_key(f"{shard_stem(ref.shard)}.tfrecord", number)
    key = numbered_key(ref.shard, ref.index) if numbered else sample.key
    return replace(sample, key=key, index=ref.index)


class TarLetters(WebDatasetOutput):
    """A refined tar shard whose dead letters come from earlier dead letters."""

    def carry(self, letter: DeadLetter, failure: Failure) -> None:
        """A letter on, byte by byte, with its reason."""
        for block in tar_stream(letter.shard, letter.offset, letter.length):
            self._letters.tar().copy_raw(block)
        self._explain(letter.name, letter.decision.ref, failure)


class RecordLetters(TFRecordOutput):
    """The same for TFRecord shards."""

    def carry(self, letter: DeadLetter, failure: Failure) -> None:
        """A letter on, byte by byte, with its reason."""
        self._letters.copy(record_stream(letter.shard, letter.offset, letter.length))
        self._explain(letter.decision.ref, failure, records=letter.records, quarantined=letter.quarantined)


def open_letters_output(shard: str, output: str, folder: str, stack: ExitStack) -> TarLetters | RecordLetters:
    """Where the clips of a shard go whose dead letters lie in `output`; files of the same name in `folder`."""
    url = letters_url(output, shard)
    return (RecordLetters if format_of(shard) is TFRECORD else TarLetters)(url, folder, stack)
