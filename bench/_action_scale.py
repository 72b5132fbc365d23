"""Speed and pitch against libraries: length, drift, fundamental, PESQ of the way there and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

import numpy as np
from _action_noise import ours
from _action_signals import RATE, Recordings
from _action_tables import Goal, Table, mean_median, pesq_wb, times_realtime, tone_hz

from avagent.core.actions import Pitch, Speed
from avagent.core.media import FloatArray

Change = Callable[[FloatArray, float], FloatArray]

_FACTORS = (0.8, 0.9, 1.1, 1.25)
_TRIP_FACTORS = (0.9, 1.1, 1.25)
_SEMITONES = (-4.0, -2.0, 2.0, 4.0)
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
        "Worst length error and error of a 220 Hz tone in cents; PESQ-wb of speech transposed and back, mean (median).",
        ["length", "f0 cents", "PESQ round trip", "x realtime"],
    )
    for name, library in libraries().items():
        speed.rows.append((name, _speed_row(library.speed, recordings)))
        pitch.rows.append((name, _pitch_row(library.pitch, recordings)))
    return [speed, pitch], _goals(speed.rows[0][1], pitch.rows[0][1])


def _goals(speed: list[float | str], pitch: list[float | str]) -> list[Goal]:
    length, drift, cents, _, trip, _ = speed
    pitch_cents, pitch_trip = pitch[1], pitch[2]
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
    cents = max(abs(1200 * np.log2(tone_hz(change(tone, s), RATE) / 220.0) - 100 * s) for s in _SEMITONES)
    trips = [pesq_wb(x, _fit(change(change(x, s), -s), x.size)) for x in recordings.speech for s in (-2.0, 2.0)]
    x = recordings.speech[0]
    return [float(length), float(cents), mean_median(trips), times_realtime(lambda: change(x, 2.0), x.size / RATE, 3)]


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
