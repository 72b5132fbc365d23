"""Files wherever fsspec reaches: plain paths, `file://`, `memory://`, `gs://` (extra `gcs`), `s3://` (extra `s3`).

Whatever the storage: a file is there whole or not at all, a read gives all that was asked for, and what fails in
passing is tried again. `docs/storage.md` says how each platform does it.
"""

from __future__ import annotations

from avagent.storage.atomic import AtomicFile, Written, atomic_write, copy, create, is_temporary, write_bytes
from avagent.storage.files import (
    cancel_uploads,
    entry_version,
    exists,
    folder_sizes,
    folder_versions,
    glob,
    is_folder,
    list_folder,
    list_subfolders,
    makedirs,
    remove,
    size,
    version,
)
from avagent.storage.reading import ByteSource, iter_range, open_read, read_bytes, read_range, read_text
from avagent.storage.retries import RetryPolicy, configure, retry_counts
from avagent.storage.urls import EXTRAS, basename, canonical, filesystem, is_local, join, parent

__all__ = [
    "EXTRAS",
    "AtomicFile",
    "ByteSource",
    "RetryPolicy",
    "Written",
    "atomic_write",
    "basename",
    "cancel_uploads",
    "canonical",
    "configure",
    "copy",
    "create",
    "entry_version",
    "exists",
    "filesystem",
    "folder_sizes",
    "folder_versions",
    "glob",
    "is_folder",
    "is_local",
    "is_temporary",
    "iter_range",
    "join",
    "list_folder",
    "list_subfolders",
    "makedirs",
    "open_read",
    "parent",
    "read_bytes",
    "read_range",
    "read_text",
    "remove",
    "retry_counts",
    "size",
    "version",
    "write_bytes",
]
