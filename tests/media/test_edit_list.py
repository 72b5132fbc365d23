"""Edit lists of ISO media files."""

from __future__ import annotations

import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_samples import Recipe, build, tone_bursts

from avagent.media.container import decode_audio
from avagent.media.edit_list import edited_duration, moov_first, set_edit


def box(kind: bytes, *payload: bytes) -> bytes:
    body = b"".join(payload)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def movie(edits: list[tuple[int, int]], version: int = 0, timescale: int = 1000) -> bytes:
    form = ">Qq" if version else ">Ii"
    entries = b"".join(struct.pack(form, *edit) + b"\0\1\0\0" for edit in edits)
    elst = box(b"elst", bytes([version, 0, 0, 0]), struct.pack(">I", len(edits)), entries)
    times = struct.pack(">QQ", 0, 0) if version else struct.pack(">II", 0, 0)
    mvhd = box(b"mvhd", bytes([version, 0, 0, 0]), times, struct.pack(">I", timescale), bytes(80))
    plain, edited = (box(b"tkhd", bytes(12), struct.pack(">I", number), bytes(68)) for number in (1, 2))
    return box(b"ftyp", b"isom") + box(b"moov", mvhd, box(b"trak", plain), box(b"trak", edited, box(b"edts", elst)))


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize(("delay", "before"), [(0, [(5, 0)]), (7, [(5, -1), (6, 0)])])
def test_set_and_read(version: int, delay: int, before: list[tuple[int, int]]) -> None:
    data = bytearray(movie(before, version))
    assert set_edit(data, 1, delay=delay, priming=1024, length=2500)
    assert bytes(data) == movie(([(delay, -1)] if delay else []) + [(2500, 1024)], version)
    assert edited_duration(bytes(data), 2) == Fraction(5, 2)


def test_lists_of_another_form_are_left_alone() -> None:
    for edits, delay in (([(5, 0)], 7), ([(5, -1), (6, 0)], 0), ([(5, 0), (6, 9)], 0), ([], 0)):
        data = bytearray(movie(edits))
        assert not set_edit(data, 1, delay=delay, priming=1, length=2)
        assert bytes(data) == movie(edits)


def test_durations_that_are_not_told() -> None:
    assert edited_duration(movie([(5, 0), (6, 9)]), 2) is None
    assert edited_duration(movie([(0, 0)]), 2) is None
    assert edited_duration(movie([(5, 0)], timescale=0), 2) is None
    assert edited_duration(movie([(5, 0)]), 1) is None
    assert edited_duration(movie([(5, 0)]), 9) is None
    assert edited_duration(b"RIFF", 0) is None


def test_sizes_of_64_bits_and_to_the_end() -> None:
    large = struct.pack(">I4sQ", 1, b"mdat", 20) + b"data"
    assert not moov_first(large + movie([(5, 0)]))
    assert edited_duration(large + movie([(5, 0)]), 2) == Fraction(1, 200)
    assert moov_first(movie([(5, 0)]) + struct.pack(">I4s", 0, b"mdat") + b"until the end")
    assert not moov_first(b"")


@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 255))
def test_never_fails_on_broken_files(tail: bytes, position: int, value: int) -> None:
    data = bytearray(movie([(5, -1), (6, 0)]) + tail)
    data[position % len(data)] = value
    size = len(data)
    edited_duration(bytes(data), 2)
    moov_first(bytes(data))
    set_edit(data, 1, delay=3, priming=1, length=2)
    assert len(data) == size


def test_duration_of_a_real_file() -> None:
    sound = tone_bursts(1.9)
    data = build(Recipe(sound=sound))
    assert edited_duration(data, 2) == pytest.approx(1.9, abs=1e-3)
    decoded = decode_audio(data)
    assert decoded is not None
    assert abs(decoded.length - sound.length) <= 48
