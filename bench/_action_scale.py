"""Speed and pitch against libraries: length, drift, fundamental, PESQ of the way there and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

import numpy as np
from _action_noise import ours
from _action_signals import RATE, Recordings
from _action_tables import Goal, Table, mean_median, pesq_wb, times_realtime, tone_hz
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from avagent.core.actions import Pitch, Speed
from avagent.core.media import FloatArray

Change = Callable[[FloatArray, float], FloatArray]

_FACTORS = (0.8, 0.9, 1.1, 1.25)
_TRIP_FACTORS = (0.9, 1.1, 1.25)
_SEMITONES = (-4.0, -2.0, 2.0, 4.0)
_KEPT = "avagent, formants kept"
_VOWELS = ((110.0, (700.0, 1_220.0, 2_600.0)), (130.0, (500.0, 1_500.0, 2_500.0)))
_CHORD = (220.0, 277.18, 329.63)


@dataclass(frozen=True, slots=True)
class Library:
    """A way to change tempo (factor above 1: faster) and pitch (semitones)."""

    speed: Change
    pitch: Change


def libraries() -> dict[str, Library]:
    """Ours, then the libraries."""
    import librosa  # noqa: PLC0415  benchmark-only dependencies
    from bungee_python.bungee import Bungee  # noqa: PLC0415
    from python_stretch.Signalsmith import Stretch  # noqa: PLC0415

    def signalsmith(x: FloatArray, factor: float, semitones: float) -> FloatArray:
        engine = Stretch(1)
        engine.preset(1, RATE)
        engine.setTimeFactor(factor)
        engine.setTransposeSemitones(semitones)
        return np.asarray(engine.process(x[None, :]), np.float32)[0]

    def bungee(x: FloatArray, factor: float, semitones: float) -> FloatArray:
        engine = Bungee(RATE, 1, factor, 2.0 ** (semitones / 12.0))
        padded = np.concatenate([x, np.zeros(RATE // 2, np.float32)])
        return np.asarray(engine.process(padded[:, None]), np.float32).reshape(-1)[: round(x.size / factor)]

    return {
        "avagent": Library(lambda x, f: ours(Speed(factor=f))(x), lambda x, s: ours(Pitch(semitones=s))(x)),
        _KEPT: Library(
            lambda x, f: ours(Speed(factor=f))(x), lambda x, s: ours(Pitch(semitones=s, formants="keep"))(x)
        ),
        "python-stretch 0.3.1, preset": Library(lambda x, f: signalsmith(x, f, 0), lambda x, s: signalsmith(x, 1, s)),
        "bungee-python 0.2.1": Library(lambda x, f: bungee(x, f, 0), lambda x, s: bungee(x, 1, s)),
        "librosa 0.11.0": Library(
            lambda x, f: librosa.effects.time_stretch(x, rate=f),
            lambda x, s: librosa.effects.pitch_shift(x, sr=RATE, n_steps=s),
        ),
    }


def measure(recordings: Recordings) -> tuple[list[Table], list[Goal]]:
    """Tables and goals of speed and pitch."""
    speed = Table(
        "Speed (time-stretch)",
        "Worst length error in samples, drift of clicks in ms and error of a 220 Hz tone in cents; share of a"
        " stretched chord's energy that stays in its partials in %; PESQ-wb of speech there and back, mean (median).",
        ["length", "drift ms", "f0 cents", "chord %", "PESQ round trip", "x realtime"],
    )
    pitch = Table(
        "Pitch",
        "Worst length error and error of a 220 Hz tone in cents; mean displacement of three formants of two glided"
        " vowels by 2 and 4 semitones up and down, in %; PESQ-wb of speech transposed and back, mean (median).",
        ["length", "f0 cents", "formants %", "PESQ round trip", "x realtime"],
    )
    for name, library in libraries().items():
        if name != _KEPT:
            speed.rows.append((name, _speed_row(library.speed, recordings)))
        pitch.rows.append((name, _pitch_row(library.pitch, recordings)))
    return [speed, pitch], _goals(speed.rows[0][1], pitch.rows[0][1])


def _goals(speed: list[float | str], pitch: list[float | str]) -> list[Goal]:
    length, drift, cents, _, trip, _ = speed
    pitch_cents, pitch_trip = pitch[1], pitch[3]
    first = [float(str(v).split()[0]) for v in (length, drift, cents, trip, pitch_cents, pitch_trip)]
    text = "speed: length error 0, drift ≤ 1 ms, f0 error ≤ 6 cents, PESQ round trip ≥ 3.4"
    met = first[0] == 0 and first[1] <= 1.0 and first[2] <= 6.0 and first[3] >= 3.4
    reached = f"{first[0]:g}, {first[1]:.2f} ms, {first[2]:.2f} cents, {first[3]:.2f}"
    other = Goal(
        "pitch: f0 error ≤ 2 cents, PESQ round trip ≥ 3.45",
        f"{first[4]:.2f} cents, {first[5]:.2f}",
        first[4] <= 2.0 and first[5] >= 3.45,
    )
    return [Goal(text, reached, met), other]


def _speed_row(change: Change, recordings: Recordings) -> list[float | str]:
    time = np.arange(4 * RATE) / RATE
    tone = _partials(time, [220.0 * k for k in range(1, 6)])
    chord = _partials(time, _CHORD)
    length = max(abs(change(tone, f).size - round(tone.size / f)) for f in _FACTORS)
    cents = max(abs(1200 * np.log2(tone_hz(change(tone, f), RATE) / 220.0)) for f in _FACTORS)
    drift = max(_drift_ms(change, f) for f in _FACTORS)
    purity = min(_purity(change(chord, f)) for f in (0.9, 1.1))
    trips = [pesq_wb(x, _fit(change(change(x, f), 1.0 / f), x.size)) for x in recordings.speech for f in _TRIP_FACTORS]
    x = recordings.speech[0]
    pace = times_realtime(lambda: change(x, 1.1), x.size / RATE, 3)
    return [float(length), drift, float(cents), 100.0 * purity, mean_median(trips), pace]


def _pitch_row(change: Change, recordings: Recordings) -> list[float | str]:
    time = np.arange(4 * RATE) / RATE
    tone = _partials(time, [220.0 * k for k in range(1, 6)])
    length = max(abs(change(tone, s).size - tone.size) for s in _SEMITONES)
    cents = max(_tone_error(change(tone, s), 220.0 * 2.0 ** (s / 12.0)) for s in _SEMITONES)
    trips = [pesq_wb(x, _fit(change(change(x, s), -s), x.size)) for x in recordings.speech for s in (-2.0, 2.0)]
    x = recordings.speech[0]
    pace = times_realtime(lambda: change(x, 2.0), x.size / RATE, 3)
    return [float(length), cents, _displacement(change), mean_median(trips), pace]


def _tone_error(samples: FloatArray, wanted_hz: float) -> float:
    """In cents; the strongest partial may be another than the first."""
    got = tone_hz(samples, RATE)
    return float(abs(1200 * np.log2(got / (wanted_hz * max(1, round(got / wanted_hz))))))


def _displacement(change: Change) -> float:
    """Mean displacement of formants in %."""
    errors: list[float] = []
    for pitch_hz, wanted in _VOWELS:
        vowel = _vowel(pitch_hz, wanted)
        before = _formants_hz(vowel)[:3]
        for semitones in _SEMITONES:
            after = _formants_hz(change(vowel, semitones))
            errors += [float(np.min(np.abs(after - hz))) / hz for hz in before]
    return 100.0 * mean(errors)


def _vowel(pitch_hz: float, formants: tuple[float, ...]) -> FloatArray:
    """Three seconds of pulses of gliding pitch through resonances 90 Hz wide."""
    glide = pitch_hz * (1.0 + 0.2 * np.sin(2 * np.pi * 0.9 * np.arange(3 * RATE) / RATE))
    samples = np.diff(np.floor(np.cumsum(glide) / RATE), prepend=0.0)
    for hz in formants:
        pole = np.exp((2j * np.pi * hz - np.pi * 90.0) / RATE)
        samples = lfilter([1.0], np.real(np.poly([pole, np.conj(pole)])), samples)
    return (0.2 * samples / np.abs(samples).max()).astype(np.float32)


def _formants_hz(samples: FloatArray) -> np.ndarray:
    """Peaks of the envelope that linear prediction puts over the mean power spectrum."""
    frames = np.lib.stride_tricks.sliding_window_view(samples[RATE // 8 : -RATE // 8], 1024)[::256]
    power = np.mean(np.square(np.abs(np.fft.rfft(frames * np.hanning(1024), 2048))), axis=0)
    correlation = np.fft.irfft(power)[:15]
    coefficients = solve_toeplitz(correlation[:-1], correlation[1:])
    level = -np.log(np.abs(np.fft.rfft(np.concatenate([[1.0], -coefficients]), 16_384)))
    return (np.flatnonzero((level[1:-1] > level[:-2]) & (level[1:-1] >= level[2:])) + 1) * (RATE / 16_384)


def _partials(time: np.ndarray, frequencies: tuple[float, ...] | list[float]) -> FloatArray:
    return sum(0.3 / (k + 1) * np.sin(2 * np.pi * f * time) for k, f in enumerate(frequencies)).astype(np.float32)


def _drift_ms(change: Change, factor: float) -> float:
    """Worst mean displacement of seven clicks, by the centre of their energy."""
    clicks = np.zeros(4 * RATE, np.float32)
    places = range(8000, 60_000, 8000)
    for place in places:
        clicks[place : place + 40] = 0.9 * np.hanning(40)
    out = np.square(change(clicks, factor))
    shifts: list[float] = []
    for place in places:
        centre = (place + 19.5) / factor
        low, high = max(0, int(centre - 1000)), min(out.size, int(centre + 1000))
        part = out[low:high]
        shifts.append(1000.0 / RATE * (float(np.arange(low, high) @ part) / float(part.sum()) - centre))
    return max(abs(s) for s in [mean(shifts), *shifts])


def _purity(samples: FloatArray) -> float:
    middle = samples[samples.size // 5 : -samples.size // 5]
    power = np.square(np.abs(np.fft.rfft(middle * np.hanning(middle.size))))
    frequency = np.fft.rfftfreq(middle.size, 1 / RATE)
    inside = np.any([np.abs(frequency - f) < 3.0 for f in _CHORD], axis=0)
    return float(power[inside].sum() / power.sum())


def _fit(samples: FloatArray, size: int) -> FloatArray:
    return np.pad(samples, (0, max(0, size - samples.size)))[:size]
