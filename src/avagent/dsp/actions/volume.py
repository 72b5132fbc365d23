"""Loudness to a target below a true-peak limit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from avagent.core.actions import Volume
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.declip import declip
from avagent.dsp.actions.limiter import Runs, trim, turn_down
from avagent.dsp.measures.bs1770 import (
    gate,
    gated_loudness,
    loudness_steps,
    oversampled_peaks,
    power_to_lufs,
    true_peak_dbtp,
)

Array = npt.NDArray[np.float64]

_MAX_GAIN_DB = 60.0
_TOLERANCE_LU = 0.03
_ROUNDS = 8
_FIRST_SLOPE, _LEAST_SLOPE = 0.67, 0.2
"""LU that one dB more of gain brings above the limit."""
_GUARD_DB = 0.01
"""Meters of true peak differ by that much in their filters."""
_RISE = 1.12
"""Peaks that were looked for at one gain serve up to 1 dB more."""
_DYNAMIC_RANGE_DB = 12.0
_SHORT_TERM_STEPS = 30
"""3 s, the standard's short-term window, in steps of 100 ms."""
_PAUSE_LU = 20.0
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeReport:
    """What :func:`volume` did.

    Attributes:
        loudness_before, loudness_after: in LUFS; None: silence.
        gain_db: the static gain in dB.
        limited: samples that the peak limiter turned down.
        declipped: samples that were restored before.
        true_peak_after: in dBTP; None: silence.
    """

    loudness_before: float | None
    loudness_after: float | None
    gain_db: float
    limited: int
    declipped: int
    true_peak_after: float | None


def volume(waveform: Waveform, action: Volume) -> tuple[Waveform, VolumeReport]:
    """Bring the integrated loudness to the target (EBU R 128), at most 60 dB up; peaks meet a look-ahead limiter.

    What the limiter takes away is made up for, up to a tolerance of 0.03 LU, as far as the peak limit allows. Where
    clipped peaks were restored, the gain ends where they meet the limit, below the target if need be: a limiter would
    take them away again.
    Silence (nothing above -70 LUFS) stays as it is.
    """
    steps = loudness_steps(waveform)
    before = gate(steps)
    if before is None:
        return waveform, VolumeReport(
            loudness_before=None,
            loudness_after=None,
            gain_db=0.0,
            limited=0,
            declipped=0,
            true_peak_after=true_peak_dbtp(waveform),
        )
    source, declipped = declip(waveform) if action.declip else (waveform, 0)
    if declipped:
        steps = loudness_steps(source)
    if action.mode == "dynamic":
        source = Waveform(_scaled(source, _levelling_curve(steps, before)), source.rate)
        steps = loudness_steps(source)
    most_db = _room_db(source, action) if declipped else _MAX_GAIN_DB
    levelled, peak = _to_target(source, steps, action, most_db)
    return levelled.waveform, VolumeReport(
        loudness_before=before,
        loudness_after=levelled.loudness,
        gain_db=levelled.gain_db,
        limited=levelled.limited,
        declipped=declipped,
        true_peak_after=peak,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Levelled:
    """Sound under a gain and the limiter: gain in dB, what the limiter changed, loudness in LUFS."""

    waveform: Waveform
    gain_db: float
    runs: Runs
    limited: int
    loudness: float | None


class _Gain:
    """One gain and the limiter over a sound; the peaks between its samples are looked for once."""

    def __init__(self, source: Waveform, steps: Array, ceiling: float) -> None:
        self._source, self._steps, self._ceiling = source, steps, ceiling
        self._highest = max(float(source.samples.max()), -float(source.samples.min()))
        self._peaks, self._valid = np.zeros(0, np.float32), 0.0

    def apply(self, gain_db: float) -> _Levelled:
        scale = 10.0 ** (gain_db / 20.0)
        if scale > self._valid:
            self._peaks = oversampled_peaks(self._source, min(self._highest, self._ceiling / scale))
            self._valid = _RISE * scale
        out = Waveform(self._source.samples * np.float32(scale), self._source.rate)
        runs, limited = turn_down(out, self._peaks, scale, self._ceiling)
        loudness = gated_loudness(out) if runs else gate(self._steps * scale**2)
        return _Levelled(waveform=out, gain_db=gain_db, runs=runs, limited=limited, loudness=loudness)

    def peak_dbtp(self, levelled: _Levelled) -> float | None:
        """True peak of what :meth:`apply` gave."""
        if levelled.runs or self._highest <= 0.0:
            return true_peak_dbtp(levelled.waveform)
        return 20.0 * math.log10(float(self._peaks.max())) + levelled.gain_db


def _room_db(source: Waveform, action: Volume) -> float:
    """Gain in dB that brings the highest peak to the limit."""
    peak = true_peak_dbtp(source)
    return _MAX_GAIN_DB if peak is None else min(_MAX_GAIN_DB, action.peak_dbtp - 2.0 * _GUARD_DB - peak)


def _to_target(source: Waveform, steps: Array, action: Volume, most_db: float) -> tuple[_Levelled, float | None]:
    """Gain, `most_db` at most, and limiter in turn until the loudness is there: the sound, its true peak in dBTP."""
    loudness = gate(steps)
    gain_db = 0.0 if loudness is None else min(most_db, action.target_lufs - loudness)
    ceiling, slope = 10.0 ** ((action.peak_dbtp - _GUARD_DB) / 20.0), _FIRST_SLOPE
    gain = _Gain(source, steps, ceiling)
    got = gain.apply(gain_db)
    for _ in range(_ROUNDS):
        before = got.loudness
        short = 0.0 if before is None else action.target_lufs - before
        if not got.runs or abs(short) <= _TOLERANCE_LU or got.gain_db >= most_db:
            break
        step_db = min(most_db - got.gain_db, short / slope)
        gain_db = got.gain_db + step_db
        del got
        got = gain.apply(gain_db)
        if before is not None and got.loudness is not None:
            slope = min(1.0, max(_LEAST_SLOPE, (got.loudness - before) / step_db))
    factor = trim(got.waveform, got.runs, ceiling)
    if factor != 1.0 and got.loudness is not None:
        got = replace(got, loudness=got.loudness + 20.0 * math.log10(factor))
    return got, gain.peak_dbtp(got)


def _levelling_curve(steps: Array, loudness: float) -> Array:
    """Gain in dB over time that brings the short-term loudness near the integrated one, within ±12 dB: float64 [steps].

    Pauses keep the gain of what surrounds them.
    """
    if steps.size < 2:
        return np.zeros(1)
    short = uniform_filter1d(steps, min(_SHORT_TERM_STEPS, steps.size), mode="nearest")
    level = np.array([power_to_lufs(float(power)) for power in short])
    heard = level > loudness - _PAUSE_LU
    if not heard.any():
        return np.zeros(1)
    index = np.arange(steps.size)
    wanted = np.clip(loudness - level, -_DYNAMIC_RANGE_DB, _DYNAMIC_RANGE_DB)
    return np.asarray(gaussian_filter1d(np.interp(index, index[heard], wanted[heard]), 5.0, mode="nearest"))


def _scaled(waveform: Waveform, gain_db: Array) -> FloatArray:
    """float32 [channels, samples] under a gain that is given at evenly spaced moments."""
    if gain_db.size == 1:
        return waveform.samples * np.float32(10.0 ** (gain_db[0] / 20.0))
    centres = (np.arange(gain_db.size) + 0.5) * (waveform.length / gain_db.size)
    out = np.empty_like(waveform.samples)
    for start in range(0, waveform.length, _CHUNK):
        stop = min(waveform.length, start + _CHUNK)
        gain = 10.0 ** (np.interp(np.arange(start, stop), centres, gain_db) / 20.0)
        out[:, start:stop] = waveform.samples[:, start:stop] * gain.astype(np.float32)
    return out
