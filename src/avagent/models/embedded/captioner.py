"""Captions from tags: a sentence with the networks' confidences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from avagent.core.captions import Caption, Tag
from avagent.core.errors import ClipError, ParameterError
from avagent.core.media import FloatArray
from avagent.core.ports import ClipView
from avagent.models.embedded.imagenet import image_labels
from avagent.models.embedded.packages import PICTURE_TAGGER, YAMNET_WEIGHTS, check_installed
from avagent.models.embedded.runtime import process_tagger
from avagent.models.embedded.yamnet import read_labels

FRAMES = 4
"""Pictures that are looked at, per clip."""


@dataclass(frozen=True, kw_only=True)
class EmbeddedCaptioner:
    """YAMNet listens, EfficientNet-lite2 looks; loaded once per process, when first used.

    Attributes:
        min_confidence: tags below it are not spoken of, in (0, 1).
        max_tags: tags named at most, at least 1.
        frames: pictures looked at per clip, at least 1.

    Raises:
        ParameterError: a setting out of bounds.
        MissingModelError: weights are not installed.
    """

    min_confidence: float = 0.1
    max_tags: int = 4
    frames: int = FRAMES

    def __post_init__(self) -> None:
        if not 0.0 < self.min_confidence < 1.0:
            raise ParameterError(f"min_confidence must lie in (0, 1), got {self.min_confidence}")
        if self.max_tags < 1 or self.frames < 1:
            raise ParameterError(f"max_tags and frames must be at least 1, got {self.max_tags} and {self.frames}")
        check_installed("onnxruntime")
        YAMNET_WEIGHTS.locate()
        PICTURE_TAGGER.check()

    @property
    def fingerprint(self) -> str:
        """Packages, hashes of the weights, settings."""
        settings = f"min_confidence={self.min_confidence:g},max_tags={self.max_tags},frames={self.frames}"
        return f"embedded-captioner({YAMNET_WEIGHTS.identity()},{PICTURE_TAGGER.identity()},{settings})"

    def caption_audio(self, views: Sequence[ClipView]) -> list[Caption | ClipError | None]:
        """What is heard."""
        return [_attempt(lambda view=view: self._listen(view)) for view in views]

    def caption_video(self, views: Sequence[ClipView]) -> list[Caption | ClipError | None]:
        """What is seen."""
        return [_attempt(lambda view=view: self._look(view)) for view in views]

    def _listen(self, view: ClipView) -> Caption | None:
        heard = process_tagger().heard(view)
        if heard is None:
            return None
        tags = top_tags(heard, read_labels(), self.min_confidence, self.max_tags)
        return Caption(sentence(tags, "heard", "and"), tags)

    def _look(self, view: ClipView) -> Caption | None:
        seen = process_tagger().seen(view, self.frames)
        if seen is None:
            return None
        tags = top_tags(seen, image_labels(), self.min_confidence, self.max_tags)
        return Caption(sentence(tags, "seen", "or"), tags)


def top_tags(probabilities: FloatArray, labels: Sequence[str], least: float, count: int) -> tuple[Tag, ...]:
    """The most confident labels, ties in the order of the labels."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return tuple(Tag(labels[int(i)], float(probabilities[i])) for i in order if probabilities[i] >= least)


def sentence(tags: Sequence[Tag], verb: str, junction: str) -> str:
    """A sentence such as "Siren (0.98), vehicle (0.81) and alarm (0.55) are heard.".

    Several sounds may be there at once; several names for a picture are alternatives: hence the junction.
    """
    if not tags:
        return f"Nothing is {verb} that could be named with confidence."
    named = [f"{_spoken(tag.label)} ({tag.confidence:.2f})" for tag in tags]
    named[0] = named[0][0].upper() + named[0][1:]
    listed = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} {junction} {named[-1]}"
    return f"{listed} {'are' if len(named) > 1 and junction == 'and' else 'is'} {verb}."


def _spoken(label: str) -> str:
    """The first of a class's names (`Sheep` of `Sheep, lamb`), in lower case unless it is an abbreviation."""
    name = label.split(",", 1)[0]
    return name[0].lower() + name[1:] if name[1:2].islower() else name


def _attempt(work: Callable[[], Caption | None]) -> Caption | ClipError | None:
    try:
        return work()
    except ClipError as error:
        return error
