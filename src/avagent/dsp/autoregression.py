"""Autoregressive models of sound."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.linalg import solve_toeplitz

Array = npt.NDArray[np.float64]

_RIDGE = 1e-9


def prediction_filter(part: Array, order: int) -> Array:
    """Prediction-error filter [1, -a1, ...] by the autocorrelation method (Hann window), float64 [order + 1]."""
    size = int(next_fast_len(part.size + order + 1, real=True))
    spectrum = np.asarray(rfft(part * np.hanning(part.size + 2)[1:-1], size))
    correlation = np.asarray(irfft(spectrum.real**2 + spectrum.imag**2, size))[: order + 1]
    correlation[0] = correlation[0] * (1.0 + _RIDGE) + 1e-20
    return np.concatenate(([1.0], -np.asarray(solve_toeplitz(correlation[:-1], correlation[1:]))))
