"""Motion energy sees what moves, and only that."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from avagent.core.errors import ParameterError
from avagent.core.media import FloatArray
from avagent.dsp.measures.motion import is_still, motion_energy

Picture = npt.NDArray[np.uint8]


def _background(seed: int = 0, height: int = 90, width: int = 160) -> npt.NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(30.0, 220.0, (6, 8))
    return np.kron(coarse, np.ones((height // 6, width // 8)))[:height, :width]


def _with_square(picture: npt.NDArray[np.float64], left: int) -> npt.NDArray[np.float64]:
    out = picture.copy()
    out[30:60, left : left + 30] = 255.0
    return out


def _film(pictures: list[npt.NDArray[np.float64]], rate: float = 25.0) -> Iterator[tuple[Picture, float]]:
    for index, picture in enumerate(pictures):
        yield np.clip(picture, 0, 255).astype(np.uint8), index / rate


def test_a_still_picture_with_coding_noise_is_still() -> None:
    generator = np.random.default_rng(1)
    background = _background()
    noisy = [background + generator.normal(0.0, 2.0, background.shape) for _ in range(30)]
    # A key frame shifts the level of whole blocks a little.
    shifts = np.kron(generator.uniform(-1, 1, (9, 16)), np.ones((10, 10)))
    noisy[15:] = [picture + shifts for picture in noisy[15:]]
    assert is_still(motion_energy(_film(noisy)))


@given(moments=st.sets(st.integers(2, 37), min_size=1, max_size=6))
@example(moments={17, 18, 20, 21})
@settings(max_examples=30, deadline=None)
def test_energy_is_where_the_picture_changes(moments: set[int]) -> None:
    left, pictures = 0, []
    for index in range(40):
        left += 17 if index in moments else 0
        pictures.append(_with_square(_background(), left % 120))
    motion = motion_energy(_film(pictures))
    assert set(np.flatnonzero(motion.energy > 0.5)) == moments
    assert not is_still(motion)
    assert motion.times == pytest.approx(np.arange(40) / 25.0)


def test_a_scene_cut_does_not_outweigh_movement() -> None:
    first = [_with_square(_background(1), 2 * i) for i in range(30)]
    second = [_with_square(_background(2), 2 * i) for i in range(30)]
    energy = motion_energy(_film(first + second)).energy
    assert energy[30] <= 1.2 * np.max(np.delete(energy, 30))
    assert energy[10] > 0.1


def test_a_flash_is_an_event_not_a_cut() -> None:
    dark, bright = np.full((90, 160), 20.0), np.full((90, 160), 230.0)
    energy = motion_energy(_film([dark] * 10 + [bright] * 2 + [dark] * 10)).energy
    assert set(np.flatnonzero(energy > 50.0)) == {10, 12}


def _steady(count: int) -> list[npt.NDArray[np.float64]]:
    """A square that goes to and fro at one speed."""
    return [_with_square(_background(), abs(4 * index % 240 - 120)) for index in range(count)]


def _energy_with_repeats(count: int, repeats: list[int]) -> tuple[FloatArray, FloatArray]:
    """Of `count` pictures, and of the same with repeated ones at these indices of the result."""
    plain = motion_energy(_film(_steady(count))).energy
    source = np.cumsum([index not in repeats for index in range(count + len(repeats))]) - 1
    pictures = _steady(count)
    return plain[source], motion_energy(_film([pictures[index] for index in source])).energy


@given(period=st.fractions(4, 25, max_denominator=6), first=st.integers(3, 20), times=st.integers(3, 6))
@example(period=Fraction(25), first=7, times=5)  # 24 frames/s as 25
@example(period=Fraction(5), first=4, times=6)  # 24 as 30
@example(period=Fraction(24400, 1000), first=5, times=4)  # 23.976 as 25: at 24 or 25 frames
@settings(max_examples=30)
def test_frames_that_a_conversion_repeats_are_bridged(period: Fraction, first: int, times: int) -> None:
    repeats = [first + int(k * period) for k in range(times)]
    plain, repeated = _energy_with_repeats(repeats[-1] + 10, repeats)
    assert plain.min(initial=9.0, where=np.arange(plain.size) > 0) > 0.0
    assert repeated[repeats] == pytest.approx((plain[np.subtract(repeats, 1)] + plain[np.add(repeats, 1)]) / 2)
    others = np.delete(np.arange(plain.size), repeats)
    assert repeated[others] == pytest.approx(plain[others])


def test_repeats_beyond_a_pause_are_of_the_same_conversion() -> None:
    """Amid steady movement repeats show at 6, 11, 16 and, after a pause, at 41."""
    pictures = _steady(60)
    source = np.cumsum([index % 5 != 1 and not 18 < index < 38 for index in range(60)])
    energy = motion_energy(_film([pictures[index] for index in source])).energy
    assert energy[[6, 11, 16, 41]].min() > 0.0
    assert set(np.flatnonzero(energy[3:-3] == 0.0) + 3) == set(range(19, 38))


@given(halts=st.lists(st.integers(5, 60), min_size=1, max_size=2, unique=True))
@settings(max_examples=30)
def test_one_halt_or_two_are_no_conversion(halts: list[int]) -> None:
    _, energy = _energy_with_repeats(70, halts)
    assert set(np.flatnonzero(energy == 0.0)) == {0, *halts}


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (37, 53), (1080, 1920)])
def test_any_shape(shape: tuple[int, int]) -> None:
    frames = [(np.full(shape, value, np.uint8), index / 10) for index, value in enumerate((0, 100, 100))]
    assert motion_energy(frames).energy == pytest.approx([0.0, 98.0, 0.0])


def test_no_and_one_frame() -> None:
    assert motion_energy([]).energy.size == 0
    assert is_still(motion_energy([]))
    one = motion_energy([(np.zeros((4, 4), np.uint8), 0.0)])
    assert one.energy.tolist() == [0.0]
    assert is_still(one)


def test_bad_frames_are_refused() -> None:
    with pytest.raises(ParameterError, match="uint8"):
        motion_energy([(np.zeros((4, 4), np.float32), 0.0)])  # type: ignore[list-item]
    with pytest.raises(ParameterError, match="one shape"):
        motion_energy([(np.zeros((4, 4), np.uint8), 0.0), (np.zeros((4, 5), np.uint8), 0.1)])
