"""Lag between sound and picture: onset strength against motion energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import gaussian_filter1d
from scipy.special import expit

from avagent.core.errors import ParameterError
from avagent.core.media import FloatArray, Motion
from avagent.dsp.measures.motion import is_still

Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]

RATE = 100.0
"""Common rate of the two curves, in Hz."""

_SHORTEST_S = 1.0
_SMOOTH_S = 0.02
_TREND_S = 0.8
_FEWEST_MOMENTS = 20
_PEAK_S = 0.15
_PER_PEAK, _PER_MARGIN, _PER_CORRELATION, _EVIDENCE_HALF = 2.0, 1.5, 8.0, 14.0
_DISTINCT = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Sound and picture on one clock, trend removed, standardised over their common time.

    Attributes:
        onset: float64 [n], new sound at each moment.
        motion: float64 [n], new movement at each moment.
        rate: in Hz.
        start: time of the first value, in s.
    """

    onset: Array
    motion: Array
    rate: float
    start: float


@dataclass(frozen=True, slots=True, eq=False)
class LagProfile:
    """Normalised cross-correlation at every lag.

    Attributes:
        lags_ms: float64 [m], ascending, in ms; above 0 the sound comes after the picture.
        correlation: float64 [m], Pearson's coefficient over the overlap, [-1, 1].
        significance: float64 [m], correlation in standard deviations of what unrelated curves of the same smoothness
            reach (Bartlett 1935).
        best_lag_ms: where the correlation is highest, interpolated between the lags.
        confidence: in [0, 1]; low for unrelated curves, and where several lags fit alike.
        start, stop: the part of the clip, in s.
    """

    lags_ms: Array
    correlation: Array
    significance: Array
    best_lag_ms: float
    confidence: float
    start: float
    stop: float

    def at(self, lag_ms: float) -> float:
        """The correlation at a lag, interpolated."""
        return float(np.interp(lag_ms, self.lags_ms, self.correlation))


def lag_profile(onset: FloatArray, onset_rate: float, motion: Motion, max_lag_s: float = 2.0) -> LagProfile | None:
    """Cross-correlation of a whole clip's curves at all lags within ± max_lag_s.

    Args:
        onset: float32 [n], from :func:`avagent.dsp.measures.onset.onset_strength`.
        onset_rate: its rate in Hz.
        motion: motion energy over time.
        max_lag_s: in s, above 0; cut to half of the common time.

    Returns:
        None where it cannot be evaluated: a still picture, no onsets, less than a second in common.

    Raises:
        ParameterError: a rate or max_lag_s that is not positive.
    """
    curves = common_curves(onset, onset_rate, motion)
    return None if curves is None else profile(curves, max_lag_s)


def common_curves(onset: FloatArray, onset_rate: float, motion: Motion) -> Curves | None:
    """Both curves at 100 Hz over their common time; None as for :func:`lag_profile`."""
    if onset_rate <= 0.0:
        raise ParameterError(f"onset_rate must be a positive number of Hz, got {onset_rate}")
    if onset.size < 2 or motion.times.size < 3 or is_still(motion) or float(onset.max()) <= 0.0:
        return None
    # A change between two frames happened somewhere between them.
    moments = 0.5 * (motion.times[1:] + motion.times[:-1])
    begin, end = max(0.0, float(moments[0])), min((onset.size - 1) / onset_rate, float(moments[-1]))
    if end - begin < _SHORTEST_S:
        return None
    clock = np.arange(begin, end, 1.0 / RATE)
    sound = np.interp(clock, np.arange(onset.size) / onset_rate, onset.astype(np.float64))
    picture = np.interp(clock, moments, motion.energy[1:].astype(np.float64))
    frame = float(np.median(np.diff(motion.times)))
    sound = _standardise(np.sqrt(gaussian_filter1d(sound, max(_SMOOTH_S, 0.5 * frame) * RATE)))
    picture = _standardise(np.sqrt(gaussian_filter1d(picture, _SMOOTH_S * RATE)))
    if sound is None or picture is None:
        return None
    return Curves(onset=sound, motion=picture, rate=RATE, start=begin)


def profile(curves: Curves, max_lag_s: float = 2.0) -> LagProfile | None:
    """The profile of two curves; None where one of them is constant or too short."""
    if max_lag_s <= 0.0:
        raise ParameterError(f"max_lag_s must be positive, got {max_lag_s}")
    length = curves.onset.size
    reach = min(round(max_lag_s * curves.rate), length // 2)
    if length < _FEWEST_MOMENTS or reach < 1 or min(curves.onset.std(), curves.motion.std()) < 1e-9:
        return None
    correlation = _normalised_correlation(curves.onset, curves.motion, reach)
    spread = _bartlett_deviation(curves.onset, curves.motion, reach)
    significance = correlation / spread
    best = int(np.argmax(significance))
    lags = np.asarray(np.arange(-reach, reach + 1) * (1000.0 / curves.rate), dtype=np.float64)
    offset = _vertex(correlation, best)
    return LagProfile(
        lags_ms=lags,
        correlation=correlation,
        significance=significance,
        best_lag_ms=float(lags[best] + offset * 1000.0 / curves.rate),
        confidence=_confidence(significance, correlation, best, curves.rate),
        start=curves.start,
        stop=curves.start + length / curves.rate,
    )


def _standardise(curve: Array) -> Array | None:
    """Slow trend removed, mean 0, deviation 1, outliers limited; None for a constant."""
    flat = curve - gaussian_filter1d(curve, _TREND_S * RATE)
    deviation = float(flat.std())
    if deviation < 1e-6:
        return None
    limited = np.clip((flat - flat.mean()) / deviation, -4.0, 4.0)
    return (limited - limited.mean()) / limited.std()


@dataclass(frozen=True, slots=True)
class _Crossing:
    """Sums over products of curves of one length, at lags -reach..reach, by transforms that are made once a curve."""

    size: int
    reach: int

    @classmethod
    def of(cls, length: int, reach: int) -> _Crossing:
        return cls(int(next_fast_len(length + reach + 1, real=True)), reach)

    def transform(self, *curves: Array) -> list[ComplexArray]:
        """One row a curve."""
        spectra: ComplexArray = np.asarray(rfft(np.stack(curves), self.size), np.complex128)
        return list(spectra)

    def sums(self, *pairs: tuple[ComplexArray, ComplexArray]) -> list[Array]:
        """sum_t first[t + lag] second[t] of every pair of transforms."""
        products = np.stack([first * np.conj(second) for first, second in pairs])
        full: Array = np.asarray(irfft(products, self.size), np.float64)
        kept: Array = np.concatenate([full[:, -self.reach :], full[:, : self.reach + 1]], axis=1)
        return list(kept)


def _normalised_correlation(onset: Array, motion: Array, reach: int) -> Array:
    """Pearson's coefficient over the overlap at each lag."""
    crossing = _Crossing.of(onset.size, reach)
    ones, heard, seen, heard_power, seen_power = crossing.transform(
        np.ones_like(onset), onset, motion, onset**2, motion**2
    )
    count, sum_onset, sum_motion, energy_onset, energy_motion, products = crossing.sums(
        (ones, ones), (heard, ones), (ones, seen), (heard_power, ones), (ones, seen_power), (heard, seen)
    )
    covariance = products - sum_onset * sum_motion / count
    power = (energy_onset - sum_onset**2 / count) * (energy_motion - sum_motion**2 / count)
    floor = (0.1 * onset.size) ** 2 * 0.01
    return np.clip(covariance / np.sqrt(np.maximum(power, floor)), -1.0, 1.0)


def _bartlett_deviation(onset: Array, motion: Array, reach: int) -> Array:
    """Standard deviation of the correlation of two independent series of these autocorrelations."""
    size = onset.size
    window = min(size - 1, reach)
    taper = 1.0 - np.abs(np.arange(-window, window + 1)) / size
    first, second = _autocorrelations(onset, motion, window)
    product = first * second * taper
    moments = max(1.0, float(product.sum()))
    overlap = size - np.abs(np.arange(-reach, reach + 1))
    return np.sqrt(moments / overlap)


def _autocorrelations(first: Array, second: Array, reach: int) -> list[Array]:
    crossing = _Crossing.of(first.size, reach)
    spectra = crossing.transform(first - first.mean(), second - second.mean())
    values = crossing.sums(*zip(spectra, spectra, strict=True))
    return [value / max(float(value[reach]), 1e-12) for value in values]


def _vertex(correlation: Array, best: int) -> float:
    """Offset of a parabola's top from its middle sample, in samples."""
    if best in (0, correlation.size - 1):
        return 0.0
    left, middle, right = correlation[best - 1 : best + 2]
    bend = left - 2.0 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < 0.0 else 0.0


def _confidence(significance: Array, correlation: Array, best: int, rate: float) -> float:
    """How surely the highest peak is the lag: a logistic regression on its height and its margin over other peaks.

    Curves of few events are far from Gaussian, so that the best of many lags exceeds what Bartlett's deviation lets
    expect. Fitted on simulated impacts and on recordings under pictures that move with them or with another
    recording; shifted towards doubt, as a wrong shift does more harm than none.
    """
    around = round(_PEAK_S * rate)
    others = np.concatenate([significance[: max(0, best - around)], significance[best + around + 1 :]])
    peak = float(significance[best])
    margin = peak - float(others.max(initial=0.0))
    evidence = _PER_PEAK * peak + _PER_MARGIN * margin + _PER_CORRELATION * float(correlation[best])
    # Of a regular beat every period fits alike, and all of them well.
    distinct = float(np.clip(margin / (_DISTINCT * max(peak, 1e-9)), 0.0, 1.0))
    edge = 0.5 if best in (0, significance.size - 1) else 1.0
    return edge * distinct * float(expit(evidence - _EVIDENCE_HALF))
