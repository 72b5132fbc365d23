"""Finding dropouts: abrupt digital silence inside the programme."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avagent.core.media import Waveform

_ZERO = 1.0 / 65536.0
"""Half a step of 16-bit sound: what is below it is digital silence."""
_EDGE_S = 0.002
_NEAR_S = 0.03
_CUT_DB = 20.0
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Gap:
    """A dropout: samples [start, stop) of every channel."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """In samples."""
        return self.stop - self.start


def find_dropouts(waveform: Waveform, *, min_gap_ms: float = 2.0, max_gap_ms: float = 500.0) -> tuple[Gap, ...]:
    """Runs of digital silence, common to all channels, that cut off the programme on both sides.

    Silence at the start or the end of the clip, silence that the programme fades into or out of, and silence between
    sounds that begin and end by themselves is left alone: next to a dropout the sound is as loud as it was before it.

    Args:
        waveform: finite samples.
        min_gap_ms, max_gap_ms: shortest and longest dropout in ms.
    """
    if waveform.length == 0 or waveform.channels == 0:
        return ()
    rate = waveform.rate
    level = np.max(np.abs(waveform.samples), axis=0)
    silent = np.concatenate(([False], level < _ZERO, [False]))
    edges = np.flatnonzero(silent[1:] != silent[:-1])
    starts, stops = edges[::2], edges[1::2]
    lengths = stops - starts
    longest, shortest = max_gap_ms * rate / 1000.0, max(1.0, min_gap_ms * rate / 1000.0)
    fits = (lengths >= shortest) & (lengths <= longest) & (starts > 0) & (stops < waveform.length)
    edge, near = max(4, round(_EDGE_S * rate)), max(8, round(_NEAR_S * rate))
    found: list[Gap] = []
    for start, stop in zip(starts[fits].tolist(), stops[fits].tolist(), strict=True):
        before = level[max(0, start - near) : start]
        after = level[stop : stop + near][::-1]
        if _is_cut(before, edge) and _is_cut(after, edge):
            found.append(Gap(start, stop))
    return tuple(found)


def _is_cut(level: np.ndarray[tuple[int], np.dtype[np.float32]], edge: int) -> bool:
    """Whether sound that ends with the last of these samples was cut off: its end is about as loud as the rest."""
    last = float(np.sqrt(np.mean(np.square(level[-edge:], dtype=np.float64))))
    whole = float(np.sqrt(np.mean(np.square(level, dtype=np.float64))))
    return last > _ZERO and 20.0 * np.log10((last + _TINY) / (whole + _TINY)) > -_CUT_DB
