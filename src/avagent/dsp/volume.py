"""Loudness to a target below a true-peak limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d

from avagent.core.actions import Volume
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.bs1770 import gated_loudness, oversampled_peaks, true_peak_dbtp

_LOOK_S = 0.005
_MAX_GAIN_DB = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeReport:
    """What :func:`volume` did.

    Attributes:
        loudness_before, loudness_after: in LUFS; None: silence.
        gain_db: in dB.
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
    """Bring the integrated loudness to the target; where the peak limit is in the way, a look-ahead limiter acts."""
    before = gated_loudness(waveform)
    if before is None:
        return waveform, VolumeReport(
            loudness_before=None,
            loudness_after=None,
            gain_db=0.0,
            limited=0,
            declipped=0,
            true_peak_after=true_peak_dbtp(waveform),
        )
    gain_db = min(_MAX_GAIN_DB, action.target_lufs - before)
    out = Waveform(waveform.samples * np.float32(10.0 ** (gain_db / 20.0)), waveform.rate)
    out, limited = limit(out, action.peak_dbtp)
    return out, VolumeReport(
        loudness_before=before,
        loudness_after=gated_loudness(out),
        gain_db=gain_db,
        limited=limited,
        declipped=0,
        true_peak_after=true_peak_dbtp(out),
    )


def limit(waveform: Waveform, peak_dbtp: float) -> tuple[Waveform, int]:
    """Look-ahead limiter on the true peak, one gain for all channels; returns the samples turned down by over 0.01 dB."""
    ceiling = np.float32(10.0 ** ((peak_dbtp - 0.05) / 20.0))
    peaks = oversampled_peaks(waveform)
    if float(peaks.max(initial=0.0)) <= ceiling:
        return waveform, 0
    gain = limiter_gain(peaks, ceiling, max(1, round(_LOOK_S * waveform.rate)))
    return Waveform(waveform.samples * gain, waveform.rate), int(np.count_nonzero(gain < 0.9988))


def limiter_gain(peaks: FloatArray, ceiling: np.float32, look: int) -> FloatArray:
    """float32 [samples]: a smooth gain that is never above ceiling / peak."""
    needed = np.minimum(ceiling / np.maximum(peaks, np.float32(1e-9)), np.float32(1.0))
    held = minimum_filter1d(needed, 2 * look + 1, mode="nearest")
    return np.minimum(uniform_filter1d(held, 2 * (look // 2) + 1, mode="nearest"), needed)
