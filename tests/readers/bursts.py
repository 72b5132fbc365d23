"""A sound that is easy to find again."""

from __future__ import annotations

import numpy as np

from avagent.core.media import Waveform

RATE = 16_000


def burst(channels: int = 1) -> Waveform:
    """A second of silence with a short tone in the middle."""
    samples = np.zeros((channels, RATE), np.float32)
    samples[:, 8000:8400] = 0.5 * np.sin(np.arange(400) / 3, dtype=np.float32)
    return Waveform(samples=samples, rate=RATE)
