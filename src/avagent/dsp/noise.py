"""Blind estimate of the noise floor, and the frame around every spectral noise filter."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avagent.core.media import Waveform
from avagent.dsp.hum import remove_hum
from avagent.dsp.stft import Stft, in_blocks

Power = npt.NDArray[np.float32]
Gain = npt.NDArray[np.float32]
GainRule = Callable[[Power, Power], Gain]

FRAME_S = 0.032
_BLOCK_S = 24.0
_CONTEXT_S = 6.0
_TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseReport:
    """What a noise filter did.

    Attributes:
        removed_db: power of what was taken away, relative to the input, in dB; None: nothing was.
        hum_hz: fundamental of the hum that was notched out; None: none was found.
    """

    removed_db: float | None
    hum_hz: float | None = None


def noise_power(power: Power, quantile: float) -> Power:
    """Noise power per frequency from a quantile over time, unbiased for Gaussian noise.

    Args:
        power: float32 [frames, bins].
        quantile: in (0, 1).

    Returns:
        float32 [1, bins].
    """
    index = min(power.shape[0] - 1, int(quantile * power.shape[0]))
    value = np.partition(power, index, axis=0)[index]
    return (value / np.float32(-math.log1p(-quantile)))[None, :].astype(np.float32)


def filter_spectrum(waveform: Waveform, quantile: float, rule: GainRule) -> tuple[Waveform, NoiseReport]:
    """Hum notches, then a gain per time and frequency, the same for all channels (so that the stereo image stays).

    Args:
        waveform: checked.
        quantile: of the noise estimate.
        rule: (signal power, noise power) -> gain, each float32 [frames, bins].
    """
    if waveform.length == 0:
        return waveform, NoiseReport(removed_db=None)
    clean, hum_hz = remove_hum(waveform)
    stft = Stft.of_seconds(FRAME_S, waveform.rate)

    def work(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        spectrum = stft.analyse(samples)
        power = np.mean(spectrum.real**2 + spectrum.imag**2, axis=0) + np.float32(_TINY)
        spectrum *= rule(power, noise_power(power, quantile))
        return stft.synthesise(spectrum, samples.shape[1])

    block = stft.hop * math.ceil(_BLOCK_S * waveform.rate / stft.hop)
    context = stft.hop * math.ceil(_CONTEXT_S * waveform.rate / stft.hop)
    out = in_blocks(clean.samples, block, context, work)
    result = Waveform(out, waveform.rate)
    return result, NoiseReport(removed_db=removed_db(waveform, result), hum_hz=hum_hz)


def removed_db(before: Waveform, after: Waveform) -> float | None:
    """Power of the difference relative to the input, in dB; None where nothing changed."""
    total = difference = 0.0
    for start in range(0, before.length, 1 << 20):
        x = before.samples[:, start : start + (1 << 20)]
        d = x - after.samples[:, start : start + (1 << 20)]
        total += float(np.sum(np.square(x, dtype=np.float64)))
        difference += float(np.sum(np.square(d, dtype=np.float64)))
    return 10.0 * math.log10(difference / total) if difference > 0.0 and total > 0.0 else None
