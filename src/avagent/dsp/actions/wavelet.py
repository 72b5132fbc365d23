"""Wavelet denoising."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from avagent.core.actions import WaveletDenoise
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.denoise import FRAME_S, NoiseReport, removed_db
from avagent.dsp.actions.dwt import compose, decompose, deepest, filters
from avagent.dsp.actions.hum_removal import remove_hum
from avagent.dsp.measures.noise_track import NoiseTrack, track_noise
from avagent.dsp.products import matrix_product, row_products
from avagent.dsp.stft import Stft, in_blocks, multiple

_LOCAL_S = 0.032
_QUANTILE = 0.3
_BLOCK_S = 16.0
_CONTEXT_S = 0.5
_NOMINAL_RATE = 16_000
_MIN_WINDOW = 3
_STRIDE = 1024
"""Samples that share one value of the noise track: short against its windows."""


def wavelet_denoise(waveform: Waveform, action: WaveletDenoise) -> tuple[Waveform, NoiseReport]:
    """Shrinkage of wavelet coefficients by their local signal-to-noise ratio.

    BayesShrink with a local signal variance (Chang, Yu & Vetterli 2000, doi:10.1109/83.862633 and 83.862630); the noise
    variance of every level follows from the noise track and the frequency response of that level.
    """
    clean, hum_hz = remove_hum(waveform)
    rate = waveform.rate
    stft = Stft.of_seconds(FRAME_S, rate)
    noise = track_noise(clean, stft, window_s=action.window_s, quantile=_QUANTILE)
    levels = _depth(action.levels, rate, waveform.length)
    if noise is None or levels < 1:
        return clean, NoiseReport(removed_db=removed_db(waveform, clean), hum_hz=hum_hz)
    variances = NoiseTrack(noise.centres, row_products(noise.power, _responses(levels, stft)))
    local = round(_LOCAL_S * rate)

    def work(samples: FloatArray, position: int) -> FloatArray:
        return _shrink_block(samples, position, variances, local, action.strength)

    unit = 1 << levels
    block, context = multiple(_BLOCK_S, rate, unit), multiple(_CONTEXT_S, rate, unit)
    result = Waveform(in_blocks(clean.samples, block, context, work), rate)
    return result, NoiseReport(removed_db=removed_db(waveform, result), hum_hz=hum_hz)


def _depth(levels: int, rate: int, length: int) -> int:
    """Levels at this rate: as many more (or fewer) as make the lowest band the one it is at 16 kHz."""
    depth = max(1, levels + round(math.log2(rate / _NOMINAL_RATE)))
    return min(depth, deepest(length))


@lru_cache(maxsize=16)
def _responses(levels: int, stft: Stft) -> FloatArray:
    """float32 [levels + 1, bins]: from noise power per bin to the variance of a coefficient; coarsest level first."""
    omega = np.linspace(0.0, np.pi, stft.bins)
    low_pass, high_pass = filters()
    rows: list[npt.NDArray[np.float64]] = []
    passed = np.ones(stft.bins)
    for level in range(levels):
        turns = np.outer(omega * 2**level, np.arange(low_pass.size))
        filters_there = np.stack([high_pass, low_pass], axis=1)
        there = matrix_product(np.cos(turns), filters_there) ** 2 + matrix_product(np.sin(turns), filters_there) ** 2
        rows.append(passed * there[:, 0])
        passed = passed * there[:, 1]
    rows.append(passed)
    # The window's energy is half a frame; the mean over frequency of a response is 1.
    return (np.asarray(rows[::-1]) / (stft.bins * stft.frame / 2)).astype(np.float32)


def _shrink_block(samples: FloatArray, position: int, variances: NoiseTrack, local: int, strength: float) -> FloatArray:
    parts = decompose(samples, variances.power.shape[1] - 1)
    for index, part in enumerate(parts):
        scale = 2 ** (len(parts) - max(index, 1))
        noise = _over_time(variances, index, position, part.shape[1], scale)
        power = uniform_filter1d(np.mean(np.square(part), axis=0), max(_MIN_WINDOW, local // scale), mode="reflect")
        power = np.maximum(power, np.float32(1e-20))
        gain = np.maximum(1.0 - np.float32(strength**2) * noise / power, 0.0).astype(np.float32)
        np.multiply(part, gain, out=part)
    return compose(parts, samples.shape[1])


def _over_time(variances: NoiseTrack, index: int, position: int, count: int, scale: int) -> FloatArray:
    """Noise variance of `count` coefficients of a level, `scale` samples apart; neighbours share a value."""
    together = max(1, _STRIDE // scale)
    centres = position + (np.arange(-(-count // together), dtype=np.float64) + 0.5) * (scale * together)
    level = NoiseTrack(variances.centres, variances.power[:, index : index + 1])
    return np.repeat(level.at(centres)[:, 0], together)[:count]
