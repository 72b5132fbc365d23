"""True-peak limiter with look-ahead."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.bs1770 import oversampled_peaks

_LOOK_S = 0.005
_MARGIN_DB = 0.05
_TRIMS = 4


def limit(samples: FloatArray, rate: int, peak_dbtp: float) -> int:
    """Bring the true peak to the limit or below, in place: one smooth gain for all channels, at rest 5 ms from a peak.

    Returns:
        How many samples were turned down (by more than 0.01 dB).
    """
    ceiling = 10.0 ** (peak_dbtp / 20.0)
    peaks = oversampled_peaks(Waveform(samples, rate), ceiling)
    if float(peaks.max(initial=0.0)) <= ceiling:
        return 0
    gain = _gain(peaks, ceiling * 10.0 ** (-_MARGIN_DB / 20.0), max(1, round(_LOOK_S * rate)))
    samples *= gain
    for _ in range(_TRIMS):
        # A gain that moves shifts the peaks between the samples a little: what is left over is trimmed as a whole.
        highest = float(oversampled_peaks(Waveform(samples, rate), ceiling).max())
        if highest <= ceiling:
            break
        samples *= np.float32(0.99999 * ceiling / highest)
    return int(np.count_nonzero(gain < 0.9988))


def _gain(peaks: FloatArray, ceiling: float, look: int) -> FloatArray:
    """float32 [samples], never above ceiling / peak: the minimum over the look-ahead, then smoothed. Reuses `peaks`."""
    needed = np.maximum(peaks, np.float32(1e-9), out=peaks)
    np.divide(np.float32(ceiling), needed, out=needed)
    np.minimum(needed, np.float32(1.0), out=needed)
    held = minimum_filter1d(needed, 2 * look + 1, mode="nearest")
    for _ in range(2):
        uniform_filter1d(held, 2 * (look // 2) + 1, mode="nearest", output=held)
    return np.minimum(held, needed, out=held)
