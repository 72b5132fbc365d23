"""TFRecord files as a stream of frames that know where they lie, plain or gzip, checksums checked.

A frame is the length of the data (uint64), its masked CRC-32C (uint32), the data, and the masked CRC-32C of the data,
little-endian throughout. Reference: TensorFlow, `tensorflow/core/lib/io/record_writer.h`; CRC-32C: RFC 3720, B.4.
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import google_crc32c  # pyright: ignore[reportMissingTypeStubs]

from avagent import storage
from avagent.core.errors import FailureReason
from avagent.shards.limits import DEFAULT_LIMITS, Defect, ShardLimits, limit_defect
from avagent.storage import ByteSource

HEADER_BYTES = 12
FOOTER_BYTES = 4
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_MASK = 0xA282EAD8
_GZIP = b"\x1f\x8b\x08"
_GZIP_FLAGS = b"\x1f"
"""All flags that there are; RFC 1952, 2.3.1.2: the other bits must be zero."""
_GZIP_LEVEL = 6
_STEP_BYTES = 4 << 20
_FREE_EXPANSION = 256 << 20
"""A few silent clips at the head of a shard may be compressed a thousandfold."""
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
    return head.startswith(_GZIP) and head[3:4] <= _GZIP_FLAGS and not _good_header(head)


@contextmanager
def open_stream(shard: str, limits: ShardLimits = DEFAULT_LIMITS) -> Generator[ByteSource]:
    """The frames' bytes, expanded. Raises OSError; what is wrong with a gzip stream shows as its early end."""
    compressed = is_gzip(shard)
    with storage.open_read(shard) as source:
        yield cast("ByteSource", _Expanded(source, limits.expansion)) if compressed else source


class _Counted:
    """Counts what is read."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.nbytes = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self.nbytes += len(data)
        return data


class _Expanded:
    """A gzip stream that ends where it breaks, or expands beyond belief, and says so."""

    def __init__(self, source: ByteSource, expansion: int) -> None:
        self._compressed = _Counted(source)
        self._stream = gzip.GzipFile(fileobj=cast("io.BufferedReader", self._compressed), mode="rb")
        self._expansion = expansion
        self._expanded = 0
        self.fault: str | None = None
        self.bomb: Defect | None = None

    def read(self, size: int = -1, /) -> bytes:
        parts: list[bytes] = []
        while size > 0 and self.fault is None:
            try:
                # The standard library would ask for all of a claimed size at once.
                part = self._stream.read(min(size, _STEP_BYTES))
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                self.fault = str(error)
                break
            if not part:
                break
            parts.append(part)
            size -= len(part)
            self._check_expansion(len(part))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _check_expansion(self, more: int) -> None:
        self._expanded += more
        if self._expanded > _FREE_EXPANSION + self._expansion * self._compressed.nbytes:
            self.bomb = limit_defect(
                f"the compressed shard expands to more than {self._expansion} times its size", "expansion"
            )
            self.fault = f"after {self._expanded} bytes"


def iter_stream(shard: str, offset: int, length: int) -> Iterator[bytes]:
    """A range of the expanded file in blocks; a gzip file is read from its start. Raises OSError."""
    if not is_gzip(shard):
        yield from storage.iter_range(shard, offset, length)
        return
    with open_stream(shard) as source:
        _skip(source, offset)
        while length > 0 and (block := source.read(min(length, _STEP_BYTES))):
            length -= len(block)
            yield block


def read_stream(shard: str, offset: int, length: int) -> bytes:
    """As :func:`iter_stream`, in one piece. Raises OSError."""
    return b"".join(iter_stream(shard, offset, length))


def _skip(source: ByteSource, nbytes: int) -> int:
    """Read past bytes; gives how many there were."""
    left = nbytes
    while left and (block := source.read(min(left, _STEP_BYTES))):
        left -= len(block)
    return nbytes - left


def read_frames(shard: str, limits: ShardLimits) -> Iterator[Frame]:
    """The records of a file in one pass, one in memory at a time. A file of no bytes holds no records.

    A file that ends within a record, or in which a length is wrong, has a last frame with a defect.

    Raises:
        OSError: the file cannot be opened or read.
    """
    total = None if is_gzip(shard) else storage.size(shard)
    with open_stream(shard, limits) as source:
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
        return self._source.fault if isinstance(self._source, _Expanded) else None

    @property
    def _bomb(self) -> Defect | None:
        return self._source.bomb if isinstance(self._source, _Expanded) else None

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
        while left and (block := self._source.read(min(left, _STEP_BYTES))):
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
            length = seen + _skip(self._source, max(self._limits.sample_bytes - seen, 0))
        detail = f" ({self._fault})" if self._fault is not None else ""
        defect = Defect(reason=reason, message=f"{what}, at byte {at}{detail}")
        return Frame(offset=at, length=length, defect=defect, intact=False, last=True)


def _good_header(head: bytes) -> bool:
    return len(head) >= HEADER_BYTES and masked_crc(head[:8]) == _CRC.unpack_from(head, 8)[0]


def _wrong_data(at: int) -> Defect:
    message = f"the checksum of the record at byte {at} is wrong: its data were changed after they were written"
    return Defect(reason=FailureReason.CORRUPT_RECORD, message=message)


def gzip_writer(sink: storage.AtomicFile) -> gzip.GzipFile:
    """Compresses without name and time: the same data give the same bytes. Closing it leaves the sink open."""
    target = cast("io.BufferedWriter", sink)
    return gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=target, mtime=0)
