"""The embedded scorer's judgement of time alone: beside another model's alignment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from avagent.core.errors import ClipError
from avagent.core.ports import ClipView
from avagent.core.scores import Scores
from avagent.models.embedded.faces import FACE_DETECTOR
from avagent.models.embedded.lips import FACE_MESH
from avagent.models.embedded.packages import YAMNET_WEIGHTS, check_installed
from avagent.models.embedded.scorer import REVISION, load_calibration
from avagent.models.embedded.synchronization import synchronization


@dataclass(frozen=True, kw_only=True)
class TimeScorer:
    """Synchronization by lips, touches and motion; no alignment.

    Raises:
        MissingModelError: weights are not installed.
    """

    def __post_init__(self) -> None:
        check_installed("onnxruntime")
        YAMNET_WEIGHTS.locate()

    @property
    def fingerprint(self) -> str:
        """Packages, hashes of weights, the noise that was measured."""
        parts = (YAMNET_WEIGHTS.identity(), FACE_DETECTOR.identity(), FACE_MESH.identity())
        noise = load_calibration("synchronization").fingerprint
        return f"lips(r{REVISION},{','.join(parts)},synchronization={noise})"

    @property
    def margins(self) -> tuple[float, float]:
        """The score's own noise; no alignment, no noise of it."""
        return 0.0, load_calibration("synchronization").min_gain

    def score(self, views: Sequence[ClipView]) -> list[Scores | ClipError]:
        """One answer a clip; a clip that cannot be decoded gives its error."""
        return [self._score(view) for view in views]

    def _score(self, view: ClipView) -> Scores | ClipError:
        try:
            found = synchronization(view)
        except ClipError as error:
            return error
        return Scores(
            alignment=None,
            alignment_note="not_judged",
            synchronization=found.in_time,
            synchronization_note=found.reason,
            timing=found,
        )
