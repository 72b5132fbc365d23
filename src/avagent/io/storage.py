"""Files wherever fsspec reaches: plain paths, `file://`, `memory://`, `gs://` (extra `gcs`), `s3://` (extra `s3`)."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import uuid
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, cast

import fsspec  # pyright: ignore[reportMissingTypeStubs]

from avagent.core.errors import UsageError

EXTRAS = {"gs": "gcs", "gcs": "gcs", "s3": "s3", "s3a": "s3"}
_BLOCK_BYTES = 8 << 20
_COPY_BYTES = 1 << 20
_LINK_REFUSED = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EMLINK)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What an atomic write left behind: size in bytes and MD5 (32 hexadecimal digits; the wids index asks for it)."""

    nbytes: int
    md5: str


class AtomicFile:
    """The handle that :func:`atomic_write` gives: counts and hashes all that passes."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._nbytes = 0

    def write(self, data: bytes) -> int:
        """Append bytes."""
        self._handle.write(data)
        self._md5.update(data)
        self._nbytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing: the file is flushed when it is closed."""

    def close(self) -> None:
        """Nothing: :func:`atomic_write` closes the file."""

    @property
    def closed(self) -> bool:
        """Whether writing is over: that is for :func:`atomic_write` to say."""
        return False

    @property
    def written(self) -> Written:
        """Size and hash so far."""
        return Written(nbytes=self._nbytes, md5=self._md5.hexdigest())


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URL, and the path on it.

    Raises:
        UsageError: the scheme is unknown, or its package is not installed.
    """
    scheme = url.split("://", 1)[0] if "://" in url else "file"
    # A cached listing would hide what another worker has written since.
    options = {"use_listings_cache": False} if scheme in EXTRAS else {}
    try:
        fs, path = cast("tuple[Any, Any]", fsspec.core.url_to_fs(url, **options))  # pyright: ignore[reportUnknownMemberType]
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        remedy = f"pip install 'avagent[{extra}]'" if extra else "install its fsspec package"
        raise UsageError(f"{url}: storage {scheme!r} needs a package that is not installed: {remedy}") from error
    except ValueError as error:
        raise UsageError(f"{url}: unknown storage {scheme!r}: {error}") from error
    return fs, str(path)


def is_local(url: str) -> bool:
    """Whether the URL lies on this machine's file system."""
    return "://" not in url or url.startswith(("file://", "local://"))


def canonical(url: str) -> str:
    """The URL as every worker understands it: local ones as absolute paths without scheme."""
    fs, path = filesystem(url)
    return path if is_local(url) else str(fs.unstrip_protocol(path))


def join(folder: str, *parts: str) -> str:
    """A URL below a folder."""
    return (folder if folder.endswith("/") else folder + "/") + "/".join(parts)


def basename(url: str) -> str:
    """The last part of a URL."""
    return url.rstrip("/").rsplit("/", 1)[-1]


def parent(url: str) -> str:
    """The folder of a URL."""
    head, slash, _ = url.rstrip("/").rpartition("/")
    if head.endswith(":/"):
        return head + slash
    return head or slash or "."


def exists(url: str) -> bool:
    """Whether a file or folder is there."""
    fs, path = filesystem(url)
    return bool(fs.exists(path))


def size(url: str) -> int:
    """Size of a file in bytes. Raises OSError."""
    fs, path = filesystem(url)
    return int(fs.size(path))


def list_folder(folder: str) -> list[str]:
    """URLs of the files directly inside a folder, sorted; empty if there is no such folder."""
    return sorted(join(folder, name) for name in folder_sizes(folder))


def folder_sizes(folder: str) -> dict[str, int]:
    """Name and size in bytes of the files directly inside a folder, by one listing; empty if it is not there."""
    fs, path = filesystem(folder)
    try:
        entries = cast("list[dict[str, Any]]", fs.ls(path, detail=True))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {basename(str(e["name"])): int(e["size"]) for e in entries if e["type"] == "file"}


def version(url: str) -> str:
    """The strongest identifier of a file's content that storage gives without reading it; compare for equality only.

    S3: ETag and size; GCS: generation; local: size in bytes and time of the last change in ns.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: storage failed.
    """
    fs, path = filesystem(url)
    if is_local(url):
        return _local_version(Path(path).stat())
    return entry_version(cast("dict[str, Any]", fs.info(path)))


def folder_versions(folder: str) -> dict[str, str]:
    """Name and :func:`version` of the files directly inside a folder, by one listing; empty if it is not there."""
    fs, path = filesystem(folder)
    try:
        if is_local(folder):
            with os.scandir(path) as entries:
                return {e.name: _local_version(e.stat()) for e in entries if e.is_file()}
        found = cast("list[dict[str, Any]]", fs.ls(path, detail=True))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {basename(str(e["name"])): entry_version(e) for e in found if e["type"] == "file"}


def _local_version(status: os.stat_result) -> str:
    return f"size={status.st_size};mtime_ns={status.st_mtime_ns}"


def entry_version(entry: dict[str, Any]) -> str:
    """:func:`version` from what a detailed listing says of a file. Raises OSError: it says none."""
    for name in ("generation", "ETag", "mtime", "LastModified", "created"):
        if value := entry.get(name):
            # The memory file system tells the time as a number in listings, as a date elsewhere.
            text = str(value.timestamp() if isinstance(value, datetime) else value).strip('"')
            return f"size={entry['size']};{name.lower()}={text}"
    raise OSError(f"{entry['name']}: this storage tells no version of its files")


def makedirs(folder: str) -> None:
    """Make a folder and its parents; nothing where there are no folders."""
    fs, path = filesystem(folder)
    fs.makedirs(path, exist_ok=True)


def remove(url: str, *, recursive: bool = False) -> None:
    """Remove a file (or a folder with all in it); nothing if it is not there."""
    fs, path = filesystem(url)
    with suppress(FileNotFoundError):
        fs.rm(path, recursive=recursive)


def open_read(url: str) -> AbstractContextManager[ByteSource]:
    """Open for reading in one pass, with large read-ahead. Raises OSError, UsageError."""
    fs, path = filesystem(url)
    if is_local(url):
        return cast("AbstractContextManager[ByteSource]", Path(path).open("rb", buffering=_LOCAL_BUFFER_BYTES))
    handle = fs.open(path, "rb", block_size=_BLOCK_BYTES, cache_type="readahead")
    if isinstance(handle, io.BytesIO):
        # The memory file system hands out the stored file itself, whose position all its readers would share.
        handle = io.BytesIO(handle.getvalue())
    return cast("AbstractContextManager[ByteSource]", handle)


def read_bytes(url: str) -> bytes:
    """A whole (small) file. Raises OSError."""
    fs, path = filesystem(url)
    return cast("bytes", fs.cat_file(path))


def read_text(url: str) -> str:
    """A whole (small) UTF-8 file. Raises OSError, UnicodeDecodeError."""
    return read_bytes(url).decode("utf-8")


def read_range(url: str, offset: int, length: int) -> bytes:
    """`length` bytes from `offset`; fewer where the file ends before. Raises OSError."""
    fs, path = filesystem(url)
    return cast("bytes", fs.cat_file(path, start=offset, end=offset + length)) if length else b""


def iter_range(url: str, offset: int, length: int) -> Iterator[bytes]:
    """A range in blocks of bounded size; ends early where the file ends. Raises OSError."""
    with open_read(url) as source:
        source.seek(offset)
        while length > 0:
            block = source.read(min(length, _COPY_BYTES))
            if not block:
                return
            length -= len(block)
            yield block


def write_bytes(url: str, data: bytes) -> Written:
    """Write a (small) file atomically. Raises OSError."""
    with atomic_write(url) as file:
        file.write(data)
    return file.written


def is_temporary(url: str) -> bool:
    """Whether a name is one that :func:`atomic_write` uses before it moves the file."""
    name = basename(url)
    return name.startswith(".") and name.endswith(".tmp")


@contextmanager
def atomic_write(url: str) -> Generator[AtomicFile]:
    """Write under a temporary name in the same folder, check the size, then move: all of the file appears, or none.

    The temporary name is unique to the call, so that two writers of one file cannot mix; the last one to finish wins.
    Object stores copy on their side and delete, since they cannot rename.

    Raises:
        OSError: writing failed, or the size found afterwards is not what was written. Nothing is left behind.
    """
    fs, target = filesystem(url)
    folder, _, name = target.rpartition("/")
    temporary = f"{folder}/{_temporary(name)}"
    fs.makedirs(folder, exist_ok=True)
    try:
        with fs.open(temporary, "wb") as handle:
            file = AtomicFile(handle)
            yield file
        _check_size(fs, temporary, file.written.nbytes)
        _move(fs, temporary, target, local=is_local(url))
    except BaseException:
        with suppress(OSError):
            fs.rm_file(temporary)
        raise


def copy(source: str, target: str) -> int:
    """Copy a file as cheaply as storage can, atomically; gives its size in bytes.

    Within one object store it copies on its side; local files are hard-linked (files of an output are only ever
    replaced, never changed in place); else, and where links are refused, the bytes pass through.

    Raises:
        FileNotFoundError: there is no such source.
        OSError: storage failed, or the copy has another size. Nothing is left behind.
    """
    fs, path = filesystem(source)
    target_fs, target_path = filesystem(target)
    if is_local(source) and is_local(target):
        if _link(Path(path), Path(target_path)):
            return Path(target_path).stat().st_size
    elif fs == target_fs:
        target_fs.makedirs(parent(target_path), exist_ok=True)
        expected = int(fs.size(path))
        fs.cp_file(path, target_path)
        _check_size(fs, target_path, expected)
        return expected
    with open_read(source) as handle, atomic_write(target) as file:
        while block := handle.read(_COPY_BYTES):
            file.write(block)
    return file.written.nbytes


def _link(source: Path, target: Path) -> bool:
    """Put a hard link in the target's place; False: this file system refuses."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(_temporary(target.name))
    try:
        temporary.hardlink_to(source)
    except OSError as error:
        if error.errno in _LINK_REFUSED:
            return False
        raise
    # Renaming a link to the file that it links to does nothing, and would leave the temporary name.
    temporary.replace(target)
    temporary.unlink(missing_ok=True)
    return True


def _temporary(name: str) -> str:
    return f".{name}.{uuid.uuid4().hex}.tmp"


def _check_size(fs: Any, path: str, expected: int) -> None:
    found = int(fs.size(path))
    if found != expected:
        raise OSError(f"{path}: wrote {expected} bytes, found {found}")


def _move(fs: Any, source: str, target: str, *, local: bool) -> None:
    if local:
        Path(source).replace(target)
        return
    fs.cp_file(source, target)
    fs.rm_file(source)
