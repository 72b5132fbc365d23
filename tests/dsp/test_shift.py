"""Shift: sample-exact, both ways, both edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avagent.core.actions import Shift
from avagent.core.media import Waveform
from avagent.dsp.actions.edit import apply
from avagent.dsp.actions.shift import ShiftReport

RATE = 8_000


def shifted(samples: list[float], count: int, *, edge: str = "silence") -> list[float]:
    action = Shift(milliseconds=1000.0 * count / RATE, edge=edge)  # pyright: ignore[reportArgumentType]
    return apply(action, Waveform(np.array([samples], np.float32), RATE)).waveform.samples[0].tolist()


def test_later_and_earlier_with_silence() -> None:
    assert shifted([1, 2, 3, 4], 1) == [0, 1, 2, 3]
    assert shifted([1, 2, 3, 4], -3) == [4, 0, 0, 0]
    assert shifted([1, 2, 3, 4], 4) == [0, 0, 0, 0]
    assert shifted([1, 2, 3, 4], -40) == [0, 0, 0, 0]


def test_the_open_end_can_mirror_what_is_left() -> None:
    assert shifted([1, 2, 3, 4], 2, edge="reflect") == [1, 2, 1, 2]
    assert shifted([1, 2, 3, 4, 5], 2, edge="reflect") == [3, 2, 1, 2, 3]
    assert shifted([1, 2, 3, 4, 5], -2, edge="reflect") == [3, 4, 5, 4, 3]
    assert shifted([1, 2, 3, 4, 5], -4, edge="reflect") == [5, 5, 5, 5, 5]
    assert shifted([1, 2, 3], 3, edge="reflect") == [0, 0, 0]


@given(st.integers(1, 60), st.integers(-80, 80), st.sampled_from(["silence", "reflect"]))
def test_what_stays_in_the_clip_is_bit_identical(length: int, count: int, edge: str) -> None:
    source = np.random.default_rng(length).standard_normal((2, length)).astype(np.float32)
    action = Shift(milliseconds=1000.0 * count / RATE, edge=edge)  # pyright: ignore[reportArgumentType]
    edited = apply(action, Waveform(source, RATE))
    out, report = edited.waveform.samples, edited.report
    moved = max(-length, min(length, count))
    assert report == ShiftReport(samples=moved, lost=abs(moved))
    if moved >= 0:
        np.testing.assert_array_equal(out[:, moved:], source[:, : length - moved])
    else:
        np.testing.assert_array_equal(out[:, :moved], source[:, -moved:])


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_milliseconds_are_rounded_to_samples(rate: int) -> None:
    impulse = np.zeros((1, rate), np.float32)
    impulse[0, 100] = 1.0
    out = apply(Shift(milliseconds=33.37), Waveform(impulse, rate)).waveform.samples
    assert int(np.argmax(out[0])) == 100 + round(0.03337 * rate)


def test_there_and_back_keeps_the_middle() -> None:
    source = Waveform(np.arange(1.0, 101.0, dtype=np.float32)[None, :], RATE)
    there = apply(Shift(milliseconds=1.0), source).waveform
    back = apply(Shift(milliseconds=-1.0), there).waveform
    np.testing.assert_array_equal(back.samples[:, :92], source.samples[:, :92])
