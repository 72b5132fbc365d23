"""Spectral subtraction, Wiener filter and spectral gate."""

from __future__ import annotations

import numpy as np

from avagent.core.actions import SpectralGate, SpectralSubtraction, WienerFilter
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.denoise import NoiseReport, filter_spectrum

_SLOPE_DB = 2.0
"""Width of the gate's transition in dB."""


def spectral_subtraction(waveform: Waveform, action: SpectralSubtraction) -> tuple[Waveform, NoiseReport]:
    """Power subtraction with over-subtraction and a spectral floor (Berouti 1979, doi:10.1109/ICASSP.1979.1170788)."""
    floor = np.float32(10.0 ** (action.floor_db / 10.0))

    def rule(ratio: FloatArray) -> FloatArray:
        return np.sqrt(np.maximum(1.0 - np.float32(action.over_subtraction) / np.maximum(ratio, 1e-6), floor))

    return filter_spectrum(waveform, action, rule)


def wiener_filter(waveform: Waveform, action: WienerFilter) -> tuple[Waveform, NoiseReport]:
    """Wiener gain from the smoothed a-priori SNR (Scalart & Filho 1996, doi:10.1109/ICASSP.1996.543199)."""
    floor = np.float32(10.0 ** (action.floor_db / 20.0))

    def rule(ratio: FloatArray) -> FloatArray:
        # snr / (1 + snr) with snr = ratio / strength - 1 is 1 - strength / ratio.
        return np.maximum(1.0 - np.float32(action.strength) / np.maximum(ratio, 1e-6), floor)

    return filter_spectrum(waveform, action, rule)


def spectral_gate(waveform: Waveform, action: SpectralGate) -> tuple[Waveform, NoiseReport]:
    """A smooth mask that closes where the power comes near the noise floor."""
    closed = np.float32(10.0 ** (-action.reduction_db / 20.0))
    steep = np.float32(10.0 / np.log(10.0) / _SLOPE_DB)
    threshold = np.float32(10.0 ** (action.threshold_db / 10.0))

    def rule(ratio: FloatArray) -> FloatArray:
        # The logistic function of the level in dB is a power law of the ratio.
        mask = np.maximum(ratio, np.float32(1e-6), out=ratio)
        np.divide(threshold, mask, out=mask)
        np.power(mask, steep, out=mask)
        mask += np.float32(1.0)
        np.divide(np.float32(1.0) - closed, mask, out=mask)
        mask += closed
        return mask

    return filter_spectrum(waveform, action, rule)
