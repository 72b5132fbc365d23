"""The two scores of a clip, before and after calibration, and a held-out pair of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from avagent.core.errors import ParameterError
from avagent.core.facts import Facts, lag_of
from avagent.core.time_judgement import TimeJudgement


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """How well sound and picture go together.

    Attributes:
        alignment: does the sound fit the picture? In [0, 1]; None: not evaluable.
        synchronization: is it in time? In [0, 1]; None: not evaluable.
        alignment_note, synchronization_note: why a score is not evaluable (`muted`, `still_picture`, ...).
        match: the part of the alignment that is about the pair: the probability that they belong together; None: not
            evaluable, or the scorer does not tell.
        purity: the part of it that is about the sound alone: how free of measured faults it is, in [0, 1]; it may be
            known where the match is not. None: the scorer does not tell.
        timing: lag and tempo with their errors, and which cues told, of a scorer that judges them.
    """

    alignment: float | None
    synchronization: float | None
    alignment_note: str | None = None
    synchronization_note: str | None = None
    match: float | None = None
    purity: float | None = None
    timing: TimeJudgement | None = None

    def __post_init__(self) -> None:
        for name in ("alignment", "synchronization", "match", "purity"):
            value: float | None = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise ParameterError(f"{name} must lie in [0, 1] or be None (not evaluable), got {value}")

    @property
    def evaluable(self) -> bool:
        """Whether at least one score is evaluable."""
        return self.alignment is not None or self.synchronization is not None

    @property
    def fit(self) -> float | None:
        """What the loop goes by: the alignment; where nothing is known of the pair, the sound's purity alone."""
        return self.purity if self.alignment is None else self.alignment

    @property
    def notes(self) -> tuple[str, ...]:
        """Why scores are not evaluable, without repetition."""
        return tuple(dict.fromkeys(n for n in (self.alignment_note, self.synchronization_note) if n))


@dataclass(frozen=True, slots=True, kw_only=True)
class RawScores:
    """What a scorer measures before calibration, on scales of its own.

    Attributes:
        alignment: higher: the sound fits better; None: not evaluable.
        synchronization: higher: better in time; None: not evaluable.
        alignment_note, synchronization_note: why not.
        purity: how free of measured faults the sound is, where the scorer weighs that, in [0, 1].
        timing: as of :class:`Scores`; its probability of being in time needs no calibration.
    """

    alignment: float | None
    synchronization: float | None
    alignment_note: str | None = None
    synchronization_note: str | None = None
    purity: float | None = None
    timing: TimeJudgement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Scores of a scorer that took no part in the decision.

    Attributes:
        before: of the original sound.
        after: of the sound that leaves.
    """

    before: Scores
    after: Scores


def with_timing(facts: Facts | None, scores: Scores) -> Facts | None:
    """The facts with the timing that the scorer found, where it judges one."""
    if facts is None or scores.timing is None:
        return facts
    return replace(facts, timing=scores.timing, lag=lag_of(scores.timing))
