"""The discrete wavelet transform (PyWavelets) behind typed signatures."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pywt

from avagent.core.media import FloatArray

Array = npt.NDArray[np.float64]

_WAVELET = "sym8"
_MODE = "symmetric"


def decompose(samples: FloatArray, levels: int) -> list[FloatArray]:
    """Approximation, then details from coarse to fine: float32 [channels, coefficients] each."""
    parts = pywt.wavedec(samples, _WAVELET, mode=_MODE, level=levels, axis=-1)
    return [np.asarray(part, np.float32) for part in parts]


def compose(parts: Sequence[FloatArray], length: int) -> FloatArray:
    """float32 [channels, length]: the inverse of :func:`decompose`."""
    samples = pywt.waverec(list(parts), _WAVELET, mode=_MODE, axis=-1)
    return np.ascontiguousarray(samples[:, :length], np.float32)


def deepest(length: int) -> int:
    """Most levels into which so many samples can be decomposed."""
    return int(pywt.dwt_max_level(length, pywt.Wavelet(_WAVELET).dec_len))


def filters() -> tuple[Array, Array]:
    """Low-pass and high-pass decomposition filter, float64 [16]."""
    wavelet = pywt.Wavelet(_WAVELET)
    return np.asarray(wavelet.dec_lo, np.float64), np.asarray(wavelet.dec_hi, np.float64)
