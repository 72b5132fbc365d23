"""The lines of mains hum: the amplitude and phase of each are followed over seconds, and the line is subtracted.

That is a notch about 0.3 Hz wide, without delay or ringing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.measures.hum import Hum
from avagent.dsp.products import matrix_product, row_products

Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]

_HOP_S = 0.125
_FOLLOW_S = 1.0
"""Deviation of the Gaussian over which a line's amplitude is averaged."""
_CHUNK = 64


def subtract_lines(waveform: Waveform, hum: Hum) -> FloatArray:
    """float32 [channels, samples] without the lines of the hum."""
    hop = round(_HOP_S * waveform.rate)
    lines = 2.0 * np.pi * hum.fundamental_hz / waveform.rate * np.asarray(hum.harmonics, np.float64)
    between = lines + np.pi * hum.fundamental_hz / waveform.rate
    out = np.empty_like(waveform.samples)
    for channel, target in zip(waveform.samples, out, strict=True):
        amplitudes = _follow(_demodulate(channel, lines, hop), _demodulate(channel, between, hop))
        target[...] = channel
        _subtract(target, amplitudes, lines, hop)
    return out


@dataclass(frozen=True, slots=True)
class _Table:
    """Cosine and sine of every line over a stretch of sound, [lines, samples]."""

    cosine: FloatArray
    sine: FloatArray

    @classmethod
    def of(cls, lines: Array, length: int) -> _Table:
        phase = lines[:, None] * np.arange(length)[None, :]
        return cls(np.cos(phase).astype(np.float32), np.sin(phase).astype(np.float32))


def _demodulate(channel: npt.NDArray[np.float32], lines: Array, hop: int) -> ComplexArray:
    """complex128 [frames, lines]: amplitudes, phases as of sample 0, in Hann frames centred on multiples of the hop."""
    table = _Table.of(lines, 2 * hop)
    window = (0.5 - 0.5 * np.cos(np.pi * (np.arange(2 * hop) + 0.5) / hop)).astype(np.float32)
    count = -(-channel.size // hop) + 1
    padded = np.zeros((count + 1) * hop, np.float32)
    padded[hop : hop + channel.size] = channel
    covered = np.zeros((count + 1) * hop, np.float32)
    covered[hop : hop + channel.size] = 1.0
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[::hop]
    weights = np.lib.stride_tricks.sliding_window_view(covered, 2 * hop)[::hop]
    out = np.empty((count, lines.size), np.complex128)
    for start in range(0, count, _CHUNK):
        part = frames[start : start + _CHUNK] * window
        total = np.maximum(row_products(weights[start : start + _CHUNK], window[None, :]), 0.25 * hop)
        real = np.asarray(row_products(part, table.cosine), np.float64)
        imaginary = np.asarray(row_products(part, table.sine), np.float64)
        out[start : start + _CHUNK] = 2.0 * (real - 1j * imaginary) / total
    first_sample = (np.arange(count, dtype=np.float64) - 1.0)[:, None] * hop
    return out * np.exp(-1j * first_sample * lines[None, :])


def _follow(lines: ComplexArray, between: ComplexArray) -> ComplexArray:
    """Each line's amplitude over time; frames in which the programme is loud nearby count little."""
    sigma = _FOLLOW_S / _HOP_S
    nearby = np.square(np.abs(between))
    nearby = gaussian_filter1d(nearby, 1.0, axis=0, mode="nearest")
    weights = 1.0 / (nearby + 1e-3 * nearby.mean(axis=0, keepdims=True) + 1e-16)
    total = gaussian_filter1d(weights, sigma, axis=0, mode="constant")
    weighted = lines * weights
    real = gaussian_filter1d(weighted.real, sigma, axis=0, mode="constant")
    imaginary = gaussian_filter1d(weighted.imag, sigma, axis=0, mode="constant")
    return (real + 1j * imaginary) / total


def _subtract(target: npt.NDArray[np.float32], amplitudes: ComplexArray, lines: Array, hop: int) -> None:
    """Subtract the lines, their amplitudes interpolated between frame centres, in place."""
    table = _Table.of(lines, hop)
    rise = (np.arange(hop, dtype=np.float32) / hop)[None, :]
    count = amplitudes.shape[0] - 1
    for start in range(0, count, _CHUNK):
        stop = min(count, start + _CHUNK)
        turned = np.exp(1j * np.arange(start, stop, dtype=np.float64)[:, None] * (hop * lines)[None, :])
        left = (amplitudes[start:stop] * turned).astype(np.complex64)
        right = (amplitudes[start + 1 : stop + 1] * turned).astype(np.complex64)
        before = matrix_product(left.real, table.cosine) - matrix_product(left.imag, table.sine)
        after = matrix_product(right.real, table.cosine) - matrix_product(right.imag, table.sine)
        hum = (before + (after - before) * rise).ravel()
        part = target[start * hop : stop * hop]
        part -= hum[: part.size]
