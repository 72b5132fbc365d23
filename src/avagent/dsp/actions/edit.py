"""Applying actions to sound: one exhaustive `match`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

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
from avagent.dsp.actions.validate import check_waveform
from avagent.dsp.actions.volume import VolumeReport, volume
from avagent.dsp.actions.wavelet import wavelet_denoise

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

        Raises:
            EditError: the sound cannot be worked on.
        """
        for action in actions:
            try:
                waveform = apply(action, waveform).waveform
            except (ParameterError, ValueError) as error:
                raise EditError(f"{action.kind}: {error}", reason=FailureReason.EDIT_FAILED) from error
        return waveform


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
