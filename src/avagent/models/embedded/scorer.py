"""The embedded scorer: alignment from tags and measured purity, synchronization from lips, touches and motion."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from avagent.core.calibration import Calibration, Calibrations
from avagent.core.errors import CalibrationError, ClipError, MissingModelError, ParameterError
from avagent.core.ports import ClipView
from avagent.core.scores import RawScores, Scores
from avagent.models.embedded.alignment import combine
from avagent.models.embedded.captioner import FRAMES
from avagent.models.embedded.faces import FACE_DETECTOR
from avagent.models.embedded.labels import label_table
from avagent.models.embedded.lips import FACE_MESH
from avagent.models.embedded.packages import PICTURE_TAGGER, YAMNET_WEIGHTS, check_installed
from avagent.models.embedded.purity import purity
from avagent.models.embedded.relation import relate
from avagent.models.embedded.runtime import process_tagger
from avagent.models.embedded.synchronization import synchronization

REVISION = 4
"""Raised with every change of the formulas that changes scores."""
NOTHING_TO_JUDGE = frozenset({"no_audio", "no_video", "muted"})
"""No pair of sound and picture: purity stands for nothing. Elsewhere it is known though the match may not be."""


@cache
def load_calibration(name: str) -> Calibration:
    """A shipped calibration: `alignment` or `synchronization`. Raises MissingModelError."""
    try:
        return Calibration.from_dict(_shipped(f"calibration_{name}.json"))
    except ParameterError as error:
        raise MissingModelError(
            f"the shipped calibration {name} is damaged ({error}); install avagent again"
        ) from error


@cache
def shipped_calibrations() -> Calibrations:
    """Both shipped calibrations. Raises MissingModelError."""
    return Calibrations(
        scorer="embedded",
        model="shipped",
        alignment=load_calibration("alignment"),
        synchronization=load_calibration("synchronization"),
    )


def shipped_pairs(name: str) -> Mapping[str, Any]:
    """How the scores of the shipped calibration's pairs are distributed.

    `matched` and `mismatched` count pairs in equal parts of [0, 1]; `source` says what they are.

    Raises:
        MissingModelError: the file is not there.
    """
    return _shipped(f"pairs_{name}.json")


def _shipped(name: str) -> dict[str, Any]:
    file = importlib.resources.files("avagent.models.embedded.data").joinpath(name)
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise MissingModelError(f"{file} cannot be read ({error}); install avagent again") from error


@dataclass(frozen=True, kw_only=True)
class EmbeddedScorer:
    """Both scores, calibrated. Loads its networks once per process, when first used.

    Attributes:
        frames: pictures looked at per clip, at least 1.
        calibration: from `avagent calibrate`; None: the one that ships.

    Raises:
        ParameterError: a setting out of bounds.
        MissingModelError: weights are not installed.
        CalibrationError: a calibration of another model.
    """

    frames: int = FRAMES
    calibration: Calibrations | None = None

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ParameterError(f"frames must be at least 1, got {self.frames}")
        check_installed("onnxruntime")
        YAMNET_WEIGHTS.locate()
        PICTURE_TAGGER.check()
        FACE_DETECTOR.check()
        FACE_MESH.check()
        if self.calibration is not None and self.calibration.model != self.model_fingerprint:
            raise CalibrationError(
                f"the calibration of scorer 'embedded' was made for another model: {self.calibration.model}; here:"
                f" {self.model_fingerprint}"
            )

    @property
    def model_fingerprint(self) -> str:
        """Packages, hashes of weights and labels, settings."""
        return f"embedded-scorer({','.join(self._parts())})"

    @property
    def fingerprint(self) -> str:
        """The same and the calibrations."""
        used = self._calibrations
        mapped = tuple(f"{c.name}={c.fingerprint}" for c in (used.alignment, used.synchronization) if c)
        return f"embedded-scorer({','.join((*self._parts()[:-1], *mapped, self._parts()[-1]))})"

    def _parts(self) -> tuple[str, ...]:
        return (
            f"r{REVISION}",
            YAMNET_WEIGHTS.identity(),
            PICTURE_TAGGER.identity(),
            FACE_DETECTOR.identity(),
            FACE_MESH.identity(),
            f"labels={label_table().fingerprint}",
            f"frames={self.frames}",
        )

    @property
    def lags_ms(self) -> tuple[float, ...]:
        """What is heard to be out of time, from twice the detectability thresholds of ITU-R BT.1359-1 on."""
        return (-600.0, -300.0, -150.0, -90.0, 250.0, 300.0, 450.0, 600.0)

    @property
    def _calibrations(self) -> Calibrations:
        return self.calibration if self.calibration is not None else shipped_calibrations()

    @property
    def margins(self) -> tuple[float, float]:
        """The scores' own noise (alignment, synchronization): smaller gains mean nothing."""
        return self._calibrations.margins

    def score(self, views: Sequence[ClipView]) -> list[Scores | ClipError]:
        """One answer a clip; a clip that cannot be decoded or tagged gives its error."""
        answers = self.raw(views)
        return [a if isinstance(a, ClipError) else self.calibrated(a, self._calibrations) for a in answers]

    def calibrated(self, raw: RawScores, calibrations: Calibrations) -> Scores:
        """Similarity to the probability of a match, times purity; timing to the probability of being in time."""
        match, fit, fit_note = None, None, raw.alignment_note
        if raw.alignment is not None:
            match = None if calibrations.alignment is None else calibrations.alignment(raw.alignment)
            fit = None if match is None else combine(match, 1.0 if raw.purity is None else raw.purity)
            fit_note = "uncalibrated" if fit is None else None
        # A posterior probability needs no calibration; that of synchronization tells its noise alone.
        return Scores(
            alignment=fit,
            synchronization=raw.synchronization,
            alignment_note=fit_note,
            synchronization_note=raw.synchronization_note,
            match=match,
            purity=raw.purity,
            timing=raw.timing,
        )

    def raw(self, views: Sequence[ClipView]) -> list[RawScores | ClipError]:
        """Similarity of the tags, purity, and how probable it is that the sound is in time."""
        return [self._raw(view) for view in views]

    def _raw(self, view: ClipView) -> RawScores | ClipError:
        try:
            fit, fit_note = self._similarity(view)
            timing = synchronization(view, self.frames)
            facts = view.facts()
        except ClipError as error:
            return error
        return RawScores(
            alignment=fit,
            synchronization=timing.in_time,
            alignment_note=fit_note,
            synchronization_note=timing.reason,
            purity=purity(facts) if facts is not None and fit_note not in NOTHING_TO_JUDGE else None,
            timing=timing,
        )

    def _similarity(self, view: ClipView) -> tuple[float | None, str | None]:
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
        found = relate(heard, seen, lambda: process_tagger().faces(view, self.frames), label_table())
        return found.similarity, found.note
