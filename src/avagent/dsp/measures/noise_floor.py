"""Signal-to-noise ratio against the steady floor, blind, and what that floor is like."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter, uniform_filter1d
from scipy.stats import gamma

from avagent.core.facts import Estimate, NoiseColour
from avagent.core.media import FloatArray
from avagent.dsp.measures.spectrum import Spectrogram
from avagent.dsp.products import inner

Array = npt.NDArray[np.float64]

_QUANTILE = 0.03
_SMOOTH_FRAMES = 7
_FREEDOM = 0.95 * _SMOOTH_FRAMES
"""Independent windows in a mean over time: half overlapped Hann windows correlate by 1/36 in power (Welch 1967)."""
_SMOOTH_BINS, _LOW_BINS, _LOW_SMOOTH_BINS = 21, 16, 5
_EXCESS = 0.15
_SCALE = 0.95
_FEWEST_FRAMES = 12
_SILENT = 1e-12
_MOST_DB = 80.0
_BANDS = 12
_STEADY_DB = 12.0
_STRAIGHT_DB = 8.0


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
    """Measure the floor: a low quantile of each bin over time, corrected for its bias on noise.

    The minimum of a smoothed periodogram underestimates noise by a factor that depends only on the smoothing (Martin
    2001, doi:10.1109/89.928915, section III); for a quantile the factor is that of a gamma variable. What the
    programme leaks into the floor grows with its level above it; the correction was fitted on speech with white, pink
    and brown noise at 0 to 20 dB.

    Args:
        spectra: power over time and frequency.
        kept: bool [frames], frames to look at (dropouts left out); None: all.

    Returns:
        None for silence, or fewer than 12 frames.
    """
    power = spectra.power if kept is None else spectra.power[kept]
    if power.shape[0] < _FEWEST_FRAMES:
        return None
    mean = power.mean(axis=0, dtype=np.float64)
    total = float(mean.sum())
    if total <= _SILENT:
        return None
    smooth = np.maximum(uniform_filter1d(power, _SMOOTH_FRAMES, axis=0, mode="nearest"), np.float32(0.0))
    floor = _floor(smooth, mean)
    noise = max(float(floor.sum()), total * 10.0 ** (-_MOST_DB / 10.0))
    ratio = 10.0 * float(np.log10(max(total - noise, 1e-2 * noise) / noise))
    slope, residual = _slope(spectra.frequencies, floor)
    bands = _in_bands(smooth, mean, floor)
    stationarity = float(np.clip(1.0 - bands.change_db / _STEADY_DB, 0.0, 1.0))
    return NoiseFloor(
        snr=Estimate(ratio, _confidence(ratio, bands, power.shape[0])),
        colour=_colour(slope) if residual < _STRAIGHT_DB else NoiseColour.UNKNOWN,
        slope=slope,
        stationarity=stationarity,
        power=floor,
    )


def _floor(smooth: FloatArray, mean: Array) -> Array:
    bias = float(gamma.ppf(_QUANTILE, _FREEDOM)) / _FREEDOM
    # The lowest of 32 are few enough to be partitioned, which is a third of the time of a quantile.
    rank = _QUANTILE * (smooth.shape[0] - 1)
    low = np.partition(smooth, [int(rank), int(np.ceil(rank))], axis=0)
    quantile = low[int(rank)] + (rank % 1.0) * (low[int(np.ceil(rank))] - low[int(rank)])
    raw = quantile.astype(np.float64) / bias
    floor = median_filter(raw, _SMOOTH_BINS, mode="nearest")
    floor[:_LOW_BINS] = median_filter(raw, _LOW_SMOOTH_BINS, mode="nearest")[:_LOW_BINS]
    floor = _SCALE * np.asarray(floor, dtype=np.float64)
    above = np.log10(np.maximum(mean / np.maximum(floor, 1e-30), 1.0))
    return np.minimum(floor / (1.0 + _EXCESS * above), mean)


def _slope(frequencies: Array, floor: Array) -> tuple[float, float]:
    """Slope of the floor in dB an octave, octaves weighing alike, and the deviation from it in dB."""
    inside = (frequencies > 100.0) & (frequencies < 0.8 * frequencies[-1]) & (floor > floor.max() * 1e-12)
    if np.count_nonzero(inside) < _BANDS:
        return 0.0, float("inf")
    octaves, levels = np.log2(frequencies[inside]), 10.0 * np.log10(floor[inside])
    weights = 1.0 / frequencies[inside]
    weights /= weights.sum()
    x, y = octaves - inner(weights, octaves), levels - inner(weights, levels)
    slope = inner(weights, x * y) / inner(weights, x * x)
    return slope, float(np.sqrt(inner(weights, np.square(y - slope * x))))


def _colour(slope: float) -> NoiseColour:
    """The nearest of 0, -3, -6 and +3 dB an octave."""
    if not -9.0 <= slope <= 7.5:
        return NoiseColour.UNKNOWN
    slopes = {NoiseColour.WHITE: 0.0, NoiseColour.PINK: -3.0, NoiseColour.BROWN: -6.0, NoiseColour.BLUE: 3.0}
    return min(slopes, key=lambda colour: abs(slopes[colour] - slope))


@dataclass(frozen=True, slots=True)
class _Bands:
    """The floor over 12 bands, each weighing as its share of the floor.

    Attributes:
        change_db: between the floors of four parts of the clip.
        spread_db: between the 3% and the 25% quantile over time: small where there is a floor at all.
        unlike: distance of its spectrum from that of the programme, 0 (alike) to 1.
        dynamics_db: between the 5% and the 95% quantile of the whole clip's power over time.
    """

    change_db: float
    spread_db: float
    unlike: float
    dynamics_db: float


def _in_bands(smooth: FloatArray, mean: Array, floor: Array) -> _Bands:
    edges = np.unique(np.geomspace(2, floor.size - 1, _BANDS + 1).astype(int))
    over_time = np.stack([smooth[:, a:b].sum(axis=1) for a, b in pairwise(edges)], axis=1).astype(np.float64)
    floors = np.array([floor[a:b].sum() for a, b in pairwise(edges)])
    means = np.array([mean[a:b].sum() for a, b in pairwise(edges)])
    tiny = 1e-9 * float(means.max()) + 1e-30
    shares = (floors + tiny) / (floors + tiny).sum()
    programme = np.maximum(means - floors, tiny)
    low, middle = np.quantile(over_time, (_QUANTILE, 0.25), axis=0)
    parts = [np.quantile(part, 0.05, axis=0) for part in np.array_split(over_time, 4)]
    levels = 10.0 * np.log10(np.stack(parts) + tiny)
    quiet, loud = np.quantile(smooth.sum(axis=1, dtype=np.float64), (0.05, 0.95))
    return _Bands(
        change_db=inner(shares, levels.max(axis=0) - levels.min(axis=0)),
        spread_db=inner(shares, 10.0 * np.log10((middle + tiny) / (low + tiny))),
        unlike=0.5 * float(np.abs(shares - programme / programme.sum()).sum()),
        dynamics_db=10.0 * float(np.log10((loud + tiny) / (quiet + tiny))),
    )


def _confidence(ratio: float, bands: _Bands, frames: int) -> float:
    """How far the ratio is to be trusted.

    A high ratio is a lower bound that nothing can spoil. A low one counts as noise only where there is a floor (little
    spread), which does not change, under a programme that does, and that has another spectrum: an engine, rain or
    applause, all floor or all alike, is the sound itself as far as one can tell. Limits were placed on 100 recordings,
    clean and with noise.
    """
    clean = (ratio - 13.0) / 8.0
    floor = min(1.0, (8.0 - bands.spread_db) / 5.0, (12.0 - bands.change_db) / 7.0)
    distinct = min((bands.unlike - 0.2) / 0.25, (ratio + 4.0) / 5.0, (bands.dynamics_db - 2.0) / 2.0)
    seconds = frames / 60.0
    noisy = min(1.0, seconds) * float(np.clip(floor, 0.0, 1.0)) * float(np.clip(distinct, 0.0, 1.0))
    return float(np.clip(max(clean, noisy), 0.0, 1.0))
