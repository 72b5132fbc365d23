"""Impacts are seen when a thing stops or turns, not when it is fastest, and codecs make none."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avagent.core.errors import ParameterError
from avagent.core.media import Motion
from avagent.dsp.measures.impact import impact_curve
from avagent.dsp.measures.motion import motion_energy
from avagent.media.picture import decode_motion

Array = npt.NDArray[np.float64]


def _film(at: Callable[[float], float], seconds: float, rate: float, width: int = 96, height: int = 64) -> npt.NDArray:
    """A bright disc whose centre is `at(t)` of the way from the top to the bottom, over a texture."""
    y, x = np.mgrid[0:height, 0:width]
    ground = 90.0 + 25.0 * np.sin(x / 7.0) * np.cos(y / 5.0)
    shots = []
    for time in np.arange(int(seconds * rate)) / rate:
        radius = 0.13 * height
        far = np.hypot(x - 0.5 * width, y - (radius + at(float(time)) * (height - 2 * radius)))
        cover = np.clip(radius - far + 0.5, 0.0, 1.0)
        shots.append(np.rint(ground * (1 - cover) + 235.0 * cover).astype(np.uint8))
    return np.stack(shots)


def _thrown(contacts: Array) -> Callable[[float], float]:
    """Falls ever faster until each contact, and is thrown up again."""

    def at(time: float) -> float:
        index = int(np.searchsorted(contacts, time, "right"))
        before = contacts[index - 1] if index else contacts[0] - 0.8
        after = contacts[index] if index < contacts.size else contacts[-1] + 0.8
        return float(0.85 - 3.0 * (time - before) * (after - time) / max(0.64, (after - before) ** 2))

    return at


def _motion(film: npt.NDArray, rate: float) -> Motion:
    return motion_energy((picture, index / rate) for index, picture in enumerate(film))


def _impact(film: npt.NDArray, rate: float) -> npt.NDArray[np.float32]:
    impact = _motion(film, rate).impact
    assert impact is not None
    return impact


def _centre(curve: Array, times: Array, near: float) -> float:
    window = np.abs(times - near) < 0.12
    return float((curve[window] * times[window]).sum() / curve[window].sum())


@given(first=st.floats(0.8, 1.1), rate=st.sampled_from([24.0, 25.0, 30.0, 50.0, 60.0]))
@settings(max_examples=25, deadline=None)
def test_a_touch_is_seen_when_it_happens_though_motion_is_greatest_before(first: float, rate: float) -> None:
    contacts = first + np.array([0.0, 0.7, 1.5, 2.1])
    impact = _impact(_film(_thrown(contacts), 4.0, rate), rate)
    times = np.arange(impact.size) / rate
    found = [1000.0 * (_centre(impact, times, c) - c) for c in contacts]
    assert abs(float(np.mean(found))) <= 20.0
    near = np.abs(times[:, None] - contacts).min(axis=1) <= 1.5 / rate
    assert impact[near].mean() > 4.0 * impact[~near].mean()


def test_what_moves_on_makes_no_impact() -> None:
    steady = _impact(_film(lambda t: 0.1 + 0.25 * t, 3.0, 25.0), 25.0)
    stops = _impact(_film(lambda t: 0.1 + 0.5 * min(t, 1.5), 3.0, 25.0), 25.0)
    assert steady[2:-2].max() < 0.15 * stops.max()
    assert np.argmax(stops) / 25.0 == pytest.approx(1.5, abs=0.04)


def test_cuts_and_repeated_pictures_make_no_impact() -> None:
    film = _film(lambda t: 0.1 + 0.25 * t, 3.0, 25.0)
    other = _film(lambda t: 0.9 - 0.25 * t, 3.0, 25.0)[:, ::-1, ::-1].copy()
    other = (255 - other).astype(np.uint8)
    real = _impact(_film(lambda t: 0.1 + 0.5 * min(t, 1.5), 3.0, 25.0), 25.0)
    cut = _impact(np.concatenate([film[:40], other[:40]]), 25.0)
    repeated = _impact(film[[i - i // 8 for i in range(80)]], 25.0)
    assert max(cut.max(), repeated.max()) < 0.2 * real.max()


def _encoded(film: npt.NDArray, codec: str, distance: int, options: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        stream = out.add_stream(codec, rate=25, options={"g": str(distance), **options})
        stream.height, stream.width = film.shape[1:]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 120_000
        for index, picture in enumerate(film):
            frame = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()


CODECS = {
    "mpeg4": {},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
    "mpeg2video": {},
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("distance", [5, 12, 250])
def test_no_codec_and_no_distance_of_keyframes_changes_impacts(codec: str, distance: int) -> None:
    contacts = np.array([0.9, 1.6, 2.4, 3.0])
    film = _film(_thrown(contacts), 4.0, 25.0, 192, 128)
    motion = decode_motion(_encoded(film, codec, distance, CODECS[codec]))
    assert motion is not None
    assert motion.impact is not None
    plain = _impact(film, 25.0)
    assert np.corrcoef(motion.impact, plain)[0, 1] > 0.9
    found = [_centre(motion.impact, motion.times, c) - _centre(plain, motion.times, c) for c in contacts]
    assert np.abs(found).max() <= 0.01


def test_what_is_no_film_is_refused_and_short_ones_have_no_impact() -> None:
    with pytest.raises(ParameterError, match="film must be uint8"):
        impact_curve(np.zeros((3, 4), np.uint8))
    with pytest.raises(ParameterError, match="film must be uint8"):
        impact_curve(np.zeros((3, 4, 4), np.float32))  # type: ignore[arg-type]
    assert impact_curve(np.zeros((2, 4, 4), np.uint8)).tolist() == [0.0, 0.0]
    assert impact_curve(np.full((5, 1, 9), 7, np.uint8)).tolist() == [0.0] * 5
    with pytest.raises(ParameterError, match="impact must be"):
        Motion(np.zeros(3, np.float32), np.zeros(3), np.zeros(2, np.float32))
