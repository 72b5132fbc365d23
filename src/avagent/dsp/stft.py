"""Short-time Fourier analysis and synthesis, and block-wise work on long sound.

Square-root Hann windows on both sides with 75% overlap: perfect reconstruction, no delay
(Griffin & Lim 1984, doi:10.1109/TASSP.1984.1164317).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

Samples = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complex64]

OVERLAP = 4


@dataclass(frozen=True, slots=True)
class Stft:
    """A short-time Fourier transform.

    Attributes:
        hop: samples between frames; a frame has 4 hops.
    """

    hop: int

    @classmethod
    def of_seconds(cls, frame_s: float, rate: int) -> Stft:
        """The transform whose frames last about `frame_s`, of a length that is quick to transform."""
        return cls(scipy.fft.next_fast_len(max(4, round(frame_s * rate / OVERLAP)), real=True))

    @property
    def frame(self) -> int:
        """Samples in a frame."""
        return OVERLAP * self.hop

    def _window(self) -> Samples:
        phase = (np.arange(self.frame) + 0.5) * (np.pi / self.frame)
        return np.sin(phase).astype(np.float32)

    def analyse(self, samples: Samples) -> Spectrum:
        """complex64 [channels, frames, bins] of float32 [channels, samples]; frame i ends at sample (i + 1) hops."""
        channels, length = samples.shape
        count = -(-length // self.hop) + OVERLAP - 1
        padded = np.zeros((channels, (count + OVERLAP - 1) * self.hop), np.float32)
        padded[:, self.frame - self.hop : self.frame - self.hop + length] = samples
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.frame, axis=1)[:, :: self.hop]
        return np.asarray(scipy.fft.rfft(frames * self._window(), axis=-1, overwrite_x=True), np.complex64)

    def synthesise(self, spectrum: Spectrum, length: int) -> Samples:
        """float32 [channels, length]: the inverse of :meth:`analyse`."""
        frames = np.asarray(scipy.fft.irfft(spectrum, n=self.frame, axis=-1), np.float32)
        frames *= self._window() * np.float32(2.0 / OVERLAP)
        channels, count, _ = frames.shape
        out = np.zeros((channels, count + OVERLAP - 1, self.hop), np.float32)
        parts = frames.reshape(channels, count, OVERLAP, self.hop)
        for k in range(OVERLAP):
            out[:, k : k + count] += parts[:, :, k]
        flat = out.reshape(channels, -1)
        return np.ascontiguousarray(flat[:, self.frame - self.hop : self.frame - self.hop + length])


def in_blocks(samples: Samples, block: int, context: int, function: Callable[[Samples], Samples]) -> Samples:
    """Apply a length-preserving function to blocks with context on both sides, so that memory stays bounded.

    Args:
        samples: float32 [channels, samples].
        block: samples a block.
        context: samples before and after a block that the function sees and whose result is dropped.
        function: float32 [channels, n] -> the same shape; its result must not depend on samples farther than `context`.
    """
    length = samples.shape[1]
    if length <= block + context:
        return function(samples)
    out = np.empty_like(samples)
    for start in range(0, length, block):
        stop = min(length, start + block)
        low = max(0, start - context)
        result = function(samples[:, low : min(length, stop + context)])
        out[:, start:stop] = result[:, start - low : stop - low]
    return out
