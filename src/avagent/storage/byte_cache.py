"""A thread-safe least-recently-used cache, bounded in bytes, that makes what it does not hold."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from avagent.core.errors import ClipError, ParameterError

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

ENTRY_BYTES = 1024
"""What an entry is counted as besides its arrays: the cache also bounds the number of small entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """What the cache did so far.

    Attributes:
        hits: requests answered from the cache, or by a result that another thread was making.
        misses: requests for which something was made.
        evictions: entries dropped to stay within the bound.
        entries: held now.
        bytes: held now.
    """

    hits: int
    misses: int
    evictions: int
    entries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class _Entry:
    value: Any
    nbytes: int


class ByteCache(Generic[K]):
    """Values by key; the least recently used leave first.

    Each value is made by one thread, whatever the number of threads that ask for it. A :class:`ClipError` of a kind
    that would come again (`permanent`) is kept like a value and raised to everyone who asks.

    Args:
        max_bytes: bound of what is kept; a single larger value is handed out but not kept.
        permanent: errors that are kept.
    """

    def __init__(self, max_bytes: int, *, permanent: tuple[type[ClipError], ...] = ()) -> None:
        if max_bytes <= 0:
            raise ParameterError(f"max_bytes must be positive, got {max_bytes}")
        self._max_bytes = max_bytes
        self._permanent = permanent
        self._entries: OrderedDict[K, _Entry] = OrderedDict()
        self._making: dict[K, Future[Any]] = {}
        self._lock = threading.Lock()
        self._bytes = self._hits = self._misses = self._evictions = 0

    @property
    def stats(self) -> CacheStats:
        """Counters and what is held now."""
        with self._lock:
            return CacheStats(
                hits=self._hits,
                misses=self._misses,
                evictions=self._evictions,
                entries=len(self._entries),
                bytes=self._bytes,
            )

    def put(self, key: K, value: object, nbytes: int) -> None:
        """Keep a value of `nbytes` bytes."""
        with self._lock:
            self._keep(key, value, nbytes)

    def discard(self, unwanted: Callable[[K], bool]) -> None:
        """Drop the values whose keys are unwanted; not counted as evictions."""
        with self._lock:
            for key in [key for key in self._entries if unwanted(key)]:
                self._bytes -= self._entries.pop(key).nbytes

    def __contains__(self, key: K) -> bool:
        """Whether a value is held (or an error); does not count as a use."""
        with self._lock:
            return key in self._entries

    def get(self, key: K, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """The value under a key, made by `make` if it is not held; `size` tells its bytes.

        Raises:
            what `make` raises; an error that is kept is raised as a fresh copy each time.
        """
        with self._lock:
            if (entry := self._entries.get(key)) is not None:
                self._entries.move_to_end(key)
                self._hits += 1
                return _delivered(entry.value)
            mine = key not in self._making
            future: Future[Any] = self._making.setdefault(key, Future())
            if mine:
                self._misses += 1
            else:
                self._hits += 1
        return self._make(key, future, make, size) if mine else _delivered(future.result())

    def _make(self, key: K, future: Future[Any], make: Callable[[], T], size: Callable[[T], int]) -> T:
        value: Any = None
        try:
            value = make()
            nbytes = size(value)
        except self._permanent as error:
            value, nbytes = copy.copy(error), 0
        except BaseException as error:
            with self._lock:
                del self._making[key]
            future.set_exception(error)
            raise
        with self._lock:
            del self._making[key]
            self._keep(key, value, nbytes)
        future.set_result(value)
        return _delivered(value)

    def _keep(self, key: K, value: object, nbytes: int) -> None:
        nbytes += ENTRY_BYTES
        if (old := self._entries.pop(key, None)) is not None:
            self._bytes -= old.nbytes
        if nbytes > self._max_bytes:
            return
        self._entries[key] = _Entry(value, nbytes)
        self._bytes += nbytes
        while self._bytes > self._max_bytes:
            _, dropped = self._entries.popitem(last=False)
            self._bytes -= dropped.nbytes
            self._evictions += 1


def _delivered(value: Any) -> Any:
    if isinstance(value, ClipError):
        raise copy.copy(value)
    return value
