"""Move the sound against the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avagent.core.actions import Shift
from avagent.core.media import Waveform


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftReport:
    """What :func:`shift` did.

    Attributes:
        samples: by which the sound was moved; above 0 it comes later.
        lost: samples that were pushed out of the clip, at most its length.
    """

    samples: int
    lost: int


def shift(waveform: Waveform, action: Shift) -> tuple[Waveform, ShiftReport]:
    """Move the sound by `round(milliseconds * rate / 1000)` samples, length kept.

    The end that opens is filled with digital silence, or with the mirror image of the sound next to it (`reflect`),
    as often as it takes.
    """
    count = round(action.milliseconds * waveform.rate / 1000)
    length = waveform.length
    moved = max(-length, min(length, count))
    if moved == 0:
        return waveform, ShiftReport(samples=0, lost=0)
    source = waveform.samples
    out = np.zeros_like(source)
    if moved > 0:
        out[:, moved:] = source[:, : length - moved]
        edge = out[:, :moved]
    else:
        out[:, : length + moved] = source[:, -moved:]
        edge = out[:, length + moved :]
    if action.edge == "reflect" and abs(moved) < length:
        index = _mirror(length, moved)
        edge[...] = source[:, index]
    return Waveform(out, waveform.rate), ShiftReport(samples=moved, lost=abs(moved))


def _mirror(length: int, moved: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Which source samples fill the opened end: the triangle wave over what is left of the sound."""
    kept = length - abs(moved)
    position = np.arange(-moved, 0) if moved > 0 else np.arange(kept, length)
    period = max(1, 2 * (kept - 1))
    folded = np.abs((position + kept - 1) % period - (kept - 1))
    return (folded if moved > 0 else folded + abs(moved)).astype(np.intp)
