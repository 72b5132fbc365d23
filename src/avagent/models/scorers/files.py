"""What tells one file of weights from another."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

SAMPLES, SAMPLE_BYTES = 64, 16 << 10
TAIL_BYTES = 1 << 20
"""Of the end, which in torch's archives lists every tensor with its checksum."""


def file_digest(file: Path) -> str:
    """16 hexadecimal digits over size, samples, the last MiB, and a JSON file of the same stem beside it.

    Samples, for a checkpoint of several GB would take many seconds to hash, at every start of every worker.
    """
    status = file.stat()
    beside = file.with_suffix(".json")
    return _digest(file, status.st_size, status.st_mtime_ns, beside.read_bytes() if beside.is_file() else b"")


@lru_cache(maxsize=16)
def _digest(file: Path, size: int, _changed: int, beside: bytes) -> str:
    digest = hashlib.sha256(f"{size}\n".encode() + beside)
    step = max((size - SAMPLE_BYTES) // (SAMPLES - 1), 1)
    with file.open("rb") as stream:
        for offset in range(0, max(1, size - SAMPLE_BYTES + 1), step):
            stream.seek(offset)
            digest.update(stream.read(SAMPLE_BYTES))
        stream.seek(max(0, size - TAIL_BYTES))
        digest.update(stream.read())
    return digest.hexdigest()[:16]
