"""Loudness to a target below a true-peak limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from avagent.core.actions import Volume
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.bs1770 import gate, gated_loudness, loudness_steps, power_to_lufs, step_powers, true_peak_dbtp
from avagent.dsp.declip import declip
from avagent.dsp.limiter import limit

Array = npt.NDArray[np.float64]

_MAX_GAIN_DB = 60.0
_TOLERANCE_LU = 0.05
_ROUNDS = 8
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

    What the limiter takes away is made up for, up to a tolerance of 0.05 LU, as far as the peak limit allows.
    Silence (nothing above -70 LUFS) stays as it is.
    """
    before = gated_loudness(waveform)
    if before is None:
        peak = true_peak_dbtp(waveform)
        return waveform, VolumeReport(
            loudness_before=None, loudness_after=None, gain_db=0.0, limited=0, declipped=0, true_peak_after=peak
        )
    source, declipped = declip(waveform) if action.declip else (waveform, 0)
    curve_db = _levelling_curve(source, before) if action.mode == "dynamic" else np.zeros(1)
    out, gain_db, limited, after = _to_target(source, curve_db, action)
    return out, VolumeReport(
        loudness_before=before,
        loudness_after=after,
        gain_db=gain_db,
        limited=limited,
        declipped=declipped,
        true_peak_after=true_peak_dbtp(out),
    )


def _to_target(source: Waveform, curve_db: Array, action: Volume) -> tuple[Waveform, float, int, float | None]:
    """Gain and limiter in turn until the loudness is there: sound, gain in dB, samples limited, loudness in LUFS."""
    steps = loudness_steps(source if curve_db.size == 1 else Waveform(_scaled(source, curve_db), source.rate))
    loudness = gate(steps)
    gain_db = 0.0 if loudness is None else min(_MAX_GAIN_DB, action.target_lufs - loudness)
    attempt = 0
    while True:
        out = Waveform(_scaled(source, curve_db + gain_db), source.rate)
        limited = limit(out.samples, out.rate, action.peak_dbtp)
        after = gated_loudness(out) if limited else gate(steps * 10.0 ** (gain_db / 10.0))
        short = 0.0 if after is None else action.target_lufs - after
        attempt += 1
        if not limited or abs(short) <= _TOLERANCE_LU or gain_db >= _MAX_GAIN_DB or attempt == _ROUNDS:
            return out, gain_db, limited, after
        del out
        gain_db = min(_MAX_GAIN_DB, gain_db + 1.5 * short)


def _levelling_curve(waveform: Waveform, loudness: float) -> Array:
    """Gain in dB over time that brings the short-term loudness near the integrated one, within ±12 dB: float64 [steps].

    Pauses keep the gain of what surrounds them.
    """
    steps = step_powers(waveform)
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
