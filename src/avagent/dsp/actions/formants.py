"""Formants back to where they were after a transposition."""

from __future__ import annotations

import numpy as np
import scipy.fft

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.measures.pitch_track import pitch_track
from avagent.dsp.stft import Spectrum, Stft, in_blocks, multiple, power_of

_FRAME_S = 0.048
_DETAIL = 0.6
"""Finest detail of the envelope, as a share of the period: finer follows the harmonics, coarser merges formants."""
_LEAST_S, _USUAL_S, _MOST_S = 0.002, 0.0025, 0.005
_ITERATIONS = 8
_FLOOR_DB = -80.0
_MOST_DB = 24.0
_BLOCK_S, _CONTEXT_S = 4.0, 0.5
_EXCERPT_S = 30.0


def restore_formants(source: Waveform, transposed: FloatArray, ratio: float) -> FloatArray:
    """The transposed sound under the spectral envelope of its source, frame by frame; the power of every frame stays.

    The envelope is the true envelope, by iterated cepstral smoothing (Röbel & Rodet 2005, DAFx-05, 30-35).

    Two formants that lie about three fundamentals apart may melt into one, most of all when the sound goes down.

    Args:
        source: before the transposition.
        transposed: float32 [channels, samples], of the same length and timing.
        ratio: of the frequencies after and before.
    """
    stft = Stft.of_seconds(_FRAME_S, source.rate)
    middle, reach = source.length // 2, round(_EXCERPT_S * source.rate / 2)
    excerpt = source.samples[:, max(0, middle - reach) : middle + reach]
    pitch = pitch_track(Waveform(excerpt, source.rate)).median()
    detail = _USUAL_S if pitch is None else min(_MOST_S, max(_LEAST_S, _DETAIL / pitch.value))
    order = max(2, round(detail * source.rate))

    def work(samples: FloatArray, position: int) -> FloatArray:
        original = stft.analyse(source.samples[:, position : position + samples.shape[1]])
        envelope = _true_envelope(_log_power(original), order)
        spectrum = stft.analyse(samples)
        spectrum *= _gain(envelope, _power(spectrum), ratio)
        return stft.synthesise(spectrum, samples.shape[1])

    block, context = multiple(_BLOCK_S, source.rate, stft.hop), multiple(_CONTEXT_S, source.rate, stft.hop)
    return in_blocks(transposed, block, context, work)


def _power(spectrum: Spectrum) -> FloatArray:
    """float32 [frames, bins], summed over channels."""
    power = power_of(spectrum[0])
    for channel in spectrum[1:]:
        power += power_of(channel)
    return power


def _log_power(spectrum: Spectrum) -> FloatArray:
    """float32 [frames, bins], natural logarithm of the power summed over channels, with a floor."""
    power = _power(spectrum)
    floor = np.float32(10.0 ** (_FLOOR_DB / 10.0)) * power.max(axis=1, keepdims=True) + np.float32(1e-12)
    return np.log(power + floor)


def _true_envelope(level: FloatArray, order: int) -> FloatArray:
    """Smooth float32 [frames, bins] through the peaks of `level`."""
    size = 2 * (level.shape[1] - 1)
    lifter = np.zeros(level.shape[1], np.float32)
    # A soft end, lest the envelope ring.
    soft = (0.5 + 0.5 * np.cos(np.pi * np.clip(np.arange(2 * order) / order - 0.5, 0.0, 1.0)))[: lifter.size]
    lifter[: soft.size] = soft
    envelope = level
    for _ in range(_ITERATIONS):
        cepstrum = np.asarray(scipy.fft.irfft(np.maximum(level, envelope), n=size, axis=1), np.float32)
        smooth = np.asarray(scipy.fft.hfft(cepstrum[:, : lifter.size] * lifter, n=size, axis=1), np.float32)
        envelope = smooth[:, : lifter.size]
    return envelope


def _gain(envelope: FloatArray, power: FloatArray, ratio: float) -> FloatArray:
    """float32 [frames, bins]: amplitude gain from the envelope, moved by `ratio`, to the envelope itself."""
    bins = envelope.shape[1]
    place = np.minimum(np.arange(bins, dtype=np.float64) / ratio, bins - 1.0)
    left = np.minimum(place.astype(np.intp), bins - 2)
    share = (place - left).astype(np.float32)
    moved = np.asarray(envelope[:, left] * (1.0 - share) + envelope[:, left + 1] * share, np.float32)
    most = np.float32(_MOST_DB * np.log(10.0) / 20.0)
    difference = np.float32(0.5) * (envelope - moved)
    limited: FloatArray = np.maximum(np.minimum(difference, most), -most)
    gain = np.exp(limited)
    before = np.asarray(power.sum(axis=1), np.float32)
    after = np.asarray(np.einsum("ij,ij,ij->i", power, gain, gain), np.float32)
    gain *= np.sqrt((before + 1e-20) / (after + 1e-20))[:, None]
    return gain
