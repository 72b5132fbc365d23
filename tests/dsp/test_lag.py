"""The lag between sound and picture is measured where it can be, and not claimed where it cannot."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avagent.core.errors import ParameterError
from avagent.core.media import Motion, Waveform
from avagent.dsp.measures.lag import LagProfile, lag_profile
from avagent.dsp.measures.onset import ONSET_RATE, onset_strength

RATE = 16000


def _knocks(moments: Iterable[float], seconds: float, seed: int = 0) -> Waveform:
    generator = np.random.default_rng(seed)
    samples = 0.002 * generator.standard_normal(int(seconds * RATE))
    length = int(0.12 * RATE)
    for moment in moments:
        start = round(moment * RATE)
        knock = (
            generator.uniform(0.1, 0.5) * np.exp(-np.arange(length) / (0.03 * RATE)) * generator.standard_normal(length)
        )
        room = max(0, min(length, samples.size - start))
        samples[start : start + room] += knock[:room]
    return Waveform(samples.astype(np.float32)[None], RATE)


def _blows(moments: Iterable[float], seconds: float, frame_rate: float = 25.0) -> Motion:
    times = np.arange(int(seconds * frame_rate)) / frame_rate
    energy = 0.05 * np.random.default_rng(7).random(times.size)
    energy[np.minimum(np.searchsorted(times, np.asarray(list(moments))), times.size - 1)] += 8.0
    return Motion(energy.astype(np.float32), times)


def _moments(seed: int, seconds: float, count: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).uniform(0.7, seconds - 0.7, count))


def _profile(sound: Waveform, motion: Motion) -> LagProfile | None:
    return lag_profile(*onset_strength(sound), motion)


@given(
    lag=st.floats(-0.6, 0.6), seed=st.integers(0, 10_000), frame_rate=st.sampled_from([24.0, 25.0, 29.97, 30.0, 60.0])
)
@settings(max_examples=40, deadline=None)
def test_a_known_lag_is_measured_within_20_ms(lag: float, seed: int, frame_rate: float) -> None:
    moments = _moments(seed, 8.0, 10)
    found = _profile(_knocks(moments + lag, 8.0, seed), _blows(moments, 8.0, frame_rate))
    assert found is not None
    assert found.best_lag_ms == pytest.approx(1000 * lag, abs=20.0)
    assert found.correlation.shape == found.lags_ms.shape == found.significance.shape
    assert np.abs(found.correlation).max() <= 1.0
    assert found.at(found.best_lag_ms) > 0.5


def test_confidence_tells_related_from_unrelated() -> None:
    related, unrelated = [], []
    for seed in range(40):
        moments, others = _moments(seed, 8.0, 9), _moments(seed + 500, 8.0, 9)
        motion = _blows(moments, 8.0)
        for sound, into in ((_knocks(moments + 0.2, 8.0, seed), related), (_knocks(others, 8.0, seed), unrelated)):
            found = _profile(sound, motion)
            assert found is not None
            into.append(found.confidence)
    assert np.quantile(related, 0.1) > 0.5
    assert np.quantile(unrelated, 0.9) < 0.4


def test_steady_movement_and_steady_sound_give_no_confidence() -> None:
    generator = np.random.default_rng(0)
    engine = Waveform((0.1 * generator.standard_normal((1, 8 * RATE))).astype(np.float32), RATE)
    times = np.arange(200) / 25.0
    driving = Motion((3.0 + generator.random(200)).astype(np.float32), times)
    found = _profile(engine, driving)
    assert found is None or found.confidence < 0.3


def test_a_regular_beat_is_ambiguous() -> None:
    moments = np.arange(0.5, 9.5, 0.5)
    found = _profile(_knocks(moments + 0.1, 10.0), _blows(moments, 10.0))
    assert found is not None
    assert found.confidence < 0.3


@pytest.mark.parametrize(
    "motion",
    [
        Motion(np.zeros(100, np.float32), np.arange(100) / 25.0),
        Motion(np.zeros(1, np.float32), np.zeros(1)),
        Motion(np.zeros(0, np.float32), np.zeros(0)),
        Motion(np.ones(10, np.float32), np.arange(10) / 25.0),
    ],
    ids=["still", "one frame", "no frame", "too short"],
)
def test_not_evaluable_pictures(motion: Motion) -> None:
    assert _profile(_knocks([1.0, 2.0], 4.0), motion) is None


def test_silence_and_empty_sound_are_not_evaluable() -> None:
    motion = _blows([1.0, 2.0], 4.0)
    assert _profile(Waveform(np.zeros((1, 4 * RATE), np.float32), RATE), motion) is None
    assert _profile(Waveform(np.zeros((1, 0), np.float32), RATE), motion) is None


def test_bad_arguments_are_refused() -> None:
    motion = _blows([1.0, 2.0, 2.7], 4.0)
    onset, rate = onset_strength(_knocks([1.0, 2.0, 2.7], 4.0))
    with pytest.raises(ParameterError, match="max_lag_s"):
        lag_profile(onset, rate, motion, max_lag_s=0.0)
    with pytest.raises(ParameterError, match="onset_rate"):
        lag_profile(onset, 0.0, motion)


@pytest.mark.parametrize("rate", [8000, 16000, 22254, 44100, 48000])
def test_onsets_are_on_time_at_any_rate(rate: int) -> None:
    moments = np.array([0.5, 1.2, 1.9])
    samples = np.zeros((2, 3 * rate), np.float32)
    generator = np.random.default_rng(0)
    for moment in moments:
        start = round(moment * rate)
        samples[:, start : start + rate // 10] = 0.3 * generator.standard_normal(rate // 10)
    onset, frames = onset_strength(Waveform(samples, rate))
    assert frames == ONSET_RATE
    assert abs(onset.size - 300) <= 1
    assert np.flatnonzero(onset > 0.5 * onset.max()) == pytest.approx(
        np.repeat(moments * 100, len(np.flatnonzero(onset > 0.5 * onset.max())) // 3), abs=1.5
    )


@given(gain=st.floats(-40.0, 10.0))
@settings(max_examples=10, deadline=None)
def test_onsets_do_not_depend_on_the_level(gain: float) -> None:
    sound = _knocks([0.4, 0.9], 1.5)
    louder = Waveform(sound.samples * np.float32(10 ** (gain / 20)), RATE)
    assert onset_strength(louder)[0] == pytest.approx(onset_strength(sound)[0], abs=0.05)


def test_onsets_of_a_sound_that_cannot_change_are_found_once() -> None:
    samples = np.random.default_rng(4).standard_normal((1, 16_000)).astype(np.float32)
    open_, kept = Waveform(samples.copy(), 16_000), Waveform(samples, 16_000)
    kept.samples.flags.writeable = False
    first, second = onset_strength(kept)[0], onset_strength(kept)[0]
    assert first is second
    assert not first.flags.writeable
    assert np.array_equal(first, onset_strength(open_)[0])
    open_.samples[:, 8000:] = 0.0
    assert not np.array_equal(first, onset_strength(open_)[0])
