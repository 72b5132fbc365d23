"""The embedded scorer: alignment from tags and measured purity, synchronization from onsets and motion."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from avagent.core.calibration import Calibration
from avagent.core.errors import ClipError, MissingModelError, ParameterError
from avagent.core.ports import ClipView
from avagent.core.scores import Scores
from avagent.models.embedded.alignment import alignment
from avagent.models.embedded.captioner import FRAMES
from avagent.models.embedded.labels import label_table
from avagent.models.embedded.packages import EFFICIENTNET_CODE, EFFICIENTNET_WEIGHTS, YAMNET_WEIGHTS
from avagent.models.embedded.purity import purity
from avagent.models.embedded.runtime import process_tagger
from avagent.models.embedded.synchronization import Timing, synchronization

REVISION = 1
"""Raised with every change of the formulas that changes scores."""


@cache
def load_calibration(name: str) -> Calibration:
    """A shipped calibration: `alignment` or `synchronization`. Raises MissingModelError."""
    file = importlib.resources.files("avagent.models.embedded.data").joinpath(f"calibration_{name}.json")
    try:
        return Calibration.from_dict(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, ParameterError) as error:
        raise MissingModelError(f"the calibration {file} cannot be read ({error}); install avagent again") from error


@dataclass(frozen=True, kw_only=True)
class EmbeddedScorer:
    """Both scores, calibrated. Loads its networks once per process, when first used.

    Attributes:
        frames: pictures looked at per clip, at least 1.

    Raises:
        ParameterError: a setting out of bounds.
        MissingModelError: weights are not installed.
    """

    frames: int = FRAMES

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ParameterError(f"frames must be at least 1, got {self.frames}")
        for file in (YAMNET_WEIGHTS, EFFICIENTNET_WEIGHTS, EFFICIENTNET_CODE):
            file.locate()

    @property
    def fingerprint(self) -> str:
        """Packages, hashes of weights, labels and calibrations, settings."""
        parts = (
            f"r{REVISION}",
            YAMNET_WEIGHTS.identity(),
            EFFICIENTNET_WEIGHTS.identity(),
            f"labels={label_table().fingerprint}",
            f"alignment={load_calibration('alignment').fingerprint}",
            f"synchronization={load_calibration('synchronization').fingerprint}",
            f"frames={self.frames}",
        )
        return f"embedded-scorer({','.join(parts)})"

    @property
    def margins(self) -> tuple[float, float]:
        """The scores' own noise (alignment, synchronization): smaller gains mean nothing."""
        return load_calibration("alignment").min_gain, load_calibration("synchronization").min_gain

    def score(self, views: Sequence[ClipView]) -> list[Scores | ClipError]:
        """One answer a clip; a clip that cannot be decoded or tagged gives its error."""
        return [self._score(view) for view in views]

    def _score(self, view: ClipView) -> Scores | ClipError:
        try:
            fit, fit_note = self._alignment(view)
            timing = _synchronization(view)
        except ClipError as error:
            return error
        return Scores(
            alignment=fit,
            synchronization=timing.score,
            alignment_note=fit_note,
            synchronization_note=timing.note,
        )

    def _alignment(self, view: ClipView) -> tuple[float | None, str | None]:
        facts = view.facts()
        if facts is None:
            return None, "no_audio"
        if facts.muted:
            return None, "muted"
        seen = process_tagger().seen(view, self.frames)
        if seen is None:
            return None, "no_video"
        heard = process_tagger().heard(view)
        if heard is None:
            return None, "no_audio"
        return alignment(heard, seen, purity(facts), label_table(), load_calibration("alignment")), None


def _synchronization(view: ClipView) -> Timing:
    waveform, facts = view.audio(), view.facts()
    if waveform is None or facts is None:
        return Timing(None, "no_audio")
    motion = view.motion()
    if motion is None:
        return Timing(None, "no_video" if view.frames() is None else "still_picture")
    timing = synchronization(waveform, motion, facts)
    if timing.score is None:
        return timing
    return Timing(load_calibration("synchronization")(timing.score))
