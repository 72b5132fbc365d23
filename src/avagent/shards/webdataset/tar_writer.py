"""Deterministic tar archives: POSIX ustar, PAX where a name or a size asks for it; no owners, no times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from avagent.core.errors import ParameterError
from avagent.shards.names import unsafe_name
from avagent.shards.webdataset.tar_header import BLOCK, file_header

END_OF_ARCHIVE = bytes(2 * BLOCK)


class ByteSink(Protocol):
    """A file opened for writing."""

    def write(self, data: bytes, /) -> int:
        """Append all of `data`."""
        ...


class TarWriter:
    """Appends members and verbatim blocks; :meth:`close` ends the archive (the sink stays open)."""

    def __init__(self, sink: ByteSink) -> None:
        self._sink = sink

    def add(self, name: str, data: bytes) -> None:
        """One file. Raises ParameterError: a name that leaves its folder."""
        self.add_blocks(name, len(data), (data,))

    def add_blocks(self, name: str, size: int, blocks: Iterable[bytes]) -> None:
        """One file of `size` bytes that come piece by piece.

        Raises:
            ParameterError: an unsafe name.
            OSError: the pieces are not `size` bytes together: what they were read from has changed.
        """
        self._sink.write(header(name, size))
        written = 0
        for block in blocks:
            written += len(block)
            self._sink.write(block)
        if written != size:
            raise OSError(f"the member {name!r} should have {size} bytes, got {written}")
        self._sink.write(bytes(-size % BLOCK))

    def copy_raw(self, data: bytes) -> None:
        """Verbatim blocks of another archive: whole entries, headers and padding included."""
        self._sink.write(data)

    def close(self) -> None:
        """Write the end of the archive."""
        self._sink.write(END_OF_ARCHIVE)


def header(name: str, size: int) -> bytes:
    """The header blocks of a plain file: mode 0644, owner 0, time 0.

    Raises:
        ParameterError: an unsafe name.
    """
    if reason := unsafe_name(name):
        raise ParameterError(f"{name!r} cannot be a member's name: it has {reason}")
    return file_header(name, size)


def archive(members: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """A small archive piece by piece: (name, data) of each member, in order."""
    for name, data in members:
        yield header(name, len(data)) + data + bytes(-len(data) % BLOCK)
    yield END_OF_ARCHIVE
