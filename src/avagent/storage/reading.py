"""Reading files: whole, by range, as a stream. What storage answers is checked against what was asked for."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol, cast

from avagent.storage.range_reader import BLOCK_BYTES, open_ranges
from avagent.storage.retries import TransferError, http_status, retried
from avagent.storage.urls import filesystem, is_local, is_remote, md5_of

_READAHEAD_BYTES = 8 << 20
_COPY_BYTES = 1 << 20
# Enough for headers; larger reads go past the buffer, without a copy.
_LOCAL_BUFFER_BYTES = 64 << 10


class ByteSource(Protocol):
    """A file opened for reading."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; fewer only at the end."""
        ...

    def __iter__(self) -> Iterator[bytes]:
        """Its lines, each with its newline."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to an absolute position."""
        ...


def file_info(fs: Any, path: str) -> dict[str, Any]:
    """What a file system tells of a file. Raises OSError (FileNotFoundError), StorageError."""
    if not is_remote(fs):
        return cast("dict[str, Any]", fs.info(path))
    return retried(f"look-up {path}", lambda: cast("dict[str, Any]", fs.info(path)))


def open_read(url: str) -> AbstractContextManager[ByteSource]:
    """Open for reading in one pass: remote files by several range requests at once, a few blocks ahead.

    Raises:
        OSError: it cannot be read, or changed while it was read; from reads as well.
        StorageError: storage stayed away; from reads as well.
        UsageError: the scheme is unknown.
    """
    fs, path = filesystem(url)
    if is_local(url):
        return cast("AbstractContextManager[ByteSource]", Path(path).open("rb", buffering=_LOCAL_BUFFER_BYTES))
    if is_remote(fs):
        info = file_info(fs, path)
        return cast("AbstractContextManager[ByteSource]", _open_remote(fs, path, info, 0, int(info["size"])))
    handle = fs.open(path, "rb", block_size=_READAHEAD_BYTES, cache_type="readahead")
    if isinstance(handle, io.BytesIO):
        # The memory file system hands out the stored file itself, whose position all its readers would share.
        handle = io.BytesIO(handle.getvalue())
    return cast("AbstractContextManager[ByteSource]", handle)


def read_bytes(url: str) -> bytes:
    """A whole (small) file, its checksum checked where storage tells one. Raises OSError, StorageError."""
    fs, path = filesystem(url)
    if not is_remote(fs):
        return cast("bytes", fs.cat_file(path))
    return retried(f"read {url}", lambda: _read_checked(fs, path))


def read_text(url: str) -> str:
    """A whole (small) UTF-8 file. Raises OSError, StorageError, UnicodeDecodeError."""
    return read_bytes(url).decode("utf-8")


def read_range(url: str, offset: int, length: int) -> bytes:
    """`length` bytes from `offset`; fewer where the file ends before. Raises OSError, StorageError."""
    fs, path = filesystem(url)
    if not length:
        return b""
    if not is_remote(fs):
        return cast("bytes", fs.cat_file(path, start=offset, end=offset + length))
    data = retried(f"read {url}", lambda: _fetch(fs, path, offset, offset + length))
    if len(data) == length:
        return data
    info = file_info(fs, path)
    stop = min(offset + length, int(info["size"]))
    return _fetch_unchanged(fs, path, info, offset, stop) if stop > offset else b""


def iter_range(url: str, offset: int, length: int) -> Iterator[bytes]:
    """A range in blocks of bounded size; ends early where the file ends. Raises OSError, StorageError."""
    with _open_range(url, offset, length) as source:
        while length > 0:
            block = source.read(min(length, _COPY_BYTES))
            if not block:
                return
            length -= len(block)
            yield block


def content_md5(fs: Any, path: str) -> str:
    """MD5 of an object, by reading it: 32 hexadecimal digits. Raises OSError, StorageError."""
    digest = hashlib.md5(usedforsecurity=False)
    info = file_info(fs, path)
    with _open_remote(fs, path, info, 0, int(info["size"])) as source:
        while block := source.read(_COPY_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _open_range(url: str, offset: int, length: int) -> AbstractContextManager[ByteSource]:
    fs, path = filesystem(url)
    if is_remote(fs):
        info = file_info(fs, path)
        stop = min(offset + length, int(info["size"]))
        return cast("AbstractContextManager[ByteSource]", _open_remote(fs, path, info, offset, stop))
    handle = open_read(url)
    cast("ByteSource", handle).seek(offset)
    return handle


def _open_remote(fs: Any, path: str, info: dict[str, Any], start: int, stop: int) -> io.BufferedReader:
    return open_ranges(lambda first, last: _fetch_unchanged(fs, path, info, first, last), start, stop)


def _read_checked(fs: Any, path: str) -> bytes:
    """A file in one piece. A checksum that does not fit may be of another sort: then two transfers have to agree."""
    info = file_info(fs, path)
    size, told = int(info["size"]), md5_of(info)
    if size > BLOCK_BYTES:
        with _open_remote(fs, path, info, 0, size) as source:
            return source.read()
    data = _fetch_unchanged(fs, path, info, 0, size) if size else b""
    if told not in (None, _md5(data)) and _fetch_unchanged(fs, path, info, 0, size) != data:
        raise TransferError(f"{path}: two transfers of its {size} bytes differ")
    return data


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _fetch_unchanged(fs: Any, path: str, info: dict[str, Any], start: int, stop: int) -> bytes:
    """Exactly the bytes from `start` to `stop` of a file that is still as `info` says."""

    def attempt() -> bytes:
        data = _fetch(fs, path, start, stop)
        if len(data) == stop - start:
            return data
        if _identity(file_info(fs, path)) != _identity(info):
            raise OSError(f"{path} changed while it was read")
        raise TransferError(f"{path}: asked for {stop - start} bytes at {start}, got {len(data)}")

    return retried(f"read {path}", attempt)


def _fetch(fs: Any, path: str, start: int, stop: int) -> bytes:
    """What the store answers for a range: fewer bytes where the file ends before, or the answer came short."""
    try:
        return cast("bytes", fs.cat_file(path, start=start, end=stop))
    except Exception as error:
        if http_status(error) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return b""
        raise


def _identity(info: dict[str, Any]) -> tuple[Any, ...]:
    return info["size"], info.get("generation"), info.get("ETag")
