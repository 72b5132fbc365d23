"""The byte-bounded cache."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avagent.core.errors import FailureReason, MediaError, ParameterError, ShardError
from avagent.storage.byte_cache import ENTRY_BYTES, ByteCache

KIB = 1024


def size_of(value: bytes) -> int:
    return len(value)


def broken() -> bytes:
    raise MediaError("broken", reason=FailureReason.CORRUPT_MEDIA)


def unreachable() -> bytes:
    raise ShardError("unreachable", reason=FailureReason.UNREADABLE_SHARD)


@given(
    st.integers(4, 40),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12), st.booleans()), max_size=60),
)
def test_behaves_like_a_plain_lru(bound: int, steps: list[tuple[int, int, bool]]) -> None:
    cache: ByteCache[int] = ByteCache(bound * KIB)
    model: OrderedDict[int, bytes] = OrderedDict()
    for key, kib, stored in steps:
        value = bytes(kib * KIB)
        if stored:
            cache.put(key, value, len(value))
            model.pop(key, None)
            keep(model, key, value, bound)
        elif key in model:
            model.move_to_end(key)
            assert cache.get(key, broken, size_of) == model[key]
        else:
            assert cache.get(key, lambda v=value: v, size_of) == value
            keep(model, key, value, bound)
        assert {k for k in range(10) if k in cache} == set(model)
        assert cache.stats.entries == len(model)
        assert cache.stats.bytes == sum(len(v) + ENTRY_BYTES for v in model.values()) <= bound * KIB


def keep(model: OrderedDict[int, bytes], key: int, value: bytes, bound: int) -> None:
    if len(value) + ENTRY_BYTES > bound * KIB:
        return
    model[key] = value
    while sum(len(v) + ENTRY_BYTES for v in model.values()) > bound * KIB:
        model.popitem(last=False)


def test_counts() -> None:
    cache: ByteCache[str] = ByteCache(4 * KIB)
    for key in ("a", "b", "a", "c", "d"):
        cache.get(key, lambda: bytes(KIB // 2), size_of)
    stats = cache.stats
    assert (stats.hits, stats.misses, stats.evictions, stats.entries) == (1, 4, 2, 2)
    assert "a" not in cache


def test_larger_than_the_bound_is_handed_out_but_not_kept() -> None:
    cache: ByteCache[str] = ByteCache(4 * KIB)
    cache.put("small", b"x", 1)
    assert cache.get("large", lambda: bytes(9 * KIB), size_of) == bytes(9 * KIB)
    assert "large" not in cache
    assert "small" in cache


def test_one_thread_makes_what_many_ask_for() -> None:
    cache: ByteCache[str] = ByteCache(KIB * KIB)
    together, made = threading.Barrier(8), []

    def make() -> bytes:
        made.append(threading.get_ident())
        return b"value"

    def ask(_: int) -> bytes:
        together.wait()
        return cache.get("key", make, size_of)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [b"value"] * 8
    assert len(made) == 1
    assert (cache.stats.hits, cache.stats.misses) == (7, 1)


def test_waiting_threads_get_the_error_too() -> None:
    cache: ByteCache[str] = ByteCache(KIB * KIB)
    started, release = threading.Event(), threading.Event()

    def make() -> bytes:
        started.set()
        release.wait()
        return unreachable()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, "key", make, size_of)
        started.wait()
        second = pool.submit(cache.get, "key", make, size_of)
        while cache.stats.hits < 1:
            pass
        release.set()
        for future in (first, second):
            with pytest.raises(ShardError):
                future.result()
    assert cache.get("key", lambda: b"now", size_of) == b"now"


def test_permanent_errors_are_kept_and_raised_afresh() -> None:
    cache: ByteCache[str] = ByteCache(KIB * KIB, permanent=(MediaError,))
    calls = []

    def make() -> bytes:
        calls.append(1)
        return broken()

    raised = []
    for _ in range(3):
        with pytest.raises(MediaError, match="broken") as caught:
            cache.get("key", make, size_of)
        raised.append(caught.value)
    assert len(calls) == 1
    assert len({id(error) for error in raised}) == 3
    assert {error.reason for error in raised} == {FailureReason.CORRUPT_MEDIA}


def test_passing_errors_are_not_kept() -> None:
    cache: ByteCache[str] = ByteCache(KIB * KIB, permanent=(MediaError,))
    with pytest.raises(ShardError):
        cache.get("key", unreachable, size_of)
    assert cache.get("key", lambda: b"back", size_of) == b"back"


def test_bound_must_be_positive() -> None:
    with pytest.raises(ParameterError, match="max_bytes must be positive, got 0"):
        ByteCache(0)


def test_what_is_not_wanted_any_more_can_be_dropped() -> None:
    cache: ByteCache[tuple[str, int]] = ByteCache(100_000)
    for number in range(4):
        cache.put(("ab"[number % 2], number), number, 100)
    cache.discard(lambda key: key[0] == "a")
    assert [key in cache for key in (("a", 0), ("b", 1), ("a", 2), ("b", 3))] == [False, True, False, True]
    assert cache.stats.entries == 2
    assert cache.stats.bytes == 2 * (100 + ENTRY_BYTES)
    assert cache.stats.evictions == 0
