"""Onset strength: how much new sound begins at each moment."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft
from scipy.ndimage import maximum_filter1d

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.products import matrix_product
from avagent.dsp.resampling import resample

ONSET_RATE = 100.0
"""Frames per second of :func:`onset_strength`, in Hz."""

_RATE = 16000
_HOP = 160
_WINDOW = 512
_BANDS = 40
_RANGE_DB = 60.0
_STEP = 2
_CHUNK = 3000

_known: WeakKeyDictionary[Waveform, FloatArray] = WeakKeyDictionary()
_lock = threading.Lock()


def onset_strength(waveform: Waveform) -> tuple[FloatArray, float]:
    """Spectral flux of the logarithmic mel spectrum, with vibrato suppressed (Boeck & Widmer 2013, "SuperFlux", DAFx).

    Independent of the sound's level: the spectrum is read 60 dB down from its loudest moment.

    Of a sound whose samples are read-only, as those of the media store are, it is found once and kept as long as the
    sound: the lag and the score of synchronization both ask for it.

    Args:
        waveform: finite samples, any rate and number of channels.

    Returns:
        float32 [frames], read-only where it is kept: mean rise over 40 bands in dB per 20 ms, frame n centred on
        n / 100 s; and the frames per second. Empty for a clip under 10 ms; all zero for silence.
    """
    if waveform.samples.flags.writeable:
        return _flux(waveform), ONSET_RATE
    with _lock:
        known = _known.get(waveform)
    if known is None:
        known = _flux(waveform)
        known.flags.writeable = False
        with _lock:
            _known[waveform] = known
    return known, ONSET_RATE


def _flux(waveform: Waveform) -> FloatArray:
    samples = resample(waveform.mono(), waveform.rate, _RATE, "LQ").astype(np.float32)
    count = samples.size // _HOP
    if count == 0:
        return np.zeros(0, np.float32)
    levels = _log_mel(samples, count)
    flux = np.zeros(count, np.float32)
    if count > _STEP:
        before = maximum_filter1d(levels[:-_STEP], 3, axis=1)
        # In decibels the rise comes when a window first reaches the onset, half a window early: so it belongs to
        # the later of the two frames (measured: within 3 ms for clicks, noise bursts and tones).
        flux[_STEP:] = np.maximum(levels[_STEP:] - before, 0.0).mean(axis=1)
    return flux


def _log_mel(samples: FloatArray, count: int) -> FloatArray:
    """Mel levels in dB above the floor that lies 60 dB under the maximum, float32 [frames, bands]."""
    padded = np.pad(samples, (_WINDOW // 2, _WINDOW))
    window = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    bands = _mel_bands()
    power = np.empty((count, _BANDS), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    for start in range(0, count, _CHUNK):
        spectrum = rfft(frames[start : min(start + _CHUNK, count)] * window, axis=1)
        power[start : start + _CHUNK] = matrix_product(
            np.asarray(spectrum.real**2 + spectrum.imag**2, np.float32), bands
        )
    top = float(power.max())
    if top <= 1e-12:
        return np.zeros_like(power)
    floor = top * 10.0 ** (-_RANGE_DB / 10.0)
    return np.asarray(10.0 * np.log10(np.maximum(power, floor) / floor), dtype=np.float32)


def _mel_bands() -> npt.NDArray[np.float32]:
    """Triangular bands, equally wide on the mel scale of O'Shaughnessy from 30 Hz to 7.6 kHz, [bins, bands]."""
    edges_mel = np.linspace(_mel(30.0), _mel(7600.0), _BANDS + 2)
    edges = 700.0 * (10.0 ** (edges_mel / 2595.0) - 1.0)
    bins = np.arange(_WINDOW // 2 + 1) * (_RATE / _WINDOW)
    rise = (bins[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    fall = (edges[2:] - bins[:, None]) / np.diff(edges)[1:]
    bands = np.clip(np.minimum(rise, fall), 0.0, None)
    nearest = np.argmin(np.abs(bins[:, None] - edges[1:-1]), axis=0)
    bands[nearest, np.arange(_BANDS)] = np.maximum(bands[nearest, np.arange(_BANDS)], 0.5)
    return bands.astype(np.float32)


def _mel(frequency: float) -> float:
    return float(2595.0 * np.log10(1.0 + frequency / 700.0))
