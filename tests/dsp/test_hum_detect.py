"""Hum is found where it was put, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.measures.hum import detect_hum


def _noise(seconds: float, rate: int, seed: int = 0) -> FloatArray:
    generator = np.random.default_rng(seed)
    envelope = np.repeat(generator.uniform(0.01, 1.0, int(seconds * 4) + 1), rate // 4)[: int(seconds * rate)]
    return (0.1 * envelope * generator.standard_normal(envelope.size)).astype(np.float32)


def _hum(seconds: float, rate: int, fundamental: float, level: float) -> FloatArray:
    time = np.arange(int(seconds * rate)) / rate
    lines = sum(np.sin(2 * np.pi * fundamental * k * time + k) / k for k in (1, 2, 3))
    return np.asarray(level * lines, dtype=np.float32)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 96000])
@pytest.mark.parametrize("fundamental", [49.7, 50.0, 60.31])
def test_fundamental_and_level_are_measured(rate: int, fundamental: float) -> None:
    programme, hum = _noise(4.0, rate), _hum(4.0, rate, fundamental, 0.03)
    samples = np.stack([programme + hum, 0.5 * (programme + hum)])
    found = detect_hum(Waveform(samples, rate))
    assert found is not None
    assert abs(found.fundamental_hz - fundamental) < 0.05
    assert {1, 2} <= set(found.harmonics)
    assert found.confidence > 0.8
    expected = 10 * np.log10(np.mean(hum**2) / np.mean((programme + hum) ** 2))
    assert abs(found.level_db - expected) < 1.0


def test_no_hum_in_noise_silence_or_a_gliding_tone() -> None:
    rate = 16000
    time = np.arange(4 * rate) / rate
    glide = (0.3 * np.sin(2 * np.pi * (52.0 * time + 2.0 * time**2))).astype(np.float32)
    for samples in (_noise(4.0, rate), np.zeros(4 * rate, np.float32), glide):
        assert detect_hum(Waveform(samples[None], rate)) is None


def test_a_tone_that_ends_half_way_is_not_hum() -> None:
    rate = 16000
    hum = _hum(4.0, rate, 50.0, 0.05)
    hum[2 * rate :] = 0.0
    found = detect_hum(Waveform((hum + 0.2 * _noise(4.0, rate))[None], rate))
    assert found is None or found.confidence < 0.3


def test_too_short_to_tell() -> None:
    assert detect_hum(Waveform(_hum(0.2, 16000, 50.0, 0.1)[None], 16000)) is None
    assert detect_hum(Waveform(np.zeros((1, 0), np.float32), 16000)) is None
