"""Applying actions to sound: one exhaustive `match`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from avagent.core.actions import (
    Action,
    FillBlanks,
    Pitch,
    Shift,
    SpectralGate,
    SpectralSubtraction,
    Speed,
    Volume,
    WaveletDenoise,
    WienerFilter,
)
from avagent.core.errors import EditError, FailureReason, ParameterError
from avagent.core.media import Waveform
from avagent.dsp.actions.denoise import NoiseReport
from avagent.dsp.actions.fill import FillReport, fill_blanks
from avagent.dsp.actions.shift import ShiftReport, shift
from avagent.dsp.actions.spectral import spectral_gate, spectral_subtraction, wiener_filter
from avagent.dsp.actions.timescale import PitchReport, SpeedReport, pitch, speed
from avagent.dsp.actions.validate import MAX_RATE, MIN_RATE, check_samples, check_waveform
from avagent.dsp.actions.volume import VolumeReport, volume
from avagent.dsp.actions.wavelet import wavelet_denoise
from avagent.dsp.resampling import resample

Report = NoiseReport | SpeedReport | PitchReport | VolumeReport | FillReport | ShiftReport


@dataclass(frozen=True, slots=True, eq=False)
class Edited:
    """Edited sound, and what was done to it."""

    waveform: Waveform
    report: Report


def apply(action: Action, waveform: Waveform) -> Edited:
    """The sound with one action applied; same rate and channels, and same length except for `speed`.

    Raises:
        ParameterError: no channel, NaN or infinite samples, or a rate outside 8-96 kHz.
    """
    check_waveform(waveform)
    return Edited(*_dispatch(action, waveform))


def apply_all(waveform: Waveform, actions: Sequence[Action]) -> Waveform:
    """The sound with the actions applied in order. Raises ParameterError as :func:`apply` does."""
    for action in actions:
        waveform = apply(action, waveform).waveform
    return waveform


class DspEditor:
    """The :class:`~avagent.core.ports.Editor` of this package."""

    def edit(self, waveform: Waveform, actions: Sequence[Action]) -> Waveform:
        """The waveform with the actions applied in order.

        Actions work at 8 to 96 kHz: sound of another rate from 1 kHz on is resampled for them, and back again, which
        costs what lies above 48 kHz. Moving it needs no such thing.

        Raises:
            EditError: the sound cannot be worked on.
        """
        for action in actions:
            try:
                waveform = _apply_at_any_rate(action, waveform)
            except (ParameterError, ValueError) as error:
                raise EditError(f"{action.kind}: {error}", reason=FailureReason.EDIT_FAILED) from error
        return waveform


def _apply_at_any_rate(action: Action, waveform: Waveform) -> Waveform:
    rate = working_rate(waveform.rate)
    if isinstance(action, Shift):
        check_samples(waveform)
        return shift(waveform, action)[0]
    if rate == waveform.rate:
        return apply(action, waveform).waveform
    inside = _converted(waveform, rate, max(round(waveform.length * rate / waveform.rate), 1))
    edited = apply(action, inside).waveform
    length = round(waveform.length / action.factor) if isinstance(action, Speed) else waveform.length
    return _converted(edited, waveform.rate, length)


_LOWEST_RATE = 1_000
"""In Hz. Below it nothing is left of a sound that an action could mend, and eight times the samples would be made."""


def working_rate(rate: int) -> int:
    """The rate in Hz at which actions work on sound of a rate: its own, else the nearest multiple or part within."""
    if rate < _LOWEST_RATE:
        return rate  # To be refused.
    if rate < MIN_RATE:
        return rate * -(-MIN_RATE // rate)
    part = -(-rate // MAX_RATE)
    return rate // part if rate % part == 0 else MAX_RATE


def _converted(waveform: Waveform, rate: int, length: int) -> Waveform:
    """At another rate, and of so many samples: rounding may leave one too many or too few."""
    channels = [resample(channel, waveform.rate, rate, "VHQ")[:length] for channel in waveform.samples]
    samples = np.stack([np.pad(channel, (0, length - channel.size)) for channel in channels])
    return Waveform(samples.astype(np.float32), rate)


def _dispatch(action: Action, waveform: Waveform) -> tuple[Waveform, Report]:
    match action:
        case SpectralSubtraction():
            return spectral_subtraction(waveform, action)
        case WienerFilter():
            return wiener_filter(waveform, action)
        case WaveletDenoise():
            return wavelet_denoise(waveform, action)
        case SpectralGate():
            return spectral_gate(waveform, action)
        case Speed():
            return speed(waveform, action)
        case Pitch():
            return pitch(waveform, action)
        case Volume():
            return volume(waveform, action)
        case FillBlanks():
            return fill_blanks(waveform, action)
        case Shift():
            return shift(waveform, action)
        case _ as unreachable:
            assert_never(unreachable)
