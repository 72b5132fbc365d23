"""Fundamental frequency over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, rfft

from avagent.core.facts import Estimate
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.resampling import resample

PITCH_RATE = 100.0
"""Frames per second of :func:`pitch_track`, in Hz."""

_RATE = 10000
_HOP = 100
_WINDOW = 500
_FFT = 1024
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 1000.0
_LONGEST = int(_RATE / _LOWEST_HZ) + 2
_FIRST = int(_RATE / _HIGHEST_HZ)
_SMOOTH_HZ = 1200.0
_OCTAVE_COST = 0.02
_VOICED = 0.6
_SILENT_DB = -40.0
_CHUNK = 256
_FEWEST_VOICED = 5


@dataclass(frozen=True, slots=True, eq=False)
class PitchTrack:
    """Fundamental frequency over time.

    Attributes:
        frequency: float32 [frames], in Hz; 0 where there is no pitch. Frame n is centred on n / 100 s.
        strength: float32 [frames], the autocorrelation at one period, [0, 1].
    """

    frequency: FloatArray
    strength: FloatArray

    def median(self) -> Estimate | None:
        """Median over the voiced frames; its confidence is their mean strength times their share of the loud ones."""
        voiced = self.frequency > 0.0
        if np.count_nonzero(voiced) < _FEWEST_VOICED:
            return None
        sounding = max(1, int(np.count_nonzero(self.strength > 0.0)))
        share = float(np.count_nonzero(voiced)) / sounding
        return Estimate(float(np.median(self.frequency[voiced])), float(self.strength[voiced].mean()) * share)


def pitch_track(waveform: Waveform) -> PitchTrack:
    """Autocorrelation of a Hann window over that of the window itself (Boersma 1993, IFA Proceedings 17, 97-110).

    Args:
        waveform: finite samples, any rate and number of channels.

    Returns:
        60 to 1000 Hz, 100 frames a second; frames 40 dB below the loudest have no pitch and no strength.
    """
    samples = resample(waveform.mono(), waveform.rate, _RATE, "MQ").astype(np.float32)
    count = samples.size // _HOP
    frequency, strength = np.zeros(count, np.float32), np.zeros(count, np.float32)
    if count == 0:
        return PitchTrack(frequency, strength)
    padded = np.pad(samples, (_WINDOW // 2, _WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP][:count]
    power = np.einsum("ij,ij->i", frames, frames)
    loud = np.flatnonzero(power > max(1e-9, float(power.max()) * 10.0 ** (_SILENT_DB / 10.0)))
    for start in range(0, loud.size, _CHUNK):
        part = loud[start : start + _CHUNK]
        frequency[part], strength[part] = _periods(frames[part])
    frequency[strength < _VOICED] = 0.0
    return PitchTrack(frequency, strength)


def _periods(frames: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Frequency and autocorrelation of each frame's best period."""
    window = np.hanning(_WINDOW).astype(np.float32)
    correlation = _autocorrelation((frames - frames.mean(axis=1, keepdims=True)) * window)
    correlation /= _autocorrelation(window[None])
    left, middle, right = correlation[:, _FIRST - 1 : -2], correlation[:, _FIRST:-1], correlation[:, _FIRST + 1 :]
    # Few places are peaks: all that follows is done for these.
    frame, place = np.nonzero((middle >= left) & (middle > right))
    left, middle, right = left[frame, place], middle[frame, place], right[frame, place]
    offset = np.clip(0.5 * (left - right) / np.minimum(left - 2.0 * middle + right, -1e-9), -0.5, 0.5)
    height = middle - 0.25 * (left - right) * offset
    lags = (_FIRST + place) + offset
    # Multiples of the period fit as well as the period: the shorter lag is favoured.
    value = height - _OCTAVE_COST * np.log2(lags * (_LOWEST_HZ / _RATE))
    frequency, strength = np.zeros(frames.shape[0], np.float32), np.zeros(frames.shape[0], np.float32)
    # Within a frame by value, the shorter lag first among equals; of each frame the first.
    order = np.lexsort((place, -value, frame))
    best = order[np.unique(frame[order], return_index=True)[1]]
    frequency[frame[best]] = _RATE / lags[best]
    strength[frame[best]] = np.clip(height[best], 0.0, 1.0)
    return frequency, strength


def _autocorrelation(frames: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Lags from 0 to just over the longest period, 1 at lag 0; smooth, so that its peaks are parabolas."""
    spectrum = rfft(frames, _FFT, axis=1)
    frequencies = np.arange(_FFT // 2 + 1) * (_RATE / _FFT)
    weight = np.exp(-0.5 * np.square(frequencies / _SMOOTH_HZ)).astype(np.float32)
    values = irfft((spectrum.real**2 + spectrum.imag**2) * weight, _FFT, axis=1)[:, :_LONGEST]
    return np.asarray(values / np.maximum(values[:, :1], 1e-12), dtype=np.float32)
