"""Two scorers in one: alignment by one model, synchronization by another. Large embedding models see time badly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from avagent.core.errors import ClipError
from avagent.core.ports import ClipView, Scorer
from avagent.core.scores import Scores


@dataclass(frozen=True, kw_only=True)
class TwoScorers:
    """Each keeps its calibration, its noise and its fingerprint.

    Attributes:
        alignment: whose alignment counts.
        synchronization: whose synchronization and timing count.
    """

    alignment: Scorer
    synchronization: Scorer

    @property
    def fingerprint(self) -> str:
        """Both."""
        return f"two(alignment={self.alignment.fingerprint},synchronization={self.synchronization.fingerprint})"

    @property
    def margins(self) -> tuple[float, float]:
        """Of each the one that counts. Raises CalibrationError, RecipeError as they do."""
        return self.alignment.margins[0], self.synchronization.margins[1]

    def warm_up(self) -> None:
        """Load the networks now. Raises MissingModelError, RecipeError."""
        for scorer in (self.alignment, self.synchronization):
            if (load := getattr(scorer, "warm_up", None)) is not None:
                load()

    def score(self, views: Sequence[ClipView]) -> list[Scores | ClipError]:
        """One answer a clip; a clip on which either fails gives its error."""
        fits, times = self.alignment.score(views), self.synchronization.score(views)
        return [_joined(fit, time) for fit, time in zip(fits, times, strict=True)]


def _joined(fit: Scores | ClipError, time: Scores | ClipError) -> Scores | ClipError:
    if isinstance(fit, ClipError):
        return fit
    if isinstance(time, ClipError):
        return time
    return Scores(
        alignment=fit.alignment,
        alignment_note=fit.alignment_note,
        match=fit.match,
        purity=fit.purity,
        synchronization=time.synchronization,
        synchronization_note=time.synchronization_note,
        timing=time.timing,
    )
