"""Tempo and pitch, by Signalsmith Stretch (`python-stretch`) and soxr."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from python_stretch.Signalsmith import Stretch

from avagent.core.actions import Pitch, Speed
from avagent.core.media import FloatArray, Waveform

_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedReport:
    """What :func:`speed` did: samples before and after."""

    samples_before: int
    samples_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PitchReport:
    """What :func:`pitch` did: the ratio of frequencies."""

    ratio: float


def speed(waveform: Waveform, action: Speed) -> tuple[Waveform, SpeedReport]:
    """Change the tempo: the output has exactly round(samples / factor) samples."""
    target = round(waveform.length / action.factor)
    report = SpeedReport(samples_before=waveform.length, samples_after=target)
    if target == waveform.length:
        return waveform, report
    if action.mode == "resample":
        out = _resample(waveform.samples, action.factor)
    else:
        out = _stretch(waveform, time_factor=waveform.length / target, semitones=0.0)
    return Waveform(fit(out, target), waveform.rate), report


def pitch(waveform: Waveform, action: Pitch) -> tuple[Waveform, PitchReport]:
    """Transpose, length kept."""
    report = PitchReport(ratio=2.0 ** (action.semitones / 12.0))
    if action.semitones == 0.0 or waveform.length == 0:
        return waveform, report
    out = _stretch(waveform, time_factor=1.0, semitones=action.semitones)
    return Waveform(fit(out, waveform.length), waveform.rate), report


def fit(samples: FloatArray, length: int) -> FloatArray:
    """Exactly `length` samples: cut, or filled up with silence."""
    if samples.shape[1] >= length:
        return np.ascontiguousarray(samples[:, :length])
    return np.pad(samples, ((0, 0), (0, length - samples.shape[1])))


def _resample(samples: FloatArray, factor: float) -> FloatArray:
    out = soxr.resample(np.ascontiguousarray(samples.T), factor, 1.0, quality="VHQ")
    return np.asarray(out.T, np.float32)


def _stretch(waveform: Waveform, *, time_factor: float, semitones: float) -> FloatArray:
    engine = Stretch(_SEED)
    engine.preset(waveform.channels, waveform.rate)
    engine.setTimeFactor(time_factor)
    engine.setTransposeSemitones(semitones)
    return np.asarray(engine.process(np.array(waveform.samples, order="C")), np.float32)
