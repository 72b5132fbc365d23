"""Windows of time, and what their similarities say of synchronization."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avagent.core.errors import RecipeError
from avagent.core.media import FloatArray, TimeArray, Waveform

_SLACK_S = 0.02
"""A sound that ends this much before a window does still fills it: containers round durations to packets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPlan:
    """How a clip is cut.

    Attributes:
        length: of a window, in s.
        hop: between the starts of windows, in s.
        frames: pictures looked at in each.
        least_shift: windows whose starts lie at least so far apart, in s, count as out of time with each other.
    """

    length: float = 2.0
    hop: float = 1.0
    frames: int = 2
    least_shift: float = 1.0

    def __post_init__(self) -> None:
        if not (0.1 <= self.length <= 60.0 and 0.05 <= self.hop <= 60.0):
            raise RecipeError(f"windows must be 0.1 to 60 s long and 0.05 to 60 s apart, got {self.length}, {self.hop}")
        if self.frames < 1:
            raise RecipeError(f"frames_per_window must be at least 1, got {self.frames}")

    def starts(self, duration: float) -> TimeArray:
        """Where windows begin that lie in a clip of this duration, float64 [n], in s."""
        count = int(np.floor((duration - self.length + _SLACK_S) / self.hop)) + 1
        return np.arange(max(0, count), dtype=np.float64) * self.hop

    def far_apart(self, starts: TimeArray) -> bool:
        """Whether some two of these windows count as out of time with each other."""
        return starts.size > 1 and float(starts[-1] - starts[0]) >= self.least_shift - 1e-9

    def picture_times(self, start: float) -> TimeArray:
        """Moments at which a window's pictures are taken, in the middles of equal parts, float64 [frames], in s."""
        return start + (np.arange(self.frames) + 0.5) / self.frames * self.length

    def cut(self, waveform: Waveform, start: float) -> Waveform:
        """The window's sound, of the full length: silence where the sound has ended."""
        begin, count = round(start * waveform.rate), round(self.length * waveform.rate)
        part = waveform.samples[:, begin : begin + count]
        if part.shape[1] < count:
            part = np.pad(part, ((0, 0), (0, count - part.shape[1])))
        return Waveform(np.ascontiguousarray(part), waveform.rate)

    def contrast(self, sound: FloatArray, picture: FloatArray, starts: TimeArray) -> float | None:
        """How much more alike sound and picture of one moment are than those of different moments, [-2, 2].

        For every window: the cosine between its sound and its picture, less the mean of the cosines between its sound
        and the pictures of windows at least `least_shift` away, and between its picture and their sounds; then the
        mean over the windows. What is alike throughout the clip (a scene, a tone) drops out: only time is left.

        Args:
            sound, picture: unit vectors of the windows, float32 [n, d].
            starts: of the windows, in s, [n].

        Returns:
            None: no two windows lie that far apart.
        """
        similarity = sound @ picture.T
        apart = np.abs(starts[:, None] - starts[None, :]) >= self.least_shift - 1e-9
        counts = apart.sum(axis=1)
        usable = counts > 0
        if not usable.any():
            return None
        both = 0.5 * (similarity + similarity.T)
        away = np.where(apart, both, 0.0).sum(axis=1)[usable] / counts[usable]
        return float(np.mean(np.diagonal(similarity)[usable] - away))


def cosine(sound: FloatArray, picture: FloatArray) -> float:
    """Of two unit vectors, [-1, 1]."""
    return float(np.clip(sound @ picture, -1.0, 1.0))


def unit(vectors: FloatArray) -> FloatArray:
    """Rows scaled to length 1, float32 [n, d]; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0.0, lengths, 1.0), np.float32)
