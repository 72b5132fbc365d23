"""Short-time power spectra for measuring, bounded in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft

from avagent.core.media import FloatArray, Waveform

_WINDOW_S = 0.032
_SECTION_S = 20.0
_MAX_SECTIONS = 3
_SILENT = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Spectrogram:
    """Power over time and frequency, channels added.

    Attributes:
        power: float32 [frames, bins]; its mean over frames, summed over the bins, is near the mean square.
        frequencies: float64 [bins], in Hz.
        times: float64 [frames], centre of each frame in s.
        hop: samples between frames.
        window: samples of a frame.
    """

    power: FloatArray
    frequencies: npt.NDArray[np.float64]
    times: npt.NDArray[np.float64]
    hop: int
    window: int

    def mean(self) -> npt.NDArray[np.float64]:
        """Mean power of each bin over time, float64 [bins]."""
        return self.power.mean(axis=0, dtype=np.float64)


def spectrogram(waveform: Waveform) -> Spectrogram | None:
    """Hann windows of about 32 ms, half overlapped.

    Of a clip over a minute, three sections of 20 s are taken: measuring stays bounded in time and memory.

    Returns:
        None for a clip shorter than one window.
    """
    window = 1 << round(float(np.log2(_WINDOW_S * waveform.rate)))
    if waveform.length < window or waveform.channels == 0:
        return None
    hop = window // 2
    taper = np.hanning(window + 1)[:-1].astype(np.float32)
    scale = np.float32(2.0 / (window * float(np.square(taper, dtype=np.float64).sum())))
    pieces: list[FloatArray] = []
    times: list[npt.NDArray[np.float64]] = []
    for start, stop in _sections(waveform, window):
        frames = 1 + (stop - start - window) // hop
        power = np.zeros((frames, window // 2 + 1), np.float32)
        for channel in waveform.samples[:, start:stop]:
            views = np.lib.stride_tricks.sliding_window_view(channel, window)[::hop]
            spectrum = rfft(views * taper, axis=1)
            power += spectrum.real**2 + spectrum.imag**2
        pieces.append(power * (scale / np.float32(waveform.channels)))
        times.append((start + window / 2 + hop * np.arange(frames)) / waveform.rate)
    return Spectrogram(
        power=np.concatenate(pieces),
        frequencies=np.asarray(np.arange(window // 2 + 1) * (waveform.rate / window), dtype=np.float64),
        times=np.concatenate(times),
        hop=hop,
        window=window,
    )


def bandwidth_hz(spectra: Spectrogram) -> float | None:
    """Frequency in Hz below which 99% of the energy lies; None for silence."""
    cumulative = np.cumsum(spectra.mean())
    if cumulative[-1] <= _SILENT:
        return None
    return float(spectra.frequencies[np.searchsorted(cumulative, 0.99 * cumulative[-1])])


def _sections(waveform: Waveform, window: int) -> list[tuple[int, int]]:
    size = max(window, round(_SECTION_S * waveform.rate))
    if waveform.length <= _MAX_SECTIONS * size:
        return [(0, waveform.length)]
    starts = np.linspace(0, waveform.length - size, _MAX_SECTIONS).astype(int)
    return [(int(start), int(start) + size) for start in starts]
