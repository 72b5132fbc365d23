"""What an edit did, measured: on noise, hum, music and moved sounds of which it is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avagent.core.actions import Shift, Speed
from avagent.core.media import Motion, Waveform
from avagent.dsp.actions.edit import apply_all
from avagent.dsp.measures.effect import changed_seconds, removed_part, si_sdr, tempo_evidence, undone

RATE = 16_000


def wave(samples):
    return Waveform(np.ascontiguousarray(np.atleast_2d(samples), dtype=np.float32), RATE)


def programme(seconds=4.0):
    """Tones that come and go."""
    t = np.arange(round(seconds * RATE)) / RATE
    return 0.3 * np.sin(2 * np.pi * 440 * t) * (np.sin(2 * np.pi * 2.1 * t) > 0)


def noise(colour, seconds=4.0):
    white = np.random.default_rng(5).standard_normal(round(seconds * RATE))
    if colour == "white":
        return 0.05 * white
    spectrum = np.fft.rfft(white)
    spectrum[1:] /= np.sqrt(np.arange(1, spectrum.size))
    spectrum[: round(60 * seconds)] = 0
    pink = np.fft.irfft(spectrum, white.size)
    return 0.05 * pink / pink.std()


@pytest.mark.parametrize("colour", ["white", "pink"])
def test_steady_noise_of_any_colour_is_noise_like(colour):
    found = removed_part(wave(programme() + noise(colour)), wave(programme()))
    assert found is not None
    assert found.noise_like == pytest.approx(0.56, abs=0.04)
    assert found.spread_db < 2.5
    assert found.tonality < 0.1
    expected = 10 * np.log10(np.mean(noise(colour) ** 2) / np.mean((programme() + noise(colour)) ** 2))
    assert found.share_db == pytest.approx(expected, abs=0.3)


def test_a_hum_is_steady_and_full_of_lines():
    t = np.arange(4 * RATE) / RATE
    hum = 0.05 * np.sin(2 * np.pi * 50 * t) + 0.05 * np.sin(2 * np.pi * 300 * t)
    found = removed_part(wave(programme() + hum), wave(programme()))
    assert found is not None
    assert found.noise_like > 0.8
    assert found.spread_db < 0.5


def test_a_programme_that_comes_and_goes_is_not_noise_like():
    found = removed_part(wave(programme() + noise("white")), wave(noise("white")))
    assert found is not None
    assert found.noise_like < 0.2
    assert found.spread_db > 10


def test_nothing_removed_is_none():
    assert removed_part(wave(programme()), wave(programme())) is None
    assert removed_part(wave(np.zeros(100)), wave(np.zeros(100))) is None


@given(milliseconds=st.floats(-400, 400), gain=st.floats(0.1, 2.0))
def test_a_moved_and_scaled_sound_is_the_same_but_for_what_left(milliseconds, gain):
    sound = wave(programme(1.0) + noise("white", 1.0))
    actions = (Shift(milliseconds=milliseconds),)
    moved = apply_all(sound, actions)
    back = undone(Waveform(moved.samples * np.float32(gain), RATE), actions, sound.length)
    assert back is not None
    assert back.samples.shape == sound.samples.shape
    lost = abs(round(milliseconds * RATE / 1000))
    inner = slice(lost, sound.length - lost)
    found = si_sdr(sound.samples[:, inner], back.samples[:, inner])
    assert found is not None
    assert found > 55


def test_another_tempo_cannot_be_compared_sample_by_sample():
    sound = wave(programme(1.0))
    assert undone(apply_all(sound, (Speed(factor=1.1),)), (Speed(factor=1.1),), sound.length) is None


def test_si_sdr_is_that_of_its_definition_and_none_for_silence():
    clean, error = programme(), noise("white")
    error = error - clean * (clean @ error) / (clean @ clean)
    expected = 10 * np.log10((clean @ clean) / (error @ error))
    assert si_sdr(wave(clean).samples, wave(clean + error).samples) == pytest.approx(expected, abs=0.1)
    assert si_sdr(wave(clean).samples, wave(np.zeros(clean.size)).samples) is None


def test_changed_seconds_counts_samples_that_changed():
    sound = wave(programme())
    other = sound.samples.copy()
    other[0, 100 : 100 + RATE // 2] += 0.01
    assert changed_seconds(sound, Waveform(other, RATE)) == pytest.approx(0.5)


def clicks(times, seconds):
    samples = np.zeros(round(seconds * RATE))
    for at in times:
        start = round(at * RATE)
        size = min(400, samples.size - start)
        samples[start : start + size] = np.random.default_rng(start).standard_normal(size) * 0.3
    return wave(samples)


def moves(times, seconds, fps=25.0):
    grid = np.arange(round(seconds * fps)) / fps
    energy = np.zeros(grid.size, np.float32)
    for at in times:
        energy[min(grid.size - 1, int(np.ceil(at * fps)))] = 10.0
    return Motion(energy=energy, times=grid)


def test_the_right_tempo_is_told_from_none():
    times = np.sort(np.random.default_rng(2).uniform(0.2, 7.6, 14))
    slow = clicks(times * 1.08, 8 * 1.08)
    right = tempo_evidence(slow, moves(times, 8.0), 1.08)
    assert right is not None
    assert right.claimed > right.unchanged + 1.0
    wrong = tempo_evidence(clicks(times, 8.0), moves(times, 8.0), 0.95)
    assert wrong is not None
    assert wrong.claimed < wrong.unchanged
