"""Spectral gate."""

from __future__ import annotations

import numpy as np

from avagent.core.actions import SpectralGate
from avagent.core.media import Waveform
from avagent.dsp.noise import Gain, NoiseReport, Power, filter_spectrum
from avagent.dsp.spectral import smooth

_SLOPE_DB = 2.0
"""Width of the gate's transition in dB."""


def spectral_gate(waveform: Waveform, action: SpectralGate) -> tuple[Waveform, NoiseReport]:
    """A smooth mask that closes where the power comes near the noise floor."""
    closed = np.float32(10.0 ** (-action.reduction_db / 20.0))

    def rule(power: Power, noise: Power) -> Gain:
        level = 10.0 * np.log10(smooth(power, 5, 3) / noise)
        mask = 1.0 / (1.0 + np.exp(np.clip((action.threshold_db - level) / _SLOPE_DB, -40.0, 40.0)))
        return (closed + (1.0 - closed) * mask).astype(np.float32)

    return filter_spectrum(waveform, action.quantile, rule)
