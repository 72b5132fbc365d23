"""The frame around every noise filter: hum notches, noise track, one gain for all channels, what was removed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avagent.core.actions import SpectralGate, SpectralSubtraction, WienerFilter
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.hum_removal import remove_hum
from avagent.dsp.measures.noise_track import NoiseTrack, track_noise
from avagent.dsp.products import energy
from avagent.dsp.stft import Stft, in_blocks, multiple, power_of

GainRule = Callable[[FloatArray], FloatArray]

FRAME_S = 0.048
_BLOCK_S = 16.0
_CONTEXT_S = 0.5
_CHUNK = 1 << 20
_STRIDE = 8
"""Frames that share one value of the noise track: 96 ms, short against its windows."""


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
    centres = position + np.arange(1.0, ratio.shape[0] + 1.0, dtype=np.float64) * stft.hop - stft.frame / 2
    ratio /= np.repeat(noise.at(centres[::_STRIDE]), _STRIDE, axis=0)[: ratio.shape[0]] * np.float32(spectrum.shape[0])
    spectrum *= rule(ratio)
    return stft.synthesise(spectrum, samples.shape[1])


def smooth(power: FloatArray, frames: int, bins: int) -> FloatArray:
    """Moving average over time and frequency (odd widths): steady gains instead of musical noise."""
    return _moving_mean(_moving_mean(power, frames // 2, 0), bins // 2, 1)


def _moving_mean(values: FloatArray, half: int, axis: int) -> FloatArray:
    """Mean over 2 * half + 1 neighbours; at the ends, over those that there are. Sums of slices: quick for few."""
    along = values if axis == 0 else values.T
    total = values.copy()
    out = total if axis == 0 else total.T
    count = np.ones((along.shape[0], 1), np.float32)
    for k in range(1, min(half, along.shape[0] - 1) + 1):
        out[k:] += along[:-k]
        out[:-k] += along[k:]
        count[k:] += 1.0
        count[:-k] += 1.0
    out /= count
    return total


def removed_db(before: Waveform, after: Waveform) -> float | None:
    """Power of the difference relative to the input, in dB; None where nothing changed."""
    total = difference = 0.0
    for start in range(0, before.length, _CHUNK):
        x = before.samples[:, start : start + _CHUNK]
        d = x - after.samples[:, start : start + _CHUNK]
        total += energy(x)
        difference += energy(d)
    return 10.0 * math.log10(difference / total) if difference > 0.0 and total > 0.0 else None
