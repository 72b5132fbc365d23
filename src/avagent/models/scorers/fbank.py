"""Log-mel filter bank energies as Kaldi computes them, which ImageBind was trained on.

Povey et al. (2011), The Kaldi Speech Recognition Toolkit; `compute-fbank-feats` with the options that ImageBind's data
code gives: 25 ms frames every 10 ms that lie wholly within the sound (snip-edges), Hann window, no dither, power
spectrum, mean of each frame removed, pre-emphasis 0.97, mel filters from 20 Hz to half the rate, natural logarithm.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from avagent.core.media import FloatArray

FRAME_S, HOP_S = 0.025, 0.010
PREEMPHASIS = 0.97
LOWEST_HZ = 20.0
FLOOR = float(np.finfo(np.float32).eps)


def log_mel(samples: FloatArray, rate: int, bins: int) -> FloatArray:
    """Log-mel energies, float32 [frames, bins]; no frame where the sound is shorter than one.

    Args:
        samples: one channel, float32 [samples], full scale 1.
        rate: in Hz.
        bins: mel filters.
    """
    length, hop = round(FRAME_S * rate), round(HOP_S * rate)
    if samples.size < length:
        return np.zeros((0, bins), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), length)[::hop]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / (length - 1))
    size = 1 << (length - 1).bit_length()
    power = np.square(np.abs(np.fft.rfft((frames - PREEMPHASIS * before) * window, size, axis=1)))
    energies = power[:, : size // 2] @ mel_filters(rate, size, bins).T
    return np.log(np.maximum(energies, FLOOR)).astype(np.float32)


@cache
def mel_filters(rate: int, size: int, bins: int) -> npt.NDArray[np.float64]:
    """Triangles of equal width on the mel scale 1127 ln(1 + f / 700), float64 [bins, size / 2]."""
    low, high = (1127.0 * np.log1p(f / 700.0) for f in (LOWEST_HZ, rate / 2.0))
    step = (high - low) / (bins + 1)
    mel = 1127.0 * np.log1p(np.arange(size // 2) * rate / size / 700.0)
    left = low + step * np.arange(bins)[:, None]
    rising, falling = (mel - left) / step, (left + 2.0 * step - mel) / step
    return np.maximum(0.0, np.minimum(rising, falling))
