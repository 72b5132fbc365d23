"""Shards that are compressed as a whole by gzip (RFC 1952): read as streams, expanded within a limit.

There is no random access: offsets are those of what a file expands to, and a range is read from the file's start.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import cast

from avagent import storage
from avagent.shards.limits import DEFAULT_LIMITS, Defect, ShardLimits, limit_defect
from avagent.storage import ByteSource

STEP_BYTES = 4 << 20
_GZIP = b"\x1f\x8b\x08"
_GZIP_FLAGS = b"\x1f"
"""All flags that there are; RFC 1952, 2.3.1.2: the other bits must be zero."""
_GZIP_LEVEL = 6
_FREE_EXPANSION = 256 << 20
"""A few silent clips at the head of a shard may be compressed a thousandfold."""


def has_gzip_magic(head: bytes) -> bool:
    """Whether a file that begins like this is compressed by gzip."""
    return head.startswith(_GZIP) and head[3:4] <= _GZIP_FLAGS


def told_or_named(shard: str, is_gzip: Callable[[str], bool]) -> bool:
    """Whether a shard is compressed; of one that cannot be read, the name must tell."""
    try:
        return is_gzip(shard)
    except OSError:
        return shard.endswith("gz")


@contextmanager
def open_stream(shard: str, limits: ShardLimits = DEFAULT_LIMITS, *, compressed: bool) -> Generator[ByteSource]:
    """A shard's bytes, expanded. Raises OSError; what is wrong with a gzip stream shows as its early end."""
    with storage.open_read(shard) as source:
        yield cast("ByteSource", Expanded(source, limits.expansion)) if compressed else source


class _Counted:
    """Counts what is read."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.nbytes = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self.nbytes += len(data)
        return data


class Expanded:
    """A gzip stream that ends where it breaks, or expands beyond belief, and says so.

    Attributes:
        fault: why it ended early; None: it did not.
        bomb: the limit that it went beyond; None: none.
        nbytes: read so far.
    """

    def __init__(self, source: ByteSource, expansion: int) -> None:
        self._compressed = _Counted(source)
        self._stream = gzip.GzipFile(fileobj=cast("io.BufferedReader", self._compressed), mode="rb")
        self._expansion = expansion
        self.nbytes = 0
        self.fault: str | None = None
        self.bomb: Defect | None = None

    def read(self, size: int = -1, /) -> bytes:
        """As much as there is, up to `size`."""
        parts: list[bytes] = []
        while size > 0 and self.fault is None:
            try:
                # The standard library would ask for all of a claimed size at once.
                part = self._stream.read(min(size, STEP_BYTES))
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
        self.nbytes += more
        if self.nbytes > _FREE_EXPANSION + self._expansion * self._compressed.nbytes:
            self.bomb = limit_defect(
                f"the compressed shard expands to more than {self._expansion} times its size", "expansion"
            )
            self.fault = f"after {self.nbytes} bytes"


def iter_range(shard: str, offset: int, length: int, *, compressed: bool) -> Iterator[bytes]:
    """A range of the expanded shard in blocks; a compressed one is read from its start. Raises OSError."""
    if not compressed:
        yield from storage.iter_range(shard, offset, length)
        return
    with open_stream(shard, compressed=True) as source:
        skip(source, offset)
        while length > 0 and (block := source.read(min(length, STEP_BYTES))):
            length -= len(block)
            yield block


def skip(source: ByteSource, nbytes: int) -> int:
    """Read past bytes; gives how many there were."""
    left = nbytes
    while left and (block := source.read(min(left, STEP_BYTES))):
        left -= len(block)
    return nbytes - left


def gzip_writer(sink: storage.AtomicFile) -> gzip.GzipFile:
    """Compresses without name and time: the same data give the same bytes. Closing it leaves the sink open."""
    target = cast("io.BufferedWriter", sink)
    return gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=target, mtime=0)
