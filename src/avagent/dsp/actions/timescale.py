"""Tempo and pitch, by Signalsmith Stretch (`python-stretch`) and soxr."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
import soxr  # pyright: ignore[reportMissingTypeStubs]
from python_stretch.Signalsmith import Stretch  # pyright: ignore[reportMissingTypeStubs]

from avagent.core.actions import Pitch, Speed
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.formants import restore_formants
from avagent.dsp.products import inner

_SEED = 1
_BLOCKS_S = (0.05, 0.12, 0.2)
"""Analysis blocks, in order of preference: short ones keep speech and attacks crisp, long ones resolve chords."""
_OVERLAP = 4
_EXCERPT_S = 5.0
_SPECTRUM_S = 0.25
_FAITHFUL = 0.985
_PIECE_S, _SEAM_S = 60.0, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedReport:
    """What :func:`speed` did.

    Attributes:
        samples_before, samples_after: per channel.
        block_s: analysis block of the stretch in s; None: none was needed.
    """

    samples_before: int
    samples_after: int
    block_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PitchReport:
    """What :func:`pitch` did.

    Attributes:
        ratio: of the frequencies after and before.
        block_s: analysis block of the stretch in s; None: none was needed.
    """

    ratio: float
    block_s: float | None = None


def speed(waveform: Waveform, action: Speed) -> tuple[Waveform, SpeedReport]:
    """Change the tempo: the output has exactly round(samples / factor) samples, and sound stays where it belongs."""
    before = waveform.length
    after = round(before / action.factor)
    if after in (before, 0):
        return (waveform if after else _empty(waveform)), SpeedReport(samples_before=before, samples_after=after)
    if action.mode == "resample":
        out = _resampled(waveform.samples, action.factor)
        return Waveform(fit(out, after), waveform.rate), SpeedReport(samples_before=before, samples_after=after)
    block_s = _choose_block(waveform, before / after)
    out = fit(_stretched(waveform, before / after, block_s), after)
    return Waveform(out, waveform.rate), SpeedReport(samples_before=before, samples_after=after, block_s=block_s)


def pitch(waveform: Waveform, action: Pitch) -> tuple[Waveform, PitchReport]:
    """Transpose, length kept: stretched and resampled by the ratio, which is exact so.

    Up, it is resampled first: what is stretched is the shorter sound.

    Formants move along, as they did in the recordings that this repairs (sound played at a wrong rate), or are kept by
    :func:`~avagent.dsp.actions.formants.restore_formants`.
    """
    ratio = 2.0 ** (action.semitones / 12.0)
    if action.semitones == 0.0 or waveform.length == 0:
        return waveform, PitchReport(ratio=ratio)
    length, rate = waveform.length, waveform.rate
    source = Waveform(_resampled(waveform.samples, ratio), rate) if ratio > 1.0 else waveform
    block_s = _choose_block(source, 1.0 / ratio)
    out = _stretched(source, 1.0 / ratio, block_s)
    del source  # a long sound should not be held twice
    if ratio < 1.0:
        out = _resampled(out, ratio)
    out = fit(out, length)
    if action.formants == "keep":
        out = restore_formants(waveform, out, ratio)
    return Waveform(out, rate), PitchReport(ratio=ratio, block_s=block_s)


def fit(samples: FloatArray, length: int) -> FloatArray:
    """Exactly `length` samples: cut, or filled up with silence."""
    if samples.shape[1] >= length:
        return np.ascontiguousarray(samples[:, :length])
    return np.pad(samples, ((0, 0), (0, length - samples.shape[1])))


def _empty(waveform: Waveform) -> Waveform:
    return Waveform(np.zeros((waveform.channels, 0), np.float32), waveform.rate)


def _resampled(samples: FloatArray, factor: float) -> FloatArray:
    """The sound played `factor` times as fast, channel by channel; soxr delays nothing."""
    length = round(samples.shape[1] / factor)
    out = np.zeros((samples.shape[0], length), np.float32)
    for target, channel in zip(out, samples, strict=True):
        got = soxr.resample(np.ascontiguousarray(channel), factor, 1.0, quality="VHQ")  # pyright: ignore[reportUnknownMemberType]
        target[: got.size] = got[:length]
    return out


def _stretched(waveform: Waveform, factor: float, block_s: float) -> FloatArray:
    """float32 [channels, about samples / factor]; long sound in pieces that are cross-faded, to save memory."""
    piece, context = round(_PIECE_S * waveform.rate), round(_SEAM_S * waveform.rate)
    if waveform.length <= 2 * piece:
        return _stretched_whole(waveform, factor, block_s)
    out = np.zeros((waveform.channels, round(waveform.length / factor)), np.float32)
    half = round(0.5 * context / factor)
    for start in range(0, waveform.length, piece):
        low, high = max(0, start - context), min(waveform.length, start + piece + context)
        part = _stretched_whole(Waveform(waveform.samples[:, low:high], waveform.rate), factor, block_s)
        place = round(low / factor)
        index = np.arange(place, place + part.shape[1], dtype=np.float64)
        if start > 0:
            part *= np.clip((index - round(start / factor) + half) / (2 * half), 0.0, 1.0)
        if start + piece < waveform.length:
            part *= np.clip((round((start + piece) / factor) + half - index) / (2 * half), 0.0, 1.0)
        room = min(part.shape[1], out.shape[1] - place)
        out[:, place : place + room] += part[:, :room]
    return out


def _stretched_whole(waveform: Waveform, factor: float, block_s: float) -> FloatArray:
    hop = max(1, round(block_s * waveform.rate / _OVERLAP))
    engine = Stretch(_SEED)
    engine.configure(waveform.channels, _OVERLAP * hop, hop)
    engine.setTimeFactor(factor)
    # The library refuses arrays that are read-only, as those in a store are.
    return np.asarray(engine.process(np.require(waveform.samples, np.float32, ("C", "W"))), np.float32)


def _choose_block(waveform: Waveform, factor: float) -> float:
    """The shortest block whose stretch leaves the fine spectrum as it is, tried on an excerpt.

    Chords are what blocks that are too short destroy: partials closer than a bin beat, and the spectrum changes.
    """
    size = min(waveform.length, round(_EXCERPT_S * waveform.rate))
    frame = int(scipy.fft.next_fast_len(round(_SPECTRUM_S * waveform.rate), real=True))
    if min(size, round(size / factor)) < 2 * frame:
        return _BLOCKS_S[0]
    start = (waveform.length - size) // 2
    mono = Waveform(waveform.samples[:, start : start + size].mean(axis=0, dtype=np.float32)[None, :], waveform.rate)
    wanted = _spectrum(mono.samples[0], frame)
    likeness: list[float] = []
    for block_s in _BLOCKS_S:
        got = _spectrum(_stretched(mono, factor, block_s)[0], frame)
        likeness.append(inner(wanted, got))
        if likeness[-1] >= _FAITHFUL:
            return block_s
    return _BLOCKS_S[int(np.argmax(likeness))]


def _spectrum(samples: npt.NDArray[np.float32], frame: int) -> npt.NDArray[np.float64]:
    """Mean magnitude spectrum (quadratic), of unit norm."""
    window = np.hanning(frame).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame)[:: frame // 4] * window
    power = np.sum(np.square(np.abs(np.asarray(scipy.fft.rfft(frames, axis=1)))), axis=0, dtype=np.float64)
    return np.sqrt(power / max(float(power.sum()), 1e-30))
