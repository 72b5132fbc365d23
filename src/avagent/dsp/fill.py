"""Restoring dropouts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_toeplitz

from avagent.core.actions import FillBlanks
from avagent.core.media import Waveform
from avagent.dsp.dropouts import Gap, find_dropouts

Array = npt.NDArray[np.float64]

_CONTEXT_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class FillReport:
    """What :func:`fill_blanks` did: the dropouts it restored."""

    gaps: tuple[Gap, ...]

    @property
    def samples(self) -> int:
        """Samples restored, a channel."""
        return sum(gap.length for gap in self.gaps)


def fill_blanks(waveform: Waveform, action: FillBlanks) -> tuple[Waveform, FillReport]:
    """Restore dropouts by autoregressive interpolation (Janssen et al. 1986, doi:10.1109/TASSP.1986.1164824)."""
    gaps = find_dropouts(waveform, min_gap_ms=action.min_gap_ms, max_gap_ms=action.max_gap_ms)
    if not gaps:
        return waveform, FillReport(gaps=())
    out = waveform.samples.copy()
    for gap in gaps:
        for channel in out:
            _restore(channel, gap, waveform.rate)
    return Waveform(out, waveform.rate), FillReport(gaps=gaps)


def _restore(channel: npt.NDArray[np.float32], gap: Gap, rate: int) -> None:
    reach = max(64, round(_CONTEXT_S * rate), gap.length)
    low, high = max(0, gap.start - reach), min(channel.size, gap.stop + reach)
    part = channel[low:high].astype(np.float64)
    start, stop = gap.start - low, gap.stop - low
    order = min(1000, max(8, round(0.032 * rate)), part.size // 3)
    coefficients = _autoregression(part, order)
    part[start:stop] = _interpolate(part, start, stop, coefficients)
    peak = float(np.max(np.abs(channel[low:high]), initial=0.0))
    channel[gap.start : gap.stop] = np.clip(part[start:stop], -peak, peak)


def _autoregression(part: Array, order: int) -> Array:
    """Prediction-error filter [1, -a1, ...] by the autocorrelation method."""
    size = 1 << (2 * part.size - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(part, size)) ** 2
    correlation = np.fft.irfft(spectrum)[: order + 1]
    correlation[0] = correlation[0] * (1.0 + 1e-9) + 1e-20
    return np.concatenate(([1.0], -solve_toeplitz(correlation[:-1], correlation[1:])))


def _interpolate(part: Array, start: int, stop: int, filter_: Array) -> Array:
    """Values of the gap that minimise the prediction error of the whole."""
    known = part.copy()
    known[start:stop] = 0.0
    autocorrelation = np.correlate(filter_, filter_, "full")[filter_.size - 1 :]
    kernel = np.concatenate([autocorrelation[:0:-1], autocorrelation])
    right = np.convolve(known, kernel, "same")[start:stop]
    column = np.zeros(stop - start)
    column[: min(column.size, autocorrelation.size)] = autocorrelation[: column.size]
    return -solve_toeplitz(column, right)
