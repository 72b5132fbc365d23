"""Seeded mutations of files: the part of a fuzzer that needs no coverage."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1, 1 << 63)
MAX_BYTES = 1 << 18


def mutate(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """The data after one to eight random changes."""
    mutated = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        rng.choice(_CHANGES)(mutated, others, rng)
    return bytes(mutated[:MAX_BYTES])


def _place(data: bytearray, rng: random.Random) -> int:
    """Anywhere, but more often near the start, where headers are."""
    return rng.randrange(min(len(data), 600) if rng.random() < 0.4 else len(data)) if data else 0


def _flip(data: bytearray, _others: Sequence[bytes], rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _set(data: bytearray, _others: Sequence[bytes], rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] = rng.randrange(256)


def _number(data: bytearray, _others: Sequence[bytes], rng: random.Random) -> None:
    width = rng.choice((1, 2, 4, 8))
    value = (rng.choice(_INTERESTING) + rng.choice((-1, 0, 0, 1))) % (1 << 8 * width)
    at = _place(data, rng)
    data[at : at + width] = value.to_bytes(width, rng.choice(("big", "little")))


def _digits(data: bytearray, _others: Sequence[bytes], rng: random.Random) -> None:
    """Numbers that are written out: octal sizes, PAX lengths, JSON."""
    at = _place(data, rng)
    text = str(rng.choice(_INTERESTING)).encode()
    data[at : at + len(text)] = text


def _delete(data: bytearray, _others: Sequence[bytes], rng: random.Random) -> None:
    at = _place(data, rng)
    del data[at : at + rng.choice((1, 4, 16, 512, 4096))]


def _double(data: bytearray, _others: Sequence[bytes], rng: random.Random) -> None:
    start, at = _place(data, rng), _place(data, rng)
    data[at:at] = data[start : start + rng.choice((1, 8, 64, 512, 4096))] * rng.choice((1, 1, 2, 20))


def _splice(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    other = rng.choice(others)
    at, start = _place(data, rng), rng.randrange(len(other) + 1)
    data[at : at + rng.choice((0, 64, 512))] = other[start : start + rng.choice((8, 64, 512, 1 << 16))]


def _truncate(data: bytearray, _others: Sequence[bytes], rng: random.Random) -> None:
    del data[_place(data, rng) :]


_CHANGES: tuple[Callable[[bytearray, Sequence[bytes], random.Random], None], ...] = (
    _flip,
    _flip,
    _set,
    _set,
    _number,
    _number,
    _digits,
    _delete,
    _double,
    _splice,
    _truncate,
)
