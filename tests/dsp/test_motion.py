"""Motion energy sees what moves, and only that."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avagent.core.errors import ParameterError
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


def test_repeated_frames_are_bridged() -> None:
    pictures = [_with_square(_background(), 2 * i) for i in range(30)]
    plain = motion_energy(_film(pictures)).energy
    repeated = motion_energy(_film([*pictures[:15], pictures[14], *pictures[15:]])).energy
    assert plain[15] > 0.0
    assert repeated[15] == pytest.approx((plain[14] + plain[15]) / 2)


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
