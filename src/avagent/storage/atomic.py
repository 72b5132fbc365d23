"""Files that appear whole or not at all: written under a temporary name, checked, moved; and copies."""

from __future__ import annotations

import errno
import hashlib
import logging
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avagent.core.errors import StorageError
from avagent.storage.reading import content_md5, file_info, open_read
from avagent.storage.retries import TransferError, http_status, may_pass, retried
from avagent.storage.urls import basename, filesystem, is_local, is_remote, md5_of, parent

_LOG = logging.getLogger(__name__)
_COPY_BYTES = 1 << 20
_PART_BYTES = 16 << 20
"""Of a multipart or resumable upload. S3 takes 10,000 parts: 160 GB; GCS multiples of 256 KiB."""
_EXISTS = (409, 412)
"""HTTP: a conflict with another writer; the precondition that there is no such object failed."""
_LINK_REFUSED = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EMLINK)


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


def is_temporary(url: str) -> bool:
    """Whether a name is one that :func:`atomic_write` uses before it moves the file."""
    name = basename(url)
    return name.startswith(".") and name.endswith(".tmp")


def write_bytes(url: str, data: bytes) -> Written:
    """Write a (small) file atomically. Raises OSError, StorageError."""
    fs, _ = filesystem(url)
    if is_remote(fs):
        return retried(f"write {url}", lambda: _write_once(url, data))
    return _write_once(url, data)


def create(url: str, data: bytes) -> bool:
    """Write a small file where there is none; False: there is one by now.

    The local file system, S3 and GCS tell the first of several writers by themselves. Other storage may not: read the
    file back before you rely on it.

    Raises:
        OSError, StorageError: storage failed.
    """
    fs, path = filesystem(url)
    try:
        if is_local(url):
            _create_local(Path(path), data)
        elif is_remote(fs):
            retried(f"write {url}", lambda: fs.pipe_file(path, data, mode="create"))
        else:
            fs.makedirs(parent(path), exist_ok=True)
            fs.pipe_file(path, data, mode="create")
    except Exception as error:
        if not isinstance(error, FileExistsError) and http_status(error) not in _EXISTS:
            raise
        return False
    return True


def _create_local(path: Path, data: bytes) -> None:
    """Whole at once: a link is made to a finished file. Raises FileExistsError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(_temporary(path.name))
    temporary.write_bytes(data)
    try:
        path.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in _LINK_REFUSED:
            raise
        with path.open("xb") as handle:
            handle.write(data)
    finally:
        temporary.unlink(missing_ok=True)


def _write_once(url: str, data: bytes) -> Written:
    with atomic_write(url) as file:
        file.write(data)
    return file.written


@contextmanager
def atomic_write(url: str) -> Generator[AtomicFile]:
    """Write under a temporary name in the same folder, check size and checksum, then move: all of it appears, or none.

    The temporary name is unique to the call, so that two writers of one file cannot mix; the last one to finish wins.
    Object stores copy on their side and delete, since they cannot rename; a copy appears whole.

    Raises:
        OSError: writing failed, or what is found afterwards is not what was written. Nothing is left behind.
        StorageError: the same, of storage that stayed away.
    """
    fs, target = filesystem(url)
    folder, _, name = target.rpartition("/")
    temporary = f"{folder}/{_temporary(name)}"
    if not is_remote(fs):
        fs.makedirs(folder, exist_ok=True)
    try:
        yield from _upload(fs, temporary) if is_remote(fs) else _write(fs, temporary)
        _move(fs, temporary, target, local=is_local(url))
    except BaseException:
        with suppress(OSError, StorageError):
            _remove_file(fs, temporary)
        raise


def _write(fs: Any, temporary: str) -> Generator[AtomicFile]:
    with fs.open(temporary, "wb") as handle:
        file = AtomicFile(handle)
        yield file
    _check_size(int(fs.size(temporary)), file.written.nbytes, temporary)


def _upload(fs: Any, temporary: str) -> Generator[AtomicFile]:
    handle = retried(f"open {temporary}", lambda: fs.open(temporary, "wb", block_size=_PART_BYTES))
    file = AtomicFile(handle)
    try:
        yield file
        _finish(fs, handle, temporary, file.written)
    except BaseException:
        _abandon(handle)
        raise


def _finish(fs: Any, handle: Any, path: str, written: Written) -> None:
    try:
        handle.close()
    except Exception as error:
        # The answer to the last request may be lost though it was carried out; asked again, the store knows no such
        # upload. What counts is what lies there.
        if not (may_pass(error) or isinstance(error, FileNotFoundError)) or not _arrived(fs, path, written):
            raise
    else:
        _check_upload(fs, path, written)


def _arrived(fs: Any, path: str, written: Written) -> bool:
    try:
        _check_upload(fs, path, written)
    except (OSError, StorageError):
        return False
    return True


def _check_upload(fs: Any, path: str, written: Written) -> None:
    """Size, and the checksum where the store tells one; a checksum of another sort is settled by reading back."""
    info = file_info(fs, path)
    _check_size(int(info["size"]), written.nbytes, path)
    told = md5_of(info)
    if told not in (None, written.md5) and content_md5(fs, path) != written.md5:
        raise TransferError(f"{path}: what was written has MD5 {written.md5}, what is found {told}")


def _abandon(handle: Any) -> None:
    """End an upload without an object: closing the handle would write what it has so far."""
    try:
        handle.discard()
    except Exception as error:  # noqa: BLE001  (clean-up after another error, which must not be hidden)
        _LOG.warning("%s: the upload could not be cancelled: %s", handle.path, error)
    handle.closed = True


def _check_size(found: int, expected: int, path: str) -> None:
    if found != expected:
        raise TransferError(f"{path}: wrote {expected} bytes, found {found}")


def _move(fs: Any, source: str, target: str, *, local: bool) -> None:
    if local:
        Path(source).replace(target)
    elif is_remote(fs):
        retried(f"copy {source}", lambda: fs.cp_file(source, target))
        _remove_file(fs, source)
    else:
        fs.cp_file(source, target)
        fs.rm_file(source)


def _remove_file(fs: Any, path: str) -> None:
    """Remove one file; nothing if it is not there: the answer to an earlier attempt may have been lost."""
    with suppress(FileNotFoundError):
        if is_remote(fs):
            retried(f"remove {path}", lambda: fs.rm_file(path))
        else:
            fs.rm_file(path)


def copy(source: str, target: str) -> int:
    """Copy a file as cheaply as storage can, atomically; gives its size in bytes.

    Within one object store it copies on its side; local files are hard-linked (files of an output are only ever
    replaced, never changed in place); else, and where links are refused, the bytes pass through.

    Raises:
        FileNotFoundError: there is no such source.
        OSError: storage failed, or the copy has another size. Nothing is left behind.
        StorageError: storage stayed away.
    """
    fs, path = filesystem(source)
    target_fs, target_path = filesystem(target)
    if is_local(source) and is_local(target):
        if _link(Path(path), Path(target_path)):
            return Path(target_path).stat().st_size
    elif fs == target_fs:
        return _copy_within(fs, path, target_path)
    with open_read(source) as handle, atomic_write(target) as file:
        while block := handle.read(_COPY_BYTES):
            file.write(block)
    return file.written.nbytes


def _copy_within(fs: Any, source: str, target: str) -> int:
    expected = int(file_info(fs, source)["size"])
    if is_remote(fs):
        retried(f"copy {source}", lambda: fs.cp_file(source, target))
    else:
        fs.makedirs(parent(target), exist_ok=True)
        fs.cp_file(source, target)
    _check_size(int(file_info(fs, target)["size"]), expected, target)
    return expected


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
