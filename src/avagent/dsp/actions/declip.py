"""Restoring clipped peaks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, solve

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.autoregression import prediction_filter
from avagent.dsp.products import convolved

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_FLAT = 2e-4
"""Samples within this share of the highest level may be clipped."""
_EDGE = 10.0 * _FLAT
"""Beside a clipped run the sound falls by more than that; a rounded crest falls less."""
_RUN = 3
_LEAST_LEVEL = 0.05
_FRAME_S = 0.064
_ORDER_S = 0.003
_MOST_UNKNOWN = 0.5
_ROUNDS = 3
_HEADROOM = 4.0
_RIDGE = 1e-6


def clipped_mask(channel: FloatArray) -> Mask:
    """Which samples of float32 [samples] lie in a run of at least 3 at the channel's highest or lowest level."""
    mask = np.zeros(channel.size, bool)
    for sign in (np.float32(1.0), np.float32(-1.0)):
        signed = channel * sign
        top = float(signed.max(initial=0.0))
        if top < _LEAST_LEVEL:
            continue
        high = signed >= top * (1.0 - _FLAT)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], high.astype(np.int8), [0]])))
        starts, stops = edges[::2], edges[1::2]
        before, after = signed[np.maximum(starts - 1, 0)], signed[np.minimum(stops, channel.size - 1)]
        long = (stops - starts >= _RUN) & (top - 0.5 * (before + after) > _EDGE * top)
        # The level has to be reached again and again.
        if np.count_nonzero(long) < 2 * _RUN:
            continue
        for start, stop in zip(starts[long].tolist(), stops[long].tolist(), strict=True):
            mask[start:stop] = True
    return mask


def declip(waveform: Waveform) -> tuple[Waveform, int]:
    """Clipped runs interpolated by an autoregressive model, never below the level at which they were clipped.

    Least-squares interpolation (Janssen, Veldhuis & Vries 1986, doi:10.1109/TASSP.1986.1164824); the model and the
    samples are estimated in turn.

    Returns:
        The sound (its peaks may exceed full scale), and how many samples were restored.
    """
    masks = [clipped_mask(channel) for channel in waveform.samples]
    count = sum(int(np.count_nonzero(mask)) for mask in masks)
    if count == 0:
        return waveform, 0
    out = waveform.samples.copy()
    frame = max(256, round(_FRAME_S * waveform.rate))
    order = max(16, round(_ORDER_S * waveform.rate))
    for channel, mask in zip(out, masks, strict=True):
        for start in range(0, channel.size, frame):
            stop = min(channel.size, start + frame)
            if mask[start:stop].any():
                _restore(channel, mask, start, stop, order)
    return Waveform(out, waveform.rate), count


def _restore(channel: FloatArray, mask: Mask, start: int, stop: int, order: int) -> None:
    """Restore [start, stop) in place; what lies around it, restored or not, is context."""
    low, high = max(0, start - 2 * order), min(channel.size, stop + 2 * order)
    part = channel[low:high].astype(np.float64)
    unknown = np.flatnonzero(mask[low:high])
    if unknown.size > _MOST_UNKNOWN * part.size or part.size < 4 * order:
        return
    level = part[unknown].copy()
    inner = (unknown >= start - low) & (unknown < stop - low)
    for _ in range(_ROUNDS):
        coefficients = prediction_filter(part, order)
        estimate = _interpolate(part, unknown, coefficients)
        if estimate is None:
            return
        part[unknown] = np.sign(level) * np.clip(np.sign(level) * estimate, np.abs(level), _HEADROOM * np.abs(level))
    channel[low + unknown[inner]] = part[unknown[inner]].astype(np.float32)


def _interpolate(part: Array, unknown: npt.NDArray[np.intp], coefficients: Array) -> Array | None:
    """Values at the unknown positions that minimise the prediction error of the whole."""
    correlation = np.zeros(part.size)
    full = convolved(coefficients, coefficients[::-1])
    correlation[: coefficients.size] = full[coefficients.size - 1 :]
    known = part.copy()
    known[unknown] = 0.0
    right = convolved(known, full)[coefficients.size - 1 :][unknown]
    matrix = correlation[np.abs(unknown[:, None] - unknown[None, :])]
    # Sound without any noise is predicted perfectly: keep the matrix well conditioned.
    matrix[np.diag_indices_from(matrix)] *= 1.0 + _RIDGE
    try:
        return np.asarray(solve(matrix, -right, assume_a="pos"))
    except LinAlgError:
        return None
