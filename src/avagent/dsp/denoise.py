"""The frame around every noise filter: hum notches, noise track, one gain for all channels, what was removed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from avagent.core.actions import SpectralGate, SpectralSubtraction, WienerFilter
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.hum import remove_hum
from avagent.dsp.noise import NoiseTrack, track_noise
from avagent.dsp.stft import Stft, in_blocks, multiple, power_of

GainRule = Callable[[FloatArray], FloatArray]

FRAME_S = 0.048
_BLOCK_S = 16.0
_CONTEXT_S = 0.5
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseReport:
    """What a noise filter did.

    Attributes:
        removed_db: power of what was taken away, relative to the input, in dB; None: nothing was.
        hum_hz: fundamental of the hum that was notched out; None: none was found.
    """

    removed_db: float | None
    hum_hz: float | None = None


def filter_spectrum(
    waveform: Waveform, action: SpectralSubtraction | WienerFilter | SpectralGate, rule: GainRule
) -> tuple[Waveform, NoiseReport]:
    """Hum notches, then a real gain per time and frequency: phase, length and stereo image stay.

    Args:
        waveform: checked.
        action: its `quantile` and `window_s` steer the noise estimate.
        rule: smoothed ratio of power to noise power, float32 [frames, bins] -> gain; may work in place.
    """
    clean, hum_hz = remove_hum(waveform)
    stft = Stft.of_seconds(FRAME_S, waveform.rate)
    noise = track_noise(clean, stft, window_s=action.window_s, quantile=action.quantile)
    if noise is None:
        return clean, NoiseReport(removed_db=removed_db(waveform, clean), hum_hz=hum_hz)

    def work(samples: FloatArray, position: int) -> FloatArray:
        return _filter_block(samples, position, stft, noise, rule)

    unit = stft.hop
    block, context = multiple(_BLOCK_S, waveform.rate, unit), multiple(_CONTEXT_S, waveform.rate, unit)
    result = Waveform(in_blocks(clean.samples, block, context, work), waveform.rate)
    return result, NoiseReport(removed_db=removed_db(waveform, result), hum_hz=hum_hz)


def _filter_block(samples: FloatArray, position: int, stft: Stft, noise: NoiseTrack, rule: GainRule) -> FloatArray:
    spectrum = stft.analyse(samples)
    ratio = power_of(spectrum[0])
    for channel in spectrum[1:]:
        ratio += power_of(channel)
    ratio = smooth(ratio, 5, 3)
    centres = position + (np.arange(ratio.shape[0]) + 1.0) * stft.hop - stft.frame / 2
    ratio /= noise.at(centres) * np.float32(spectrum.shape[0])
    spectrum *= rule(ratio)
    return stft.synthesise(spectrum, samples.shape[1])


def smooth(power: FloatArray, frames: int, bins: int) -> FloatArray:
    """Moving average over time and frequency: steady gains instead of musical noise."""
    return uniform_filter1d(uniform_filter1d(power, frames, axis=0), bins, axis=1)


def removed_db(before: Waveform, after: Waveform) -> float | None:
    """Power of the difference relative to the input, in dB; None where nothing changed."""
    total = difference = 0.0
    for start in range(0, before.length, _CHUNK):
        x = before.samples[:, start : start + _CHUNK]
        d = x - after.samples[:, start : start + _CHUNK]
        total += float(np.vdot(x, x))
        difference += float(np.vdot(d, d))
    return 10.0 * math.log10(difference / total) if difference > 0.0 and total > 0.0 else None
