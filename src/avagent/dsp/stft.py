"""Short-time Fourier analysis and synthesis, and block-wise work on long sound.

Square-root Hann windows on both sides with 75% overlap: perfect reconstruction, no delay
(Griffin & Lim 1984, doi:10.1109/TASSP.1984.1164317).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.fft

from avagent.core.media import FloatArray

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
        return cls(int(scipy.fft.next_fast_len(max(4, round(frame_s * rate / OVERLAP)), real=True)))

    @property
    def frame(self) -> int:
        """Samples in a frame."""
        return OVERLAP * self.hop

    @property
    def bins(self) -> int:
        """Frequencies from 0 to half the sampling rate."""
        return self.frame // 2 + 1

    def window(self) -> FloatArray:
        """float32 [frame]; its squares add up to half the frame."""
        return _window(self.frame)

    def analyse(self, samples: FloatArray) -> Spectrum:
        """complex64 [channels, frames, bins] of float32 [channels, samples]; frame i ends at sample (i + 1) hops."""
        length = samples.shape[1]
        lead = self.frame - self.hop
        count = -(-length // self.hop) + OVERLAP - 1
        # Mirrored ends: frames there are as loud as the rest, so a gain that depends on their power is no fade.
        trail = (count + OVERLAP - 1) * self.hop - lead - length
        padded = np.pad(samples, ((0, 0), (lead, trail)), mode="symmetric")
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.frame, axis=1)[:, :: self.hop]
        return _rfft(frames * self.window())

    def power(self, samples: FloatArray, first: int, stop: int) -> FloatArray:
        """float32 [channels, frames, bins]: power of the frames that begin in [first, stop), 2 hops apart, inside."""
        stop = min(stop, samples.shape[1] - self.frame + 1)
        if stop <= first:
            return np.zeros((samples.shape[0], 0, self.bins), np.float32)
        part = samples[:, first : stop - 1 + self.frame]
        frames = np.lib.stride_tricks.sliding_window_view(part, self.frame, axis=1)[:, :: 2 * self.hop]
        return power_of(_rfft(frames * self.window()))

    def synthesise(self, spectrum: Spectrum, length: int) -> FloatArray:
        """float32 [channels, length]: the inverse of :meth:`analyse`."""
        frames = np.asarray(scipy.fft.irfft(spectrum, n=self.frame, axis=-1), np.float32)
        frames *= self.window() * np.float32(2.0 / OVERLAP)
        channels, count, _ = frames.shape
        out = np.zeros((channels, count + OVERLAP - 1, self.hop), np.float32)
        parts = frames.reshape(channels, count, OVERLAP, self.hop)
        for k in range(OVERLAP):
            out[:, k : k + count] += parts[:, :, k]
        lead = self.frame - self.hop
        return np.ascontiguousarray(out.reshape(channels, -1)[:, lead : lead + length])


@lru_cache(maxsize=16)
def _window(frame: int) -> FloatArray:
    window = np.sin((np.arange(frame) + 0.5) * (np.pi / frame)).astype(np.float32)
    window.flags.writeable = False
    return window


def power_of(spectrum: Spectrum) -> FloatArray:
    """float32 squared magnitude."""
    power = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    return power


def in_blocks(
    samples: FloatArray, block: int, context: int, function: Callable[[FloatArray, int], FloatArray]
) -> FloatArray:
    """Apply a length-preserving function to blocks with context on both sides, so that memory stays bounded.

    Args:
        samples: float32 [channels, samples].
        block: samples a block.
        context: samples before and after a block that the function sees and whose result is dropped.
        function: (float32 [channels, n], position of its first sample) -> the same shape; a result must not depend on
            samples farther away than `context`.
    """
    length = samples.shape[1]
    if length <= block + context:
        return function(samples, 0)
    out = np.empty_like(samples)
    for start in range(0, length, block):
        stop = min(length, start + block)
        low = max(0, start - context)
        result = function(samples[:, low : min(length, stop + context)], low)
        out[:, start:stop] = result[:, start - low : stop - low]
    return out


def multiple(seconds: float, rate: int, unit: int) -> int:
    """The number of samples of at least `seconds` that is a multiple of `unit`."""
    return unit * math.ceil(seconds * rate / unit)


def _rfft(frames: FloatArray) -> Spectrum:
    return np.asarray(scipy.fft.rfft(frames, axis=-1, overwrite_x=True), np.complex64)
