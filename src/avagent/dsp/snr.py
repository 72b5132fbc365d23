"""Signal-to-noise ratio against the steady floor, blind, and what that floor is like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter, uniform_filter1d
from scipy.stats import gamma

from avagent.core.facts import Estimate, NoiseColour
from avagent.core.media import FloatArray
from avagent.dsp.spectrum import Spectrogram

Array = npt.NDArray[np.float64]

_QUANTILE = 0.1
_SMOOTH_FRAMES = 5
_SMOOTH_BINS = 21
_FEWEST_FRAMES = 12
_SILENT = 1e-12
_MOST_DB = 80.0
_FREEDOM = 1.0 + 0.65 * (_SMOOTH_FRAMES - 1)
"""Equivalent number of independent Hann windows, half overlapped, in a mean of _SMOOTH_FRAMES."""


@dataclass(frozen=True, slots=True, eq=False)
class NoiseFloor:
    """The steady floor of a clip.

    Attributes:
        snr: in dB, and its confidence.
        colour: of the floor's spectrum.
        slope: of the floor's spectrum, in dB an octave.
        stationarity: 0 (changing) to 1 (steady).
        power: float64 [bins], the floor's power.
    """

    snr: Estimate
    colour: NoiseColour
    slope: float
    stationarity: float
    power: Array


def noise_floor(spectra: Spectrogram, kept: npt.NDArray[np.bool_] | None = None) -> NoiseFloor | None:
    """Measure the floor: per bin the 10% quantile over time, corrected for its bias on noise.

    The quantile of a smoothed periodogram of Gaussian noise is that of a gamma variable (Martin 2001,
    doi:10.1109/89.928915, section III, for the minimum); dividing by it gives the mean.

    Args:
        spectra: power over time and frequency.
        kept: bool [frames], frames to look at (dropouts left out); None: all.

    Returns:
        None for silence, or fewer than 12 frames.
    """
    power = spectra.power if kept is None else spectra.power[kept]
    if power.shape[0] < _FEWEST_FRAMES:
        return None
    smooth = np.asarray(uniform_filter1d(power, _SMOOTH_FRAMES, axis=0, mode="nearest"), dtype=np.float32)
    mean = power.mean(axis=0, dtype=np.float64)
    total = float(mean.sum())
    if total <= _SILENT:
        return None
    floor = np.minimum(_floor(smooth), mean)
    noise = max(float(floor.sum()), total * 10.0 ** (-_MOST_DB / 10.0))
    ratio = 10.0 * float(np.log10(max(total - noise, 1e-3 * noise) / noise))
    slope = _slope(spectra.frequencies, floor)
    stationarity = _stationarity(smooth, floor)
    return NoiseFloor(
        snr=Estimate(ratio, _confidence(ratio, stationarity, power.shape[0])),
        colour=_colour(slope),
        slope=slope,
        stationarity=stationarity,
        power=floor,
    )


def _floor(smooth: FloatArray) -> Array:
    bias = float(gamma.ppf(_QUANTILE, _FREEDOM)) / _FREEDOM
    quantile = np.quantile(smooth, _QUANTILE, axis=0) / bias
    return np.asarray(median_filter(quantile.astype(np.float64), _SMOOTH_BINS, mode="nearest"), dtype=np.float64)


def _slope(frequencies: Array, floor: Array) -> float:
    """Least-squares slope of the floor over the logarithm of frequency, third octaves weighing alike."""
    inside = (frequencies > 100.0) & (frequencies < 0.8 * frequencies[-1]) & (floor > 0.0)
    if np.count_nonzero(inside) < 8:
        return 0.0
    octaves = np.log2(frequencies[inside])
    weights = 1.0 / np.sqrt(frequencies[inside])
    return float(np.polyfit(octaves, 10.0 * np.log10(floor[inside]), 1, w=weights)[0])


def _colour(slope: float) -> NoiseColour:
    """The nearest of 0, -3, -6 and +3 dB an octave."""
    if slope < -9.0 or slope > 7.5:
        return NoiseColour.UNKNOWN
    if slope < -4.5:
        return NoiseColour.BROWN
    if slope < -1.5:
        return NoiseColour.PINK
    return NoiseColour.WHITE if slope < 1.5 else NoiseColour.BLUE


def _stationarity(smooth: FloatArray, floor: Array) -> float:
    """How alike the floor of four parts of the clip is: 1 at no difference, 0 at 12 dB."""
    if smooth.shape[0] < 4 * _FEWEST_FRAMES:
        return 0.5
    bias = float(gamma.ppf(_QUANTILE, _FREEDOM)) / _FREEDOM
    levels = [
        10.0 * np.log10(float((np.quantile(part, _QUANTILE, axis=0) / bias).sum()) + 1e-15)
        for part in np.array_split(smooth, 4)
    ]
    return float(np.clip(1.0 - (max(levels) - min(levels)) / 12.0, 0.0, 1.0))


def _confidence(ratio: float, stationarity: float, frames: int) -> float:
    """Low where all is floor (an engine, rain: the sound itself is steady), where it changes, and for short clips."""
    foreground = float(np.clip((ratio + 4.0) / 6.0, 0.0, 1.0))
    length = float(np.clip(frames / 90.0, 0.1, 1.0))
    return foreground * (0.3 + 0.7 * stationarity) * length
