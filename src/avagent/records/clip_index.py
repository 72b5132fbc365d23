"""Which shard of a run holds a clip of which content: so that a clip is known again in another shard."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]

from avagent import storage
from avagent.core.clip import ClipRef
from avagent.core.errors import ParameterError
from avagent.core.state import ClipDecision
from avagent.records.decisions import read_decisions
from avagent.records.manifest import CLIPS_FILE, decisions_url, manifest_url

# pyarrow carries no types
_pc: Any = pc
_pq: Any = pq
_DIGITS = 16
_SHARDS_HELD = 8


class ClipIndex:
    """The clips of a run by 64 bits of their content hash: 12 bytes a clip, so that millions fit in a worker.

    Args:
        output: the run's folder, with its clips.parquet.

    Raises:
        OSError: it cannot be read.
    """

    def __init__(self, output: str) -> None:
        self._output = output
        self._shards: list[str] = []
        heads, shards = self._read()
        order = np.argsort(heads, kind="stable")
        self._heads = heads[order]
        self._of = shards[order]
        self._decisions = lru_cache(maxsize=_SHARDS_HELD)(self._load)

    def find(self, ref: ClipRef) -> tuple[str, ClipDecision] | None:
        """Shard and decision of a clip of this key and content, wherever in the run it was.

        Raises:
            OSError: a file of decisions cannot be read.
        """
        if not ref.content_sha256:
            return None
        head = np.uint64(int(ref.content_sha256[:_DIGITS], 16))
        first, last = np.searchsorted(self._heads, head, "left"), np.searchsorted(self._heads, head, "right")
        for number in set(cast("list[int]", self._of[first:last].tolist())):
            shard = self._shards[number]
            if (found := self._decisions(shard).get((ref.key, ref.content_sha256))) is not None:
                return shard, found
        return None

    def _read(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
        heads: list[npt.NDArray[np.uint64]] = []
        shards: list[npt.NDArray[np.int32]] = []
        numbers: dict[str, int] = {}
        with storage.open_read(manifest_url(self._output, CLIPS_FILE)) as file:
            for batch in _pq.ParquetFile(file).iter_batches(columns=["shard", "content_sha256"]):
                hashes, names = batch.column("content_sha256"), batch.column("shard").dictionary_encode()
                readable = _pc.equal(_pc.utf8_length(hashes), 64)
                digits = "".join(_pc.utf8_slice_codeunits(hashes.filter(readable), 0, _DIGITS).to_pylist())
                heads.append(np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64))
                known = [numbers.setdefault(str(name), len(numbers)) for name in names.dictionary.to_pylist()]
                codes = cast("npt.NDArray[np.int32]", names.indices.filter(readable).to_numpy(zero_copy_only=False))
                shards.append(np.array(known, np.int32)[codes])
        self._shards = list(numbers)
        none: list[npt.NDArray[Any]] = [np.empty(0, np.uint64)]
        return np.concatenate([*heads, *none]).astype(np.uint64), np.concatenate([*shards, *none]).astype(np.int32)

    def _load(self, shard: str) -> dict[tuple[str, str], ClipDecision]:
        try:
            found = list(read_decisions(decisions_url(self._output, shard)))
        except (FileNotFoundError, ParameterError):
            return {}
        return {(decision.ref.key, decision.ref.content_sha256): decision for decision in found}


def clip_index(output: str) -> ClipIndex:
    """The index of a complete run; one is kept per process, as long as the run stays as it is. Raises OSError."""
    return _index(output, storage.version(manifest_url(output, CLIPS_FILE)))


@lru_cache(maxsize=1)
def _index(output: str, _version: str) -> ClipIndex:
    return ClipIndex(output)
