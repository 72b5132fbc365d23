"""Sounds with known truth, for the tests of the actions."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from avagent.core.media import FloatArray, Waveform


def si_sdr(reference: FloatArray, estimate: FloatArray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (doi:10.1109/ICASSP.2019.8683855), at most 120."""
    r, e = reference.astype(np.float64).ravel(), estimate.astype(np.float64).ravel()
    target = (e @ r) / (r @ r) * r
    rest = e - target
    return 10.0 * float(np.log10((target @ target) / max(float(rest @ rest), 1e-12 * float(target @ target))))


def syllables(rate: int, seconds: float, *, pitch_hz: float = 140.0, seed: int = 0) -> FloatArray:
    """float32 [1, samples]: harmonic bursts of gliding pitch with pauses in between, like speech; RMS about 0.1."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    glide = pitch_hz * (1.0 + 0.1 * np.sin(2 * np.pi * 0.7 * time) + 0.02 * np.sin(2 * np.pi * 5.0 * time))
    phase = 2 * np.pi * np.cumsum(glide) / rate
    orders = [k for k in range(1, 25) if 1.2 * k * pitch_hz < 0.45 * rate]
    voice = sum(np.sin(k * phase + generator.uniform(0, 6.28)) / k**1.2 for k in orders)
    bursts = np.clip(2.0 * np.sin(2 * np.pi * 2.2 * time), 0.0, 1.0) ** 1.5
    samples = np.asarray(voice) * bursts
    return (0.1 * samples / np.sqrt(np.mean(np.square(samples)) + 1e-12)).astype(np.float32)[None, :]


def resonances(rate: int, seconds: float, *, seed: int = 2) -> FloatArray:
    """float32 [1, samples]: an autoregressive process with formants at 300 and 1,400 Hz, RMS 0.1."""
    poles = [0.99 * np.exp(2j * np.pi * 300.0 / rate), 0.97 * np.exp(2j * np.pi * 1_400.0 / rate)]
    denominator = np.real(np.poly([*poles, *np.conj(poles)]))
    samples = np.asarray(lfilter([1.0], denominator, white(rate, seconds, 1.0, seed=seed)[0]))
    return (0.1 * samples / np.std(samples)).astype(np.float32)[None, :]


def vowel(rate: int, seconds: float, pitch_hz: float, formants: tuple[float, ...]) -> FloatArray:
    """float32 [1, samples]: pulses of gliding pitch through resonances 90 Hz wide, peak 0.2."""
    glide = pitch_hz * (1.0 + 0.2 * np.sin(2 * np.pi * 0.9 * np.arange(round(seconds * rate)) / rate))
    samples = np.diff(np.floor(np.cumsum(glide) / rate), prepend=0.0)
    for hz in formants:
        pole = np.exp((2j * np.pi * hz - np.pi * 90.0) / rate)
        samples = np.asarray(lfilter([1.0], np.real(np.poly([pole, np.conj(pole)])), samples))
    return (0.2 * samples / np.abs(samples).max()).astype(np.float32)[None, :]


def white(rate: int, seconds: float, rms: float, *, seed: int = 1, channels: int = 1) -> FloatArray:
    """float32 [channels, samples] of Gaussian noise."""
    generator = np.random.default_rng(seed)
    return (rms * generator.standard_normal((channels, round(seconds * rate)))).astype(np.float32)


def tone(rate: int, seconds: float, hz: float, amplitude: float = 0.3) -> FloatArray:
    """float32 [1, samples]."""
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)[None, :]


def strongest_hz(samples: FloatArray, rate: int) -> float:
    """Frequency of the strongest line of the middle of float32 [samples]."""
    middle = samples[samples.size // 5 : -samples.size // 5]
    power = np.log(np.abs(np.fft.rfft(middle * np.hanning(middle.size), 1 << 18)) + 1e-12)
    peak = int(power[1:-1].argmax()) + 1
    left, top, right = power[peak - 1 : peak + 2]
    return float((peak + 0.5 * (left - right) / (left - 2 * top + right)) * rate / (1 << 18))


def waveform(samples: FloatArray, rate: int) -> Waveform:
    """Short for Waveform with float32 samples."""
    return Waveform(np.ascontiguousarray(samples, dtype=np.float32), rate)
