"""What all scorers on pretrained networks share: raw values through a calibration, or none at all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from avagent.core.calibration import Calibrations
from avagent.core.errors import CalibrationError, ClipError, RecipeError
from avagent.core.ports import ClipView
from avagent.core.scores import RawScores, Scores


@dataclass(frozen=True, kw_only=True)
class CalibratedScorer(ABC):
    """Raw values, mapped to [0, 1].

    Attributes:
        calibration: from `avagent calibrate`, for this model with these options.
        uncalibrated: without one, map raw values by (1 + value) / 2 instead; then both margins must be given.
        margin_alignment, margin_synchronization: the scores' noise where no calibration tells it, [0, 1).

    Raises:
        RecipeError: a value out of bounds.
    """

    calibration: Calibrations | None = None
    uncalibrated: bool = False
    margin_alignment: float | None = None
    margin_synchronization: float | None = None

    def __post_init__(self) -> None:
        for name in ("margin_alignment", "margin_synchronization"):
            margin = getattr(self, name)
            if margin is not None and not 0.0 <= margin < 1.0:
                raise RecipeError(f"{name} must lie in [0, 1), got {margin}")

    @property
    @abstractmethod
    def name(self) -> str:
        """As registered."""

    @property
    @abstractmethod
    def model_fingerprint(self) -> str:
        """All that raw values depend on."""

    @abstractmethod
    def raw(self, views: Sequence[ClipView]) -> list[RawScores | ClipError]:
        """One answer a clip, not calibrated."""

    @property
    def fingerprint(self) -> str:
        """The same and the calibration."""
        mapped = self.calibration.fingerprint if self.calibration else "none"
        return f"{self.model_fingerprint},calibration={mapped}"

    @property
    def margins(self) -> tuple[float, float]:
        """The scores' own noise.

        Raises:
            CalibrationError: there is no calibration, or one of another model; the message says so.
        """
        if self.calibration is None:
            if not self.uncalibrated:
                raise CalibrationError(f"scorer {self.name!r} has no calibration: its raw similarities mean nothing")
            if self.margin_alignment is None or self.margin_synchronization is None:
                raise RecipeError(
                    f"scorer {self.name!r} is uncalibrated, so nothing tells its noise: give margin_alignment and"
                    " margin_synchronization in its options"
                )
            return self.margin_alignment, self.margin_synchronization
        if self.calibration.model != self.model_fingerprint:
            raise CalibrationError(
                f"the calibration of scorer {self.name!r} was made for another model or other options:"
                f" {self.calibration.model}; here: {self.model_fingerprint}"
            )
        given, own = self.calibration.margins, (self.margin_alignment, self.margin_synchronization)
        return (given[0] if own[0] is None else own[0], given[1] if own[1] is None else own[1])

    def score(self, views: Sequence[ClipView]) -> list[Scores | ClipError]:
        """One answer a clip, calibrated."""
        _ = self.margins
        answers = self.raw(views)
        return [a if isinstance(a, ClipError) else self.calibrated(a, self.calibration) for a in answers]

    def calibrated(self, raw: RawScores, calibrations: Calibrations | None) -> Scores:
        """The scores of these measurements; without calibrations, (1 + value) / 2."""
        fit, fit_note = _mapped(raw.alignment, raw.alignment_note, calibrations, "alignment")
        timing, timing_note = _mapped(raw.synchronization, raw.synchronization_note, calibrations, "synchronization")
        return Scores(alignment=fit, synchronization=timing, alignment_note=fit_note, synchronization_note=timing_note)


def _mapped(
    value: float | None, note: str | None, calibrations: Calibrations | None, score: str
) -> tuple[float | None, str | None]:
    if value is None:
        return None, note
    if calibrations is None:
        return min(1.0, max(0.0, (1.0 + value) / 2.0)), None
    curve: Any = getattr(calibrations, score)
    return (None, "uncalibrated") if curve is None else (curve(value), None)


def no_scores(note: str) -> RawScores:
    """A clip of which nothing can be judged, and why."""
    return RawScores(alignment=None, synchronization=None, alignment_note=note, synchronization_note=note)
