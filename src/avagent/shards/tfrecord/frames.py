"""TFRecord files as a stream of frames that know where they lie, plain or gzip, checksums checked.

A frame is the length of the data (uint64), its masked CRC-32C (uint32), the data, and the masked CRC-32C of the data,
little-endian throughout. Reference: TensorFlow, `tensorflow/core/lib/io/record_writer.h`; CRC-32C: RFC 3720, B.4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import google_crc32c  # pyright: ignore[reportMissingTypeStubs]

from avagent import storage
from avagent.core.errors import FailureReason
from avagent.shards.compression import STEP_BYTES, Expanded, has_gzip_magic, iter_range, open_stream, skip
from avagent.shards.limits import Defect, ShardLimits, limit_defect
from avagent.storage import ByteSource

HEADER_BYTES = 12
FOOTER_BYTES = 4
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_MASK = 0xA282EAD8
_crc32c: Any = google_crc32c  # it carries no types
_MAX_MESSAGE = (2 << 30) - 1
"""Protocol buffers end here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One record.

    Attributes:
        offset: of its first byte; in a gzip file, in what it expands to.
        length: with its checksums.
        data: None: left unread, or wrong, because of a defect.
        defect: why it cannot be used.
        intact: whether it is a record by itself, its checksums right.
        last: whether the rest of the file cannot be read, and belongs to this frame.
    """

    offset: int
    length: int
    data: bytes | None = None
    defect: Defect | None = None
    intact: bool = True
    last: bool = False


def masked_crc(data: bytes) -> int:
    """CRC-32C, rotated right by 15 bits and offset, so that a checksum of checksums is no trivial one."""
    return _masked(_crc32c.value(data))


def _masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def frame_header(length: int) -> bytes:
    """What stands before the data."""
    head = _LENGTH.pack(length)
    return head + _CRC.pack(masked_crc(head))


def frame(data: bytes) -> Iterator[bytes]:
    """A whole frame, piece by piece."""
    yield frame_header(len(data))
    yield data
    yield _CRC.pack(masked_crc(data))


def is_gzip(shard: str) -> bool:
    """Whether a file is compressed, by its first bytes: names do not always tell. Raises OSError."""
    head = storage.read_range(shard, 0, HEADER_BYTES)
    # A plain file may begin with a record of such a length.
    return has_gzip_magic(head) and not _good_header(head)


def iter_stream(shard: str, offset: int, length: int) -> Iterator[bytes]:
    """A range of the expanded file in blocks; a gzip file is read from its start. Raises OSError."""
    return iter_range(shard, offset, length, compressed=is_gzip(shard))


def read_stream(shard: str, offset: int, length: int) -> bytes:
    """As :func:`iter_stream`, in one piece. Raises OSError."""
    return b"".join(iter_stream(shard, offset, length))


def read_frames(shard: str, limits: ShardLimits) -> Iterator[Frame]:
    """The records of a file in one pass, one in memory at a time. A file of no bytes holds no records.

    A file that ends within a record, or in which a length is wrong, has a last frame with a defect.

    Raises:
        OSError: the file cannot be opened or read.
    """
    compressed = is_gzip(shard)
    total = None if compressed else storage.size(shard)
    with open_stream(shard, limits, compressed=compressed) as source:
        yield from _Reader(source, total, limits).frames()


def read_frame(source: ByteSource, total: int, limits: ShardLimits) -> Frame | None:
    """The first record of `total` bytes; None: there is none."""
    return next(_Reader(source, total, limits).frames(), None)


class _Reader:
    """Position and limits of one pass."""

    def __init__(self, source: ByteSource, total: int | None, limits: ShardLimits) -> None:
        self._source = source
        self._total = total
        self._limits = limits
        self._offset = 0

    def frames(self) -> Iterator[Frame]:
        count = 0
        while head := self._source.read(HEADER_BYTES):
            count += 1
            if count > self._limits.entries:
                over = limit_defect(f"there are more than {self._limits.entries} records in one shard", "entries")
                yield self._rest(over.message, over.reason, len(head))
                return
            found = self._frame(head)
            yield found
            if found.last:
                return
        if self._fault is not None:
            yield self._rest("the compressed data break off", FailureReason.TRUNCATED_SHARD, 0)

    @property
    def _fault(self) -> str | None:
        return self._source.fault if isinstance(self._source, Expanded) else None

    @property
    def _bomb(self) -> Defect | None:
        return self._source.bomb if isinstance(self._source, Expanded) else None

    def _frame(self, head: bytes) -> Frame:
        at = self._offset
        if len(head) < HEADER_BYTES:
            return self._rest("the file ends within the header of a record", FailureReason.TRUNCATED_SHARD, len(head))
        if not _good_header(head):
            return self._rest("the checksum of a record's length is wrong", FailureReason.CORRUPT_RECORD, len(head))
        size = int(_LENGTH.unpack_from(head)[0])
        length = HEADER_BYTES + size + FOOTER_BYTES
        if self._total is not None and at + length > self._total:
            return self._ends_within(size, len(head))
        if size > min(self._limits.sample_bytes, _MAX_MESSAGE):
            return self._oversized(size)
        data, footer = self._source.read(size), self._source.read(FOOTER_BYTES)
        if len(data) + len(footer) < size + FOOTER_BYTES:
            return self._ends_within(size, len(head) + len(data) + len(footer))
        self._offset += length
        if masked_crc(data) != _CRC.unpack(footer)[0]:
            return Frame(offset=at, length=length, defect=_wrong_data(at), intact=False)
        return Frame(offset=at, length=length, data=data)

    def _oversized(self, size: int) -> Frame:
        """Read past a record that is larger than it may be."""
        at, crc, left = self._offset, 0, size
        while left and (block := self._source.read(min(left, STEP_BYTES))):
            crc = _crc32c.extend(crc, block)
            left -= len(block)
        footer = self._source.read(FOOTER_BYTES)
        if len(footer) < FOOTER_BYTES:
            return self._ends_within(size, HEADER_BYTES + size - left + len(footer))
        length = HEADER_BYTES + size + FOOTER_BYTES
        self._offset += length
        if _masked(crc) != _CRC.unpack(footer)[0]:
            return Frame(offset=at, length=length, defect=_wrong_data(at), intact=False)
        most = min(self._limits.sample_bytes, _MAX_MESSAGE)
        message = f"the record at byte {at} has {size} bytes, over the limit of {most}"
        return Frame(offset=at, length=length, defect=limit_defect(message, "sample_bytes"))

    def _ends_within(self, size: int, seen: int) -> Frame:
        return self._rest(f"the file ends within a record of {size} bytes", FailureReason.TRUNCATED_SHARD, seen)

    def _rest(self, what: str, reason: FailureReason, seen: int) -> Frame:
        """All that is left of the file, of which `seen` bytes were read."""
        at = self._offset
        if self._bomb is not None:
            what, reason = self._bomb.message, self._bomb.reason
        if at == 0 and reason == FailureReason.CORRUPT_RECORD:
            what, reason = f"not a TFRecord file, plain or gzip: {what}", FailureReason.UNREADABLE_SHARD
        if self._total is not None:
            length = self._total - at
        else:
            # What a compressed file expands to is not known: what the dead letters keep of it has a bound.
            length = seen + skip(self._source, max(self._limits.sample_bytes - seen, 0))
        detail = f" ({self._fault})" if self._fault is not None else ""
        defect = Defect(reason=reason, message=f"{what}, at byte {at}{detail}")
        return Frame(offset=at, length=length, defect=defect, intact=False, last=True)


def _good_header(head: bytes) -> bool:
    return len(head) >= HEADER_BYTES and masked_crc(head[:8]) == _CRC.unpack_from(head, 8)[0]


def _wrong_data(at: int) -> Defect:
    message = f"the checksum of the record at byte {at} is wrong: its data were changed after they were written"
    return Defect(reason=FailureReason.CORRUPT_RECORD, message=message)
