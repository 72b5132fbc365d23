"""Wavelet denoising."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pywt
from scipy.ndimage import uniform_filter1d

from avagent.core.actions import WaveletDenoise
from avagent.core.media import Waveform
from avagent.dsp.hum import remove_hum
from avagent.dsp.noise import NoiseReport, removed_db
from avagent.dsp.stft import in_blocks

_WAVELET = "sym8"
_LOCAL_S = 0.128
_QUANTILE = 0.1
_BLOCK_S = 24.0
_CONTEXT_S = 4.0


def wavelet_denoise(waveform: Waveform, action: WaveletDenoise) -> tuple[Waveform, NoiseReport]:
    """Soft shrinkage by BayesShrink with a local signal variance (Chang, Yu & Vetterli 2000, doi:10.1109/83.862633)."""
    if waveform.length == 0:
        return waveform, NoiseReport(removed_db=None)
    clean, hum_hz = remove_hum(waveform)
    rate = waveform.rate
    wavelet = pywt.Wavelet(_WAVELET)

    def work(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        length = samples.shape[1]
        levels = min(action.levels, pywt.dwt_max_level(length, wavelet.dec_len))
        if levels < 1:
            return samples
        parts = pywt.wavedec(samples, wavelet, level=levels, axis=-1)
        for index in range(1, len(parts)):
            scale = 2 ** (levels - index + 1)
            parts[index] = _shrink(parts[index], max(3, round(_LOCAL_S * rate / scale)), action.strength)
        return np.asarray(pywt.waverec(parts, wavelet, axis=-1)[:, :length], np.float32)

    unit = 1 << action.levels
    block = unit * math.ceil(_BLOCK_S * rate / unit)
    context = unit * math.ceil(_CONTEXT_S * rate / unit)
    result = Waveform(in_blocks(clean.samples, block, context, work), rate)
    return result, NoiseReport(removed_db=removed_db(waveform, result), hum_hz=hum_hz)


def _shrink(detail: npt.NDArray[np.float32], window: int, strength: float) -> npt.NDArray[np.float32]:
    """Soft threshold sigma^2 / sigma_x of every coefficient, from the channels' common local variance."""
    local = uniform_filter1d(np.mean(np.square(detail), axis=0), window, mode="reflect")
    noise = np.float32(strength**2) * np.quantile(local, _QUANTILE).astype(np.float32)
    signal = np.sqrt(np.maximum(local - noise, 1e-20))
    magnitude = np.sqrt(np.mean(np.square(detail), axis=0)) + np.float32(1e-20)
    return np.asarray(detail * np.maximum(1.0 - noise / signal / magnitude, 0.0), np.float32)
