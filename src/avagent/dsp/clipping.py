"""Clipped samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from avagent.core.media import FloatArray, Waveform


def clipping_ratio(waveform: Waveform) -> float:
    """Share of samples that lie in clipped runs, in [0, 1].

    A run is clipped where at least three neighbouring samples stay within 0.05% of the channel's highest level, and
    the curve is flatter there than its flanks allow.
    """
    clipped = sum(_clipped(channel) for channel in waveform.samples)
    return clipped / max(1, waveform.samples.size)


def _clipped(channel: FloatArray) -> int:
    total = 0
    for sign in (1.0, -1.0):
        signed = channel * np.float32(sign)
        top = float(signed.max(initial=0.0))
        if top < 0.01:
            continue
        high = signed >= top * (1.0 - 5e-4)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], high.astype(np.int8), [0]])))
        starts, stops = edges[::2], edges[1::2]
        lengths = stops - starts
        total += int(lengths[(lengths >= 3) & _flat(signed, starts, stops, top)].sum())
    return total


def _flat(
    signed: FloatArray, starts: npt.NDArray[np.intp], stops: npt.NDArray[np.intp], top: float
) -> npt.NDArray[np.bool_]:
    """Whether the plateau is longer than a parabola through its flanks would be within the tolerance."""
    before = signed[np.maximum(starts - 2, 0)]
    after = signed[np.minimum(stops + 1, signed.size - 1)]
    drop = np.maximum(0.5 * ((top - before) + (top - after)), 0.0)
    lengths = (stops - starts).astype(np.float64)
    # A parabola that falls by `drop` at half + 2 samples from its top falls by `rise` at half.
    rise = drop * (0.5 * lengths / (0.5 * lengths + 2.0)) ** 2
    return rise > 4.0 * 5e-4 * top
