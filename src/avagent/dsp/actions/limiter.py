"""True-peak limiter with look-ahead."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, minimum_filter1d, uniform_filter1d

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.measures.bs1770 import CELL, oversampled_peaks

Runs = list[tuple[int, int]]

_LOOK_S = 0.005
"""At rest that long before and after a peak; with its slopes the gain reaches over 10 ms, less than a cell."""
_MARGIN_DB = 0.05
_TRIMS = 4
_PIECE = 256 * CELL


def turn_down(waveform: Waveform, peaks: FloatArray, scale: float, ceiling: float) -> tuple[Runs, int]:
    """Bring peaks near the ceiling or below, in place: one smooth gain for all channels.

    Args:
        waveform: whose samples are changed.
        peaks: true peaks around every sample of the waveform before it was scaled, float32 [samples].
        scale: what it was multiplied by since.
        ceiling: highest magnitude.

    Returns:
        Stretches [start, stop) that may have changed, and how many samples were turned down (by more than 0.01 dB).
    """
    look = max(1, round(_LOOK_S * waveform.rate))
    target = ceiling * 10.0 ** (-_MARGIN_DB / 20.0)
    runs = _runs_above(peaks, ceiling / scale)
    count = 0
    for start, stop in _pieces(runs):
        low = max(0, start - CELL)
        gain = _gain(peaks[low : stop + CELL] * np.float32(scale), target, look)[start - low : stop - low]
        waveform.samples[:, start:stop] *= gain
        count += int(np.count_nonzero(gain < 0.9988))
    return runs, count


def trim(waveform: Waveform, runs: Runs, ceiling: float) -> float:
    """Bring the whole below the ceiling, in place, by the little that the limiter left over; returns the factor.

    A gain that moves shifts the peaks between the samples a little; elsewhere they are where they were.
    """
    factor = 1.0
    for _ in range(_TRIMS):
        highest = max((_highest(waveform, start, stop, ceiling) for start, stop in _pieces(runs)), default=0.0)
        if highest <= ceiling:
            break
        step = np.float32(0.99999 * ceiling / highest)
        np.multiply(waveform.samples, step, out=waveform.samples)
        factor *= float(step)
    return factor


def _highest(waveform: Waveform, start: int, stop: int, ceiling: float) -> float:
    low = max(0, start - CELL)
    around = Waveform(waveform.samples[:, low : stop + CELL], waveform.rate)
    return float(oversampled_peaks(around, ceiling)[start - low : stop - low].max())


def _runs_above(peaks: FloatArray, ceiling: float) -> Runs:
    """Whole cells that hold a peak above the ceiling, and their neighbours."""
    if peaks.size == 0:
        return []
    above = np.maximum.reduceat(peaks, np.arange(0, peaks.size, CELL)) > ceiling
    near = np.concatenate([[0], binary_dilation(above).astype(np.int8), [0]])
    edges = (np.flatnonzero(np.diff(near)) * CELL).tolist()
    return [(start, min(stop, peaks.size)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _pieces(runs: Runs) -> Runs:
    """The same stretches, none longer than a piece, so that memory stays bounded."""
    return [(low, min(low + _PIECE, stop)) for start, stop in runs for low in range(start, stop, _PIECE)]


def _gain(peaks: FloatArray, ceiling: float, look: int) -> FloatArray:
    """float32 [samples], never above ceiling / peak: the minimum over the look-ahead, then smoothed. Reuses `peaks`."""
    needed = np.maximum(peaks, np.float32(1e-9), out=peaks)
    np.divide(np.float32(ceiling), needed, out=needed)
    np.minimum(needed, np.float32(1.0), out=needed)
    held = minimum_filter1d(needed, 2 * look + 1, mode="nearest")
    for _ in range(2):
        uniform_filter1d(held, 2 * (look // 2) + 1, mode="nearest", output=held)
    return np.minimum(held, needed, out=held)
