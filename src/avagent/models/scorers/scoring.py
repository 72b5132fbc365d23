"""What scorers on embeddings share: a clip's windows to vectors, vectors to raw scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np

from avagent.core.errors import ClipError, FailureReason, ModelError, RecipeError
from avagent.core.media import FloatArray, Frames, TimeArray, Waveform
from avagent.core.ports import ClipView
from avagent.core.scores import RawScores
from avagent.dsp.measures.motion import is_still
from avagent.models.cache import BoundedCache, picture_key
from avagent.models.hf.loading import Once
from avagent.models.scorers.calibrated import CalibratedScorer, no_scores
from avagent.models.scorers.windows import WindowPlan, cosine, unit

CACHED_PICTURES = 512
"""Clips whose picture vectors are kept: rounds change the sound only."""
LEAST_SOUND_S = 0.1

ItemT = TypeVar("ItemT")


class PairEncoder(Protocol):
    """Sound and pictures as vectors of one space, in which cosines tell what belongs together."""

    def sounds(self, sounds: Sequence[Waveform]) -> FloatArray:
        """float32 [n, d]."""
        ...

    def pictures(self, shots: Sequence[Frames]) -> FloatArray:
        """One vector a shot, which is one or more pictures in order; float32 [n, d]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Unit vectors of a clip's pictures: of all together, then of each window; without windows the note says why."""

    vectors: FloatArray
    starts: TimeArray
    note: str | None


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """What is to be encoded of a clip: the whole first, then the windows; of the picture nothing if it was seen."""

    key: str
    sounds: tuple[Waveform, ...]
    shots: tuple[Frames, ...]
    seen: _Seen | None
    starts: TimeArray
    note: str | None


@dataclass(frozen=True, kw_only=True)
class EmbeddingScorer(CalibratedScorer):
    """Both scores from cosines, through the calibration.

    Alignment: between the vectors of the whole sound and of pictures spread over the clip. Synchronization: see
    :meth:`~avagent.models.scorers.windows.WindowPlan.contrast`.

    Attributes:
        window_s, hop_s, frames_per_window, least_shift_s: see :class:`~avagent.models.scorers.windows.WindowPlan`.
        batch: windows or shots per forward pass at most; halved where memory does not suffice.

    Raises:
        RecipeError: a value out of bounds.
    """

    window_s: float = 2.0
    hop_s: float = 1.0
    frames_per_window: int = 2
    least_shift_s: float = 1.0
    batch: int = 16
    _encoder: Once[PairEncoder] = field(init=False, repr=False, compare=False)
    _seen: Once[BoundedCache[_Seen]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch < 1:
            raise RecipeError(f"batch must be at least 1, got {self.batch}")
        _ = self.plan
        object.__setattr__(self, "_encoder", Once(self.load))
        object.__setattr__(self, "_seen", Once(_picture_cache))

    @property
    @abstractmethod
    def weights(self) -> str:
        """Which weights: repository and commit, or digest."""

    @abstractmethod
    def load(self) -> PairEncoder:
        """The networks. Raises MissingModelError, RecipeError."""

    def warm_up(self) -> None:
        """Load the networks now. Raises MissingModelError, RecipeError."""
        _ = self._encoder()

    @property
    def plan(self) -> WindowPlan:
        """How clips are cut."""
        return WindowPlan(
            length=self.window_s, hop=self.hop_s, frames=self.frames_per_window, least_shift=self.least_shift_s
        )

    @property
    def lags_ms(self) -> tuple[float, ...]:
        """One and two windows' least distance, early and late: windows are too long to hear less."""
        step = 1000.0 * self.least_shift_s
        return (-2.0 * step, -step, step, 2.0 * step)

    @property
    def model_fingerprint(self) -> str:
        """Weights and how clips are cut."""
        cut = (
            f"window={self.window_s:g},hop={self.hop_s:g},frames={self.frames_per_window},apart={self.least_shift_s:g}"
        )
        return f"{self.name}({self.weights},{cut})"

    def raw(self, views: Sequence[ClipView]) -> list[RawScores | ClipError]:
        """Cosine and contrast of each view; a clip that fails does not take the others along."""
        gathered = [self._gather(view) for view in views]
        parts = [part for part in gathered if isinstance(part, _Parts)]
        heard = self._encode(self._encoder().sounds, [part.sounds for part in parts]) if parts else []
        fresh = [part for part in parts if part.seen is None]
        looked = self._encode(self._encoder().pictures, [part.shots for part in fresh]) if fresh else []
        seen = {id(part): vectors for part, vectors in zip(fresh, looked, strict=True)}
        sounds = iter(heard)
        return [
            self._compare(part, next(sounds), seen.get(id(part))) if isinstance(part, _Parts) else part
            for part in gathered
        ]

    def _gather(self, view: ClipView) -> _Parts | RawScores | ClipError:
        """What is to be encoded of a clip, or why nothing is."""
        try:
            facts, sound = view.facts(), view.audio()
            if facts is None or sound is None or sound.duration < LEAST_SOUND_S:
                return no_scores("no_audio")
            if facts.muted:
                return no_scores("muted")
            key = picture_key(view)
            seen = self._seen().find(key)
            if seen is not None:
                return _Parts(key, self._cut(sound, seen.starts), (), seen, seen.starts, seen.note)
            shown = view.frames()
            if shown is None or shown.count == 0:
                return no_scores("no_video")
            starts, note = self._timeline(view)
            taken = view.frames_at(self._moments(starts)) if starts.size else None
            if taken is None:
                starts, note = starts[:0], note or "still_picture"
        except ClipError as error:
            return error
        n = self.frames_per_window
        shots = [
            Frames(taken.pixels[i * n : i * n + n], taken.times[i * n : i * n + n])
            for i in range(starts.size)
            if taken is not None
        ]
        return _Parts(key, self._cut(sound, starts), (shown, *shots), None, starts, note)

    def _timeline(self, view: ClipView) -> tuple[TimeArray, str | None]:
        """Starts of the picture's windows; none, and why, where time cannot be judged."""
        motion = view.motion()
        if motion is None or is_still(motion):
            return np.zeros(0), "still_picture"
        starts = self.plan.starts(float(motion.times[-1]))
        return (starts, None) if self.plan.far_apart(starts) else (starts[:0], "too_short")

    def _moments(self, starts: TimeArray) -> tuple[float, ...]:
        return tuple(float(t) for start in starts for t in self.plan.picture_times(float(start)))

    def _cut(self, sound: Waveform, starts: TimeArray) -> tuple[Waveform, ...]:
        """The whole sound, and its part in each of the picture's windows that it lasts for."""
        lasting = starts[: self.plan.starts(sound.duration).size]
        return sound, *(self.plan.cut(sound, float(start)) for start in lasting)

    def _compare(
        self, part: _Parts, heard: FloatArray | ClipError, looked: FloatArray | ClipError | None
    ) -> RawScores | ClipError:
        if isinstance(heard, ClipError):
            return heard
        if isinstance(looked, ClipError):
            return looked
        seen = part.seen
        if seen is None:
            if looked is None:
                raise ValueError("a clip's pictures were neither encoded nor known")
            seen = _Seen(looked, part.starts, part.note)
            self._seen().put(part.key, seen)
        count = len(heard) - 1
        timing = self.plan.contrast(heard[1:], seen.vectors[1 : 1 + count], seen.starts[:count]) if count else None
        note = seen.note or ("too_short" if timing is None else None)
        return RawScores(alignment=cosine(heard[0], seen.vectors[0]), synchronization=timing, synchronization_note=note)

    def _encode(
        self, encode: Callable[[Sequence[ItemT]], FloatArray], groups: Sequence[Sequence[ItemT]]
    ) -> list[FloatArray | ClipError]:
        """The groups' items in batches across groups; a group that cannot be encoded is an error."""
        try:
            vectors = encode_bounded(encode, [item for group in groups for item in group], self.batch)
        except ModelError as error:
            return [error] if len(groups) == 1 else [a for group in groups for a in self._encode(encode, [group])]
        ends = np.cumsum([len(group) for group in groups])
        return [_checked(part) for part in np.split(vectors, ends[:-1])]


def encode_bounded(encode: Callable[[Sequence[ItemT]], FloatArray], items: Sequence[ItemT], batch: int) -> FloatArray:
    """All items, so many at a time; where memory does not suffice, half as many from there on.

    Raises:
        ModelError: memory does not suffice for a single one.
    """
    parts: list[FloatArray] = []
    done = 0
    while done < len(items):
        try:
            parts.append(encode(items[done : done + batch]))
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if batch == 1:
                raise ModelError(
                    f"memory does not suffice for one window: {error}", reason=FailureReason.MODEL_FAILED
                ) from error
            batch = batch // 2
            continue
        done += batch
    return np.concatenate(parts)


def out_of_memory(error: BaseException) -> bool:
    """Whether torch ran out of memory, on a GPU or on the host."""
    return type(error).__name__ == "OutOfMemoryError" or "not enough memory" in str(error)


def _checked(vectors: FloatArray) -> FloatArray | ClipError:
    if np.isfinite(vectors).all():
        return unit(vectors)
    return ModelError(
        "a vector of the clip is not finite; a dtype of greater range (bfloat16, float32) may help",
        reason=FailureReason.MODEL_FAILED,
    )


def _picture_cache() -> BoundedCache[_Seen]:
    return BoundedCache(CACHED_PICTURES)
