"""Look up, list and remove files and folders: one listing answers for many files."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from avagent.storage.atomic import is_temporary
from avagent.storage.reading import file_info
from avagent.storage.retries import TransferError, retried
from avagent.storage.urls import basename, filesystem, is_local, is_remote, join

_T = TypeVar("_T")


def exists(url: str) -> bool:
    """Whether a file or folder is there. Raises OSError, StorageError."""
    fs, path = filesystem(url)
    return bool(_tried(fs, f"look-up {url}", lambda: fs.exists(path)))


def is_folder(url: str) -> bool:
    """Whether a folder is there; on object stores: whether something lies below. Raises OSError, StorageError."""
    fs, path = filesystem(url)
    return bool(_tried(fs, f"look-up {url}", lambda: fs.isdir(path)))


def size(url: str) -> int:
    """Size of a file in bytes. Raises OSError, StorageError."""
    fs, path = filesystem(url)
    return int(file_info(fs, path)["size"])


def glob(pattern: str) -> list[str]:
    """URLs of the files that match a pattern, sorted. Raises OSError, StorageError."""
    fs, path = filesystem(pattern)
    found: dict[str, Any] = _tried(fs, f"list {pattern}", lambda: fs.glob(path, detail=True))
    names = [name for name, entry in found.items() if entry["type"] == "file"]
    return sorted(names if is_local(pattern) else (str(fs.unstrip_protocol(name)) for name in names))


def list_folder(folder: str) -> list[str]:
    """URLs of the files directly inside a folder, sorted; empty if there is no such folder."""
    return sorted(join(folder, name) for name in folder_sizes(folder))


def folder_sizes(folder: str) -> dict[str, int]:
    """Name and size in bytes of the files directly inside a folder, by one listing; empty if it is not there."""
    return {basename(str(e["name"])): int(e["size"]) for e in _entries(folder)}


def list_subfolders(folder: str) -> list[str]:
    """URLs of the folders directly inside a folder, sorted; empty if there is no such folder."""
    return sorted(join(folder, basename(str(e["name"]))) for e in _entries(folder, "directory"))


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
    return entry_version(file_info(fs, path))


def folder_versions(folder: str) -> dict[str, str]:
    """Name and :func:`version` of the files directly inside a folder, by one listing; empty if it is not there."""
    if not is_local(folder):
        return {basename(str(e["name"])): entry_version(e) for e in _entries(folder)}
    try:
        with os.scandir(filesystem(folder)[1]) as entries:
            return {e.name: _local_version(e.stat()) for e in entries if e.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return {}


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
    if not is_remote(fs):
        fs.makedirs(path, exist_ok=True)


def remove(url: str, *, recursive: bool = False) -> None:
    """Remove a file (or a folder with all in it); nothing if it is not there. Raises OSError, StorageError."""
    fs, path = filesystem(url)
    with suppress(FileNotFoundError):
        if is_remote(fs):
            retried(f"remove {url}", lambda: _remove_remote(fs, path, recursive=recursive))
        else:
            fs.rm(path, recursive=recursive)


def cancel_uploads(folder: str) -> None:
    """Cancel what killed writers of files below a folder left half sent: S3 keeps, and bills, it until then.

    GCS forgets such uploads after a week, unbilled. Needs a permission that not every user has; nothing without it.
    """
    fs, path = filesystem(folder)
    if not (is_remote(fs) and hasattr(fs, "abort_mpu")):
        return
    bucket, prefix, _ = fs.split_path(path.rstrip("/") + "/")
    with suppress(PermissionError):
        for key, upload in retried(f"list {folder}", lambda: _uploads(fs, bucket, prefix)):
            if is_temporary(key):
                with suppress(FileNotFoundError):
                    retried(f"cancel {key}", lambda key=key, upload=upload: fs.abort_mpu(bucket, key, upload))


def _uploads(fs: Any, bucket: str, prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    marker: dict[str, str] = {}
    while True:
        page: dict[str, Any] = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **marker)
        found += [(str(u["Key"]), str(u["UploadId"])) for u in page.get("Uploads", [])]
        if not page.get("IsTruncated"):
            return found
        marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def _remove_remote(fs: Any, path: str, *, recursive: bool) -> None:
    """S3's bulk removal does not tell what it failed to remove."""
    fs.rm(path, recursive=recursive)
    if recursive and (left := fs.find(path)):
        raise TransferError(f"{path}: {len(left)} files were not removed")


def _entries(folder: str, kind: str = "file") -> list[dict[str, Any]]:
    """The files, or folders, directly inside a folder."""
    fs, path = filesystem(folder)
    try:
        found: list[dict[str, Any]] = _tried(fs, f"list {folder}", lambda: fs.ls(path, detail=True))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [entry for entry in found if entry["type"] == kind]


def _tried(fs: Any, what: str, operation: Callable[[], _T]) -> _T:
    return retried(what, operation) if is_remote(fs) else operation()
