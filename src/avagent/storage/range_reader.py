"""A remote file as a stream, read by several range requests at once, in order, in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 8 << 20
"""One request: large against the time it takes to be answered, small against memory."""
AHEAD = 4
"""Requests under way, besides the block that is being read."""
_BUFFER_BYTES = 64 << 10


def open_ranges(
    fetch: Callable[[int, int], bytes], start: int, stop: int, *, block: int = BLOCK_BYTES
) -> io.BufferedReader:
    """The bytes from `start` to `stop` of a file, as a file of their own.

    At most `AHEAD` + 1 blocks are in memory; reading ahead begins with one block, and grows as long as reading goes on
    without a jump.

    Args:
        fetch: (start, stop) -> exactly these bytes; called from several threads. Its errors are raised by reads.
        start, stop: in bytes, from the start of the file.
        block: bytes of a request.
    """
    return io.BufferedReader(_Ranges(fetch, start, stop, block), _BUFFER_BYTES)


class _Ranges(io.RawIOBase):
    def __init__(self, fetch: Callable[[int, int], bytes], start: int, stop: int, block: int) -> None:
        super().__init__()
        self._fetch = fetch
        self._start = start
        self._size = max(stop - start, 0)
        self._block = block
        self._count = -(-self._size // block)
        self._position = 0
        self._ahead = 0
        self._last = -1
        self._blocks: dict[int, Future[bytes]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self._position >= self._size:
            return 0
        number, at = divmod(self._position, self._block)
        data = self._wait(number)
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(data) - at)
        view[:count] = memoryview(data)[at : at + count]
        self._position += count
        return count

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._blocks.clear()
        super().close()

    def _wait(self, number: int) -> bytes:
        """A block's bytes; those after it are asked for, those before it are let go."""
        if number != self._last:
            self._ahead = min(max(2 * self._ahead, 1), AHEAD) if number == self._last + 1 else 0
            self._last = number
        wanted = range(number, min(number + 1 + self._ahead, self._count))
        for old in [n for n in self._blocks if n not in wanted]:
            self._blocks.pop(old).cancel()
        for new in wanted:
            if new not in self._blocks:
                self._blocks[new] = self._ask(new)
        return self._blocks[number].result()

    def _ask(self, number: int) -> Future[bytes]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(AHEAD + 1, thread_name_prefix="range")
        first = number * self._block
        last = min(first + self._block, self._size)
        return self._pool.submit(self._fetch, self._start + first, self._start + last)
