"""Lay decoded sound out by its timestamps: holes, overlaps, and a clock that does not run as the samples do.

Timestamps that jump say that something is missing, or was recorded twice, as where pieces of a broadcast are joined.
Timestamps that run away little by little say that two clocks were at work: the samples are then spread over the time
that they were recorded in, as players do, or the sound would part from its picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import soxr  # pyright: ignore[reportMissingTypeStubs]

from avagent.core.media import FloatArray

GAP_S = 0.030
"""Timestamps that are off by more than this tell of a hole, an overlap or a drift. Less is jitter."""
_GAP_AFTER_DAMAGE_S = 0.002
"""The same for a hole right behind a packet that could not be decoded: wider than the 1 ms clock of Matroska."""
_JUMP_S = 0.005
"""What is off by more than `GAP_S`, and never by more than this from one packet to the next, is a drift."""
_SETTLED = 3
"""Packets at the head that are not gone by."""
_FEW = 8
"""Timestamps that make no clock yet."""
_MOST_DRIFT = 0.05
"""Beyond it the timestamps are no clock: the samples are taken as they come."""


def drift_of(times: Sequence[float], taken: Sequence[float]) -> float:
    """By how much longer timestamps take than the samples between them, as a share of these; 0: they agree, or jump.

    Args:
        times: the timestamps, in s.
        taken: how long all samples before each of them last, in s.
    """
    at = np.asarray(taken[_SETTLED:])
    off = np.asarray(times[_SETTLED:]) - at
    if at.size < _FEW or at[-1] <= at[0]:
        return 0.0
    slope, offset = np.polyfit(at, off, 1)
    steady = np.abs(np.diff(off)).max() < _JUMP_S and np.abs(off - slope * at - offset).max() < GAP_S / 2
    far = abs(slope) * (at[-1] - at[0]) > GAP_S
    return float(slope) if steady and far and abs(slope) <= _MOST_DRIFT else 0.0


@dataclass(slots=True)
class _Piece:
    """Sound without a jump.

    Attributes:
        start: when its first sample is presented, in s.
        blocks, length: its samples, and their number.
        times, taken: its timestamps, and how long the samples before each last, in s from its start.
        step: the largest change from one timestamp to the next of how far they are off, in s.
    """

    start: Fraction
    blocks: list[FloatArray] = field(default_factory=list["FloatArray"])
    length: int = 0
    times: list[float] = field(default_factory=list[float])
    taken: list[float] = field(default_factory=list[float])
    step: float = 0.0


def _seconds_between(start: Fraction, stop: Fraction) -> float:
    """The difference: as Fraction has it, in a fifth of the time, for this is asked of every packet."""
    return (stop.numerator * start.denominator - start.numerator * stop.denominator) / (
        start.denominator * stop.denominator
    )


@dataclass(slots=True)
class Timeline:
    """Sound as it comes from a decoder.

    Attributes:
        rate: in Hz.
        check: told how many samples there are in all; raises if these are too many.
    """

    rate: int
    check: Callable[[int], None]
    _pieces: list[_Piece] = field(default_factory=list["_Piece"])
    _end: int = 0
    """Samples up to the end of the piece under way, from the start of the first."""

    def add(self, block: FloatArray, time: Fraction | None, *, after_damage: bool = False) -> None:
        """One block, float32 [channels, samples], and its timestamp in s; None: it follows the one before."""
        if not self._pieces:
            self._pieces.append(_Piece(time if time is not None else Fraction(0)))
        piece = self._pieces[-1]
        if time is not None:
            piece = self._placed(piece, time, after_damage=after_damage)
        self._end += block.shape[1]
        self.check(self._end)
        piece.blocks.append(block)
        piece.length += block.shape[1]

    def _placed(self, piece: _Piece, time: Fraction, *, after_damage: bool) -> _Piece:
        if not piece.times and piece.length:
            piece.start = time - Fraction(piece.length, self.rate)  # What came before had no timestamps.
        at, taken = _seconds_between(piece.start, time), piece.length / self.rate
        off = at - taken
        step = abs(off - piece.times[-1] + piece.taken[-1]) if piece.times else 0.0
        # The first packets may be shorter than they say: their head was the encoder's delay.
        if len(self._pieces) > 1 or len(piece.times) >= _SETTLED or step > GAP_S:
            piece.step = max(piece.step, step)
        if (abs(off) > GAP_S and piece.step >= _JUMP_S) or (after_damage and off > _GAP_AFTER_DAMAGE_S):
            piece, at, taken = _Piece(time), 0.0, 0.0
            self._pieces.append(piece)
            self._end = round((time - self._pieces[0].start) * self.rate)
            self.check(self._end)
        piece.times.append(at)
        piece.taken.append(taken)
        return piece

    @property
    def start(self) -> Fraction:
        """When the first sample is presented, in s."""
        return min((self._begin(piece) for piece in self._pieces), default=Fraction(0))

    @property
    def empty(self) -> bool:
        """Whether there is no sample."""
        return not any(piece.length for piece in self._pieces)

    def samples(self) -> FloatArray:
        """All of it, float32 [channels, samples]: holes are silent; where pieces overlap, the earlier one is heard."""
        made = [(self._begin(piece), self._spread(piece)) for piece in self._pieces if piece.length]
        if len(made) == 1:
            return made[0][1]
        start, places = min(time for time, _ in made), list[tuple[int, FloatArray]]()
        for time, block in made:
            places.append((round((time - start) * self.rate), block))
        total = np.zeros((places[0][1].shape[0], max(at + block.shape[1] for at, block in places)), np.float32)
        written = 0
        for at, block in places:
            skip = min(max(written - at, 0), block.shape[1])
            total[:, at + skip : at + block.shape[1]] = block[:, skip:]
            written = max(written, at + block.shape[1])
        return total

    def _begin(self, piece: _Piece) -> Fraction:
        """When a piece begins; behind a jump, as most of its timestamps have it: the first ones may be makeshift.

        Muxers that must not let times go back write the same one, or the next, until the right one is larger.
        """
        if piece is self._pieces[0] or drift_of(piece.times, piece.taken):
            return piece.start
        off = np.asarray(piece.times) - np.asarray(piece.taken)
        return piece.start + Fraction(float(np.median(off)))

    def _spread(self, piece: _Piece) -> FloatArray:
        samples = piece.blocks[0] if len(piece.blocks) == 1 else np.concatenate(piece.blocks, axis=1)
        if not (drift := drift_of(piece.times, piece.taken)):
            return samples
        spread = soxr.resample(samples.T, 1.0, 1.0 + drift, quality="VHQ")  # pyright: ignore[reportUnknownMemberType]
        return np.ascontiguousarray(np.asarray(spread, np.float32).T)
