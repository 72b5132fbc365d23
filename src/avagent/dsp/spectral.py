"""Spectral subtraction and Wiener filter."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from avagent.core.actions import SpectralSubtraction, WienerFilter
from avagent.core.media import Waveform
from avagent.dsp.noise import Gain, NoiseReport, Power, filter_spectrum


def smooth(power: Power, frames: int, bins: int) -> Power:
    """Moving average over time and frequency: steady gains instead of musical noise."""
    return uniform_filter1d(uniform_filter1d(power, frames, axis=0), bins, axis=1)


def spectral_subtraction(waveform: Waveform, action: SpectralSubtraction) -> tuple[Waveform, NoiseReport]:
    """Power subtraction with over-subtraction and a spectral floor (Berouti 1979, doi:10.1109/ICASSP.1979.1170788)."""
    floor = np.float32(10.0 ** (action.floor_db / 20.0))

    def rule(power: Power, noise: Power) -> Gain:
        kept = 1.0 - np.float32(action.over_subtraction) * noise / smooth(power, 5, 3)
        return np.maximum(np.sqrt(np.maximum(kept, 0.0)), floor)

    return filter_spectrum(waveform, action.quantile, rule)


def wiener_filter(waveform: Waveform, action: WienerFilter) -> tuple[Waveform, NoiseReport]:
    """Wiener gain from the smoothed a-priori SNR (Scalart & Filho 1996, doi:10.1109/ICASSP.1996.543199)."""
    floor = np.float32(10.0 ** (action.floor_db / 20.0))

    def rule(power: Power, noise: Power) -> Gain:
        snr = np.maximum(smooth(power, 5, 3) / (np.float32(action.strength) * noise) - 1.0, 0.0)
        return np.maximum(snr / (1.0 + snr), floor)

    return filter_spectrum(waveform, action.quantile, rule)
