"""A clip's media as captioning models take them."""

from __future__ import annotations

import numpy as np

from avagent.core.media import ByteArray, FloatArray
from avagent.core.ports import ClipView
from avagent.dsp.resampling import resample_single

RATE = 16_000
"""Of every audio encoder here, in Hz."""

MIN_SECONDS = 0.5


def heard(view: ClipView, max_seconds: float) -> FloatArray | None:
    """The middle of the sound, float32 [samples] at 16 kHz, at least half a second; None: no sound.

    Raises:
        ClipError: it cannot be decoded.
    """
    waveform = view.audio()
    if waveform is None or waveform.length == 0:
        return None
    most = round(max_seconds * waveform.rate)
    begin = max(0, (waveform.length - most) // 2)
    samples = resample_single(waveform.mono()[begin : begin + most], waveform.rate, RATE)
    short = round(MIN_SECONDS * RATE) - samples.size
    return np.pad(samples, (0, short)) if short > 0 else samples


def seen(view: ClipView, count: int) -> ByteArray | None:
    """Exactly `count` pictures spread over the clip, uint8 [count, height, width, 3]; None: no picture.

    Raises:
        ClipError: they cannot be decoded.
    """
    frames = view.frames()
    if frames is None or frames.count == 0:
        return None
    return frames.pixels[np.linspace(0, frames.count - 1, count).round().astype(int)]
