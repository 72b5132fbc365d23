"""Putting a known fault into sound, repeatably."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import numpy as np
from scipy.signal import oaconvolve

from avagent.core.actions import NOISE_FILTERS, Action, FillBlanks, Pitch, Shift, Speed, Volume
from avagent.core.errors import ParameterError
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.edit import apply
from avagent.dsp.faults.signals import coloured_noise, fitted, hum, room_response, scaled_to
from avagent.dsp.faults.types import (
    Babble,
    Clipping,
    Dropouts,
    Fault,
    HumFault,
    Lag,
    Level,
    Muted,
    Noise,
    PitchChange,
    Reverberation,
    SpeedChange,
    Truncated,
    WrongSoundtrack,
)
from avagent.dsp.measures.dropouts import Gap

_SOUNDING_DB = -30.0
_ATTEMPTS = 200
_NOISE_FILTER_KINDS = frozenset(NOISE_FILTERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is known about a fault that was put in.

    Attributes:
        fault: what was done.
        repairs: kinds of action that mend it; empty: none does.
        actions: what undoes it, where its parameters are known.
        gaps: dropouts, in samples.
        clipped: share of samples that were limited, in [0, 1].
    """

    fault: Fault
    repairs: frozenset[str]
    actions: tuple[Action, ...] = ()
    gaps: tuple[Gap, ...] = ()
    clipped: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Injected:
    """Faulty sound, and the truth about it."""

    waveform: Waveform
    truth: Truth


def inject(fault: Fault, waveform: Waveform, *, seed: int, other: Waveform | None = None) -> Injected:
    """Put a fault into sound; the same arguments give the same samples.

    Args:
        fault: what to do.
        waveform: finite samples.
        seed: of everything random, derived from the clip's key by the caller.
        other: the babble, or the wrong soundtrack; any rate and number of channels.

    Raises:
        ParameterError: `other` is missing where the fault needs it, or is silent where it is to be scaled.
    """
    generator = np.random.default_rng(seed)
    if waveform.length == 0:
        return Injected(waveform, Truth(fault=fault, repairs=frozenset()))
    match fault:
        case Noise() | Babble() | HumFault():
            return _added(fault, waveform, generator, other)
        case Reverberation():
            return _reverberated(fault, waveform, generator)
        case Dropouts():
            return _dropped(fault, waveform, generator)
        case Clipping():
            return _clipped(fault, waveform)
        case Level():
            samples = waveform.samples * np.float32(10.0 ** (fault.gain_db / 20.0))
            return _injected(samples, waveform, Truth(fault=fault, repairs=frozenset({"volume"})))
        case SpeedChange() | PitchChange() | Lag():
            return _moved(fault, waveform)
        case Muted():
            return _injected(np.zeros_like(waveform.samples), waveform, Truth(fault=fault, repairs=frozenset()))
        case Truncated():
            kept = waveform.samples[:, : max(1, round(fault.kept * waveform.length))]
            return _injected(kept.copy(), waveform, Truth(fault=fault, repairs=frozenset()))
        case WrongSoundtrack():
            samples = fitted(_needed(fault, other), waveform)
            return _injected(samples, waveform, Truth(fault=fault, repairs=frozenset()))
        case _ as unreachable:
            assert_never(unreachable)


def _injected(samples: FloatArray, waveform: Waveform, truth: Truth) -> Injected:
    return Injected(Waveform(np.ascontiguousarray(samples, dtype=np.float32), waveform.rate), truth)


def _needed(fault: Fault, other: Waveform | None) -> Waveform:
    if other is None:
        raise ParameterError(f"the fault {fault.kind!r} needs another recording: pass it as `other`")
    return other


def _added(
    fault: Noise | Babble | HumFault, waveform: Waveform, generator: np.random.Generator, other: Waveform | None
) -> Injected:
    match fault:
        case Noise():
            unwanted = coloured_noise(fault.colour, waveform, generator)
        case Babble():
            unwanted = fitted(_needed(fault, other), waveform, generator)
        case HumFault():
            unwanted = hum(fault, waveform, generator)
    samples = waveform.samples + scaled_to(unwanted, waveform.samples, fault.snr_db)
    return _injected(samples, waveform, Truth(fault=fault, repairs=_NOISE_FILTER_KINDS))


def _reverberated(fault: Reverberation, waveform: Waveform, generator: np.random.Generator) -> Injected:
    response = room_response(fault, waveform.rate, generator)
    wet = np.zeros_like(waveform.samples)
    for index, channel in enumerate(waveform.samples):
        full = np.asarray(oaconvolve(channel, response), dtype=np.float32)
        wet[index] = full[: waveform.length]
    before, after = float(np.square(waveform.samples).mean()), float(np.square(wet).mean())
    if after > 0.0:
        wet = wet * np.float32(np.sqrt(before / after))
    return _injected(wet, waveform, Truth(fault=fault, repairs=frozenset()))


def _dropped(fault: Dropouts, waveform: Waveform, generator: np.random.Generator) -> Injected:
    samples = waveform.samples.copy()
    margin = max(1, round(0.05 * waveform.rate))
    taken: list[Gap] = []
    for length_ms in sorted(fault.lengths_ms, reverse=True):
        length = max(1, round(length_ms * waveform.rate / 1000.0))
        start = _place(waveform, length, margin, taken, generator)
        if start is not None:
            taken.append(Gap(start, start + length))
    for gap in taken:
        samples[:, gap.start : gap.stop] = 0.0
    truth = Truth(
        fault=fault,
        repairs=frozenset({"fill_blanks"}) if taken else frozenset(),
        actions=(FillBlanks(),) if taken else (),
        gaps=tuple(sorted(taken, key=lambda gap: gap.start)),
    )
    return _injected(samples, waveform, truth)


def _place(
    waveform: Waveform, length: int, margin: int, taken: list[Gap], generator: np.random.Generator
) -> int | None:
    """Where a dropout cuts off sound on both sides, apart from the others; None if no place is found."""
    last = waveform.length - length - margin
    if last <= margin:
        return None
    power = np.square(waveform.samples, dtype=np.float64).mean(axis=0)
    sums = np.concatenate([[0.0], np.cumsum(power)])
    enough = float(power.mean()) * 10.0 ** (_SOUNDING_DB / 10.0)
    near = max(1, margin // 5)
    for start in generator.integers(margin, last, _ATTEMPTS).tolist():
        stop = start + length
        before = (sums[start] - sums[start - near]) / near
        after = (sums[stop + near] - sums[stop]) / near
        apart = all(stop + margin < gap.start or gap.stop + margin < start for gap in taken)
        if apart and min(before, after) > enough:
            return int(start)
    return None


def _clipped(fault: Clipping, waveform: Waveform) -> Injected:
    peak = float(np.max(np.abs(waveform.samples), initial=0.0))
    limit = peak * 10.0 ** (-fault.drive_db / 20.0)
    limited = np.clip(waveform.samples, -limit, limit)
    share = np.count_nonzero(np.abs(waveform.samples) > limit) / waveform.samples.size
    gain = np.float32(10.0 ** (fault.drive_db / 20.0))
    truth = Truth(fault=fault, repairs=frozenset({"volume"}), actions=(Volume(declip=True),), clipped=share)
    return _injected(limited * gain, waveform, truth)


def _moved(fault: SpeedChange | PitchChange | Lag, waveform: Waveform) -> Injected:
    match fault:
        case SpeedChange():
            cause: Action = Speed(factor=fault.factor, mode=fault.mode)
            remedy: Action = Speed(factor=1.0 / fault.factor, mode=fault.mode)
        case PitchChange():
            cause, remedy = Pitch(semitones=fault.semitones), Pitch(semitones=-fault.semitones)
        case Lag():
            cause, remedy = Shift(milliseconds=fault.milliseconds), Shift(milliseconds=-fault.milliseconds)
    truth = Truth(fault=fault, repairs=frozenset({remedy.kind}), actions=(remedy,))
    return Injected(apply(cause, waveform).waveform, truth)
