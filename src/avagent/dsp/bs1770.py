"""Loudness and true peak by ITU-R BS.1770-4, in blocks: any length, up to 24 channels, bounded memory."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from pyloudnorm import IIRfilter  # pyright: ignore[reportMissingTypeStubs]
from scipy.signal import lfilter  # pyright: ignore[reportUnknownVariableType]

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.resampling import resample

Array = npt.NDArray[np.float64]

STEP_S = 0.1
_CHUNK = 1 << 18
_OFFSET = -0.691
_CONTEXT = 256
_OVERSAMPLING = 4


def channel_weights(channels: int) -> Array:
    """BS.1770-4, table 3: surround channels count 1.41, the LFE of 5.1 nothing (order: L R C LFE Ls Rs)."""
    weights = np.ones(channels)
    if channels == 5:
        weights[3:] = 1.41
    elif channels >= 6:
        weights[3] = 0.0
        weights[4:] = 1.41
    return weights


def step_powers(waveform: Waveform) -> Array:
    """K-weighted power, channels summed, of every full 100 ms: float64 [steps]."""
    stages = _k_weighting(waveform.rate)
    states = [np.zeros((waveform.channels, 2)) for _ in stages]
    step = max(1, round(STEP_S * waveform.rate))
    weights = channel_weights(waveform.channels)
    chunk = step * max(1, _CHUNK // step)
    powers: list[Array] = [np.zeros(0)]
    for start in range(0, waveform.length, chunk):
        part = waveform.samples[:, start : start + chunk].astype(np.float64)
        for index, (numerator, denominator) in enumerate(stages):
            part, states[index] = lfilter(numerator, denominator, part, axis=-1, zi=states[index])
        full = part.shape[1] // step
        squares = np.square(part[:, : full * step]).reshape(waveform.channels, full, step).mean(axis=2)
        powers.append(weights @ squares)
    return np.concatenate(powers)


def gated_loudness(waveform: Waveform) -> float | None:
    """Integrated loudness in LUFS (BS.1770-4, annex 1).

    A clip of under 0.4 s is one block; one of under 0.1 s is repeated up to 0.2 s.

    Returns:
        None: nothing above the absolute gate of -70 LUFS.
    """
    if waveform.length == 0:
        return None
    steps = step_powers(waveform)
    if steps.size == 0:
        repeats = math.ceil(2.0 * STEP_S * waveform.rate / waveform.length)
        steps = step_powers(Waveform(np.tile(waveform.samples, (1, repeats)), waveform.rate))
    width = min(4, steps.size)
    blocks = np.convolve(steps, np.full(width, 1.0 / width), "valid")
    loud = blocks[blocks > 10.0 ** ((-70.0 - _OFFSET) / 10.0)]
    if loud.size == 0:
        return None
    kept = loud[loud > 0.1 * loud.mean()]
    return _OFFSET + 10.0 * math.log10(float(kept.mean()))


def oversampled_peaks(waveform: Waveform) -> FloatArray:
    """float32 [samples]: the largest magnitude over all channels around each sample, four times oversampled (annex 2)."""
    out = np.zeros(waveform.length, np.float32)
    for start in range(0, waveform.length, _CHUNK):
        stop = min(waveform.length, start + _CHUNK)
        low = max(0, start - _CONTEXT)
        for channel in waveform.samples[:, low : stop + _CONTEXT]:
            peaks = _fine_peaks(channel)[start - low : stop - low]
            np.maximum(out[start:stop], peaks, out=out[start:stop])
    return out


def true_peak_dbtp(waveform: Waveform) -> float | None:
    """True peak in dBTP; None: digital silence."""
    peak = float(np.max(oversampled_peaks(waveform), initial=0.0))
    return 20.0 * math.log10(peak) if peak > 0.0 else None


def _fine_peaks(channel: FloatArray) -> FloatArray:
    """The largest of each sample and the points between it and its neighbours."""
    fine = np.zeros(_OVERSAMPLING * channel.size)
    dense = np.abs(resample(channel, 1.0, _OVERSAMPLING))[: fine.size]
    fine[: dense.size] = dense
    grid = fine.reshape(-1, _OVERSAMPLING).max(axis=1)
    following = np.maximum(grid, np.abs(channel))
    following[1:] = np.maximum(following[1:], grid[:-1])
    return following.astype(np.float32)


def _k_weighting(rate: int) -> tuple[tuple[Array, Array], ...]:
    """Numerator and denominator of the two stages at any rate (constants: De Man 2018, from BS.1770-4, tables 1 and 2)."""
    shelf = IIRfilter(3.99984385397, 0.7071752369554193, 1681.9744509555319, rate, "high_shelf_DeMan")
    high_pass = IIRfilter(0.0, 0.5003270373253953, 38.13547087613982, rate, "high_pass_DeMan")
    return (shelf.b, shelf.a), (high_pass.b, high_pass.a)
