"""Loudness and true peak by ITU-R BS.1770-4, in blocks: any length, up to 24 channels, bounded memory."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from pyloudnorm import IIRfilter  # pyright: ignore[reportMissingTypeStubs]
from scipy.signal import sosfilt  # pyright: ignore[reportUnknownVariableType]

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.products import moving_mean
from avagent.dsp.resampling import resample_single

Array = npt.NDArray[np.float64]

STEP_S = 0.1
_CHUNK = 1 << 18
_OFFSET = -0.691
_CONTEXT = 128
CELL = 1024
"""Samples that are oversampled, or limited, together."""
_FULL_RATE = 32_000
"""Below, sound often reaches up to the Nyquist frequency: it is oversampled eight times instead of four, in Hz."""


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
    states = np.zeros((len(stages), waveform.channels, 2))
    step = max(1, round(STEP_S * waveform.rate))
    weights = channel_weights(waveform.channels)
    chunk = step * max(1, _CHUNK // step)
    powers: list[Array] = [np.zeros(0)]
    for start in range(0, waveform.length, chunk):
        part = waveform.samples[:, start : start + chunk].astype(np.float64)
        part, states = sosfilt(stages, part, axis=-1, zi=states)
        full = part.shape[1] // step
        squares = np.square(part[:, : full * step]).reshape(waveform.channels, full, step).mean(axis=2)
        powers.append(np.sum(weights[:, None] * squares, axis=0))
    return np.concatenate(powers)


def gated_loudness(waveform: Waveform) -> float | None:
    """Integrated loudness in LUFS (BS.1770-4, annex 1).

    A clip of under 0.4 s is one block; one of under 0.1 s is repeated up to 0.2 s.

    Returns:
        None: nothing above the absolute gate of -70 LUFS.
    """
    return gate(loudness_steps(waveform))


def loudness_steps(waveform: Waveform) -> Array:
    """:func:`step_powers`, also of clips that are shorter than a step; empty for an empty clip."""
    steps = step_powers(waveform)
    if steps.size == 0 and waveform.length > 0:
        repeats = math.ceil(2.0 * STEP_S * waveform.rate / waveform.length)
        steps = step_powers(Waveform(np.tile(waveform.samples, (1, repeats)), waveform.rate))
    return steps


def gate(steps: Array) -> float | None:
    """Loudness in LUFS of 100 ms powers: blocks of 400 ms, above -70 LUFS and above 10 LU under their mean."""
    if steps.size == 0:
        return None
    width = min(4, steps.size)
    blocks = moving_mean(steps, width)
    loud = blocks[blocks > 10.0 ** ((-70.0 - _OFFSET) / 10.0)]
    if loud.size == 0:
        return None
    return _OFFSET + 10.0 * math.log10(float(loud[loud > 0.1 * loud.mean()].mean()))


def power_to_lufs(power: float) -> float:
    """Loudness of a K-weighted power, in LUFS."""
    return _OFFSET + 10.0 * math.log10(max(power, 1e-20))


def oversampled_peaks(waveform: Waveform, level: float) -> FloatArray:
    """Largest magnitude over all channels around each sample, oversampled (annex 2): float32 [samples].

    Oversampled is only what may exceed `level`: the neighbourhood of samples above 0.4 of it. Band-limited programme
    does not rise by 8 dB between two samples. Elsewhere the value is the sample's own magnitude.
    """
    out = np.zeros(waveform.length, np.float32)
    for channel in waveform.samples:
        for start in range(0, waveform.length, _CHUNK):
            part = out[start : start + _CHUNK]
            np.maximum(part, np.abs(channel[start : start + _CHUNK]), out=part)
    factor = 4 if waveform.rate >= _FULL_RATE else 8
    for start, stop in _loud_stretches(out, 0.4 * level):
        low = max(0, start - _CONTEXT)
        for channel in waveform.samples[:, low : stop + _CONTEXT]:
            peaks = _fine_peaks(channel, factor)[start - low : stop - low]
            np.maximum(out[start:stop], peaks, out=out[start:stop])
    return out


def true_peak_dbtp(waveform: Waveform) -> float | None:
    """True peak in dBTP; None: digital silence."""
    highest = float(np.max(np.abs(waveform.samples), initial=0.0))
    if highest <= 0.0:
        return None
    return 20.0 * math.log10(float(oversampled_peaks(waveform, highest).max()))


def _loud_stretches(magnitude: FloatArray, threshold: float) -> list[tuple[int, int]]:
    """Stretches [start, stop) of whole cells that hold a sample above the threshold, at most a chunk long."""
    starts = np.arange(0, magnitude.size, CELL)
    loud = np.maximum.reduceat(magnitude, starts) > threshold if magnitude.size else np.zeros(0, bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(np.int8), [0]]))) * CELL
    return [
        (low, min(low + _CHUNK, int(stop), magnitude.size))
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
        for low in range(int(start), int(stop), _CHUNK)
    ]


def _fine_peaks(channel: FloatArray, factor: int) -> FloatArray:
    """The largest of each sample and the points between it and its neighbours; the factor is a power of two."""
    fine = np.zeros(factor * channel.size, np.float32)
    dense = resample_single(channel, 1.0, factor)[: fine.size]
    np.abs(dense, out=fine[: dense.size])
    while fine.size > channel.size:
        fine = np.maximum(fine[0::2], fine[1::2])
    peaks = np.maximum(fine, np.abs(channel))
    np.maximum(peaks[1:], fine[:-1], out=peaks[1:])
    return peaks


@lru_cache(maxsize=16)
def _k_weighting(rate: int) -> Array:
    """Second-order sections [2, 6] at any rate (constants: De Man, fitted to BS.1770-4, tables 1 and 2)."""
    shelf = IIRfilter(3.99984385397, 0.7071752369554193, 1681.9744509555319, rate, "high_shelf_DeMan")
    high_pass = IIRfilter(0.0, 0.5003270373253953, 38.13547087613982, rate, "high_pass_DeMan")
    return np.stack([_section(shelf), _section(high_pass)])


def _section(stage: IIRfilter) -> Array:
    numerator, denominator = np.asarray(stage.b, np.float64), np.asarray(stage.a, np.float64)  # pyright: ignore[reportUnknownMemberType]
    return np.concatenate([numerator, denominator]) / denominator[0]
