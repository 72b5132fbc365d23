"""The pitch of what has one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avagent.core.actions import Pitch
from avagent.core.media import Waveform
from avagent.dsp.actions.edit import apply
from avagent.dsp.measures.pitch_track import PITCH_RATE, pitch_track


def _voice(frequency: float, rate: int = 16000, seconds: float = 1.0, seed: int = 0) -> Waveform:
    generator = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    orders = range(1, max(2, int(min(3500.0, 0.45 * rate) / frequency)))
    sound = sum(np.sin(2 * np.pi * frequency * k * time + generator.uniform(0, 6)) / k for k in orders)
    noisy = 0.2 * np.asarray(sound) + 0.005 * generator.standard_normal(time.size)
    return Waveform(noisy.astype(np.float32)[None], rate)


@given(frequency=st.floats(70.0, 900.0), rate=st.sampled_from([8000, 16000, 22050, 48000]), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_a_steady_pitch_within_ten_cents(frequency: float, rate: int, seed: int) -> None:
    track = pitch_track(_voice(frequency, rate, seed=seed))
    assert track.frequency.shape == track.strength.shape == (100,)
    middle = track.frequency[5:-5]
    assert np.mean(middle > 0.0) > 0.95
    assert np.median(np.abs(1200 * np.log2(middle[middle > 0.0] / frequency))) < 10.0


def test_a_glide_is_followed_on_time() -> None:
    rate, seconds = 16000, 2.0
    time = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * (120.0 * time + 40.0 * time**2)
    sound = sum(np.sin(k * phase) / k for k in range(1, 12))
    track = pitch_track(Waveform(0.2 * np.asarray(sound, dtype=np.float32)[None], rate))
    frames = np.arange(track.frequency.size) / PITCH_RATE
    inside = slice(10, -10)
    assert track.frequency[inside] == pytest.approx((120.0 + 80.0 * frames)[inside], rel=0.02)


def test_a_transposition_is_measured() -> None:
    voice = _voice(160.0, seconds=2.0)
    before = pitch_track(voice).median()
    after = pitch_track(apply(Pitch(semitones=3.0), voice).waveform).median()
    assert before is not None
    assert after is not None
    assert 12 * np.log2(after.value / before.value) == pytest.approx(3.0, abs=0.1)
    assert before.confidence > 0.8


def test_no_pitch_in_noise_and_silence() -> None:
    noise = np.random.default_rng(0).standard_normal((2, 32000)).astype(np.float32)
    track = pitch_track(Waveform(noise, 16000))
    assert np.mean(track.frequency > 0.0) < 0.05
    assert pitch_track(Waveform(np.zeros((1, 16000), np.float32), 16000)).median() is None
    assert pitch_track(Waveform(np.zeros((1, 10), np.float32), 16000)).frequency.size == 0
