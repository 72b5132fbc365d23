"""Blind estimate of a noise floor that may change over time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.stft import Stft

_SEED_QUANTILE = 0.1
_CUT = 1.5
_ITERATIONS = 5
_MIN_FRAMES = 8
_HALF_WIDTH = 4
_SILENT = 1e-12
"""Mean square of a frame below which it is digital silence, and tells nothing about the noise (-120 dBFS)."""
_NOISY_DB, _CLEAN_DB = 16.0, 24.0
_LIFT = 2.5
_ALL_NOISE_DB = 1.0
_STEADY_FRAMES = 32
_STEADY_RATIO = 2.5
"""Median over 10% quantile of the power in a bin: 6.6 for noise, 1 for a steady note."""


@dataclass(frozen=True, slots=True, eq=False)
class NoiseTrack:
    """Noise power over time.

    Attributes:
        centres: float64 [windows], in samples.
        power: float32 [windows, bins], mean over the channels, in the units of :meth:`Stft.power`.
    """

    centres: npt.NDArray[np.float64]
    power: FloatArray

    def at(self, positions: npt.NDArray[np.float64]) -> FloatArray:
        """float32 [positions, bins], interpolated in dB."""
        if self.centres.size == 1:
            return np.repeat(self.power, positions.size, axis=0)
        left = np.clip(np.searchsorted(self.centres, positions) - 1, 0, self.centres.size - 2)
        step = self.centres[left + 1] - self.centres[left]
        share = np.clip((positions - self.centres[left]) / step, 0.0, 1.0).astype(np.float32)[:, None]
        level = np.log(self.power)
        return np.exp(level[left] + share * (level[left + 1] - level[left]))


def track_noise(waveform: Waveform, stft: Stft, *, window_s: float, quantile: float) -> NoiseTrack | None:
    """The noise floor in half-overlapping windows of `window_s`.

    The floor of a window is the mean of an exponential distribution (the power of Gaussian noise in one bin), fitted to
    the small values alone, so that neither speech nor notes raise it. Where it says that the clip is noisy, the
    unbiased `quantile` over time may raise it by up to 4 dB: that catches noise which changes as fast as speech.

    Returns:
        None: too short or silent to tell, or nothing but noise: then the noise is the programme.
    """
    floors: list[FloatArray] = []
    centres: list[float] = []
    totals: list[float] = []
    lift: list[FloatArray] = []
    for centre, power in _windows(waveform, stft, window_s):
        active = power[:, power.mean(axis=(0, 2)) > _SILENT * stft.frame / 2]
        if active.shape[1] < _MIN_FRAMES:
            continue
        low, middle = _floors(active, quantile)
        floors.append(low)
        lift.append(np.clip(middle / low, 1.0, _LIFT))
        totals.append(float(active.mean(axis=(0, 1)).sum()))
        centres.append(centre)
    if not floors:
        return None
    floor = np.asarray(floors, np.float32)
    ratio_db = 10.0 * math.log10(np.mean(totals) / float(floor.mean(axis=0).sum()))
    noisy = float(np.clip((_CLEAN_DB - ratio_db) / (_CLEAN_DB - _NOISY_DB), 0.0, 1.0))
    trust = min(1.0, ratio_db / _ALL_NOISE_DB)
    if trust <= 0.0:
        return None
    power = (floor * np.asarray(lift) ** noisy * trust).astype(np.float32)
    return NoiseTrack(np.asarray(centres, np.float64), power)


def _windows(waveform: Waveform, stft: Stft, window_s: float) -> Iterator[tuple[float, FloatArray]]:
    """Centre in samples and power, float32 [channels, frames, bins], of every window; each half is analysed once."""
    segments = max(1, int(2.0 * waveform.duration / window_s))
    edges = np.linspace(0, waveform.length, segments + 1).astype(int).tolist()
    power = stft.power(waveform.samples, 0, edges[1])
    if segments == 1:
        yield waveform.length / 2, power
    for start, stop in pairwise(edges[1:]):
        following = stft.power(waveform.samples, start, stop)
        yield float(start), np.concatenate([power, following], axis=1)
        power = following


def _floors(power: FloatArray, quantile: float) -> tuple[FloatArray, FloatArray]:
    """Truncated-exponential and quantile estimate of the noise power.

    Args:
        power: float32 [channels, frames, bins].

    Returns:
        Two of float32 [bins].
    """
    ordered = np.sort(np.ascontiguousarray(power.transpose(0, 2, 1)), axis=2)
    frames = ordered.shape[2]
    floor = _at_quantile(ordered, _SEED_QUANTILE)[:, :, None]
    shrink = np.float32(1.0 - _CUT * math.exp(-_CUT) / (1.0 - math.exp(-_CUT)))
    # Sorted along time, "below the cut" is a prefix: sums come from a cumulative sum.
    sums = np.cumsum(ordered, axis=2).ravel()
    first = np.arange(0, sums.size, frames, dtype=np.intp).reshape(floor.shape)
    for _ in range(_ITERATIONS):
        below = (ordered < np.float32(_CUT) * floor).view(np.uint8)
        count = np.maximum(np.add.reduce(below, axis=2, keepdims=True, dtype=np.uint32), 1)
        floor = sums[first + count - 1] / (shrink * count)
    tonal = _tonal(ordered)
    low = _smooth(_bridged(floor[:, :, 0].mean(axis=0, dtype=np.float32), tonal))
    return low, _smooth(_bridged(_at_quantile(ordered, quantile).mean(axis=0), tonal))


def _tonal(ordered: FloatArray) -> npt.NDArray[np.bool_]:
    """Which bins vary less over time than noise can: they hold a steady note, which is programme."""
    frames = ordered.shape[2]
    tonal = np.zeros(ordered.shape[1], np.bool_)
    if frames < _STEADY_FRAMES:
        return tonal
    low = np.asarray(ordered[:, :, frames // 10].sum(axis=0), np.float32)
    middle = np.asarray(ordered[:, :, frames // 2].sum(axis=0), np.float32)
    np.less(middle, low * np.float32(_STEADY_RATIO), out=tonal)
    return tonal


def _bridged(power: FloatArray, tonal: npt.NDArray[np.bool_]) -> FloatArray:
    """The noise under steady notes is that of the frequencies around them."""
    level = np.log(power + np.float32(1e-20))
    if tonal.any() and not tonal.all():
        index = np.arange(power.size)
        level[tonal] = np.interp(index[tonal], index[~tonal], level[~tonal])
    return np.exp(level)


def _at_quantile(ordered: FloatArray, quantile: float) -> FloatArray:
    """Mean of the exponential distribution that has this quantile."""
    index = min(ordered.shape[2] - 1, int(quantile * ordered.shape[2]))
    return ordered[:, :, index] / np.float32(-math.log1p(-quantile))


def _smooth(power: FloatArray) -> FloatArray:
    """Geometric mean over up to 9 neighbouring frequencies, fewer at the lowest, where noise is steep."""
    cumulative = np.concatenate([[0.0], np.cumsum(np.log(power), dtype=np.float64)])
    index = np.arange(power.size)
    half = np.minimum(np.minimum(_HALF_WIDTH, index // 3), power.size - 1 - index)
    return np.exp((cumulative[index + half + 1] - cumulative[index - half]) / (2 * half + 1)).astype(np.float32)
