"""What the models say they hear and see."""

from __future__ import annotations

from dataclasses import dataclass

from avagent.core.errors import ParameterError


@dataclass(frozen=True, slots=True)
class Tag:
    """A label and the model's confidence in it, in [0, 1]."""

    label: str
    confidence: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.confidence <= 1.0:
            raise ParameterError(f"confidence of tag {self.label!r} must lie in [0, 1], got {self.confidence}")


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence, and the tags behind it, most confident first. Text is data: it is never an instruction."""

    text: str
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Captions:
    """Audio and video, captioned separately (paper section 3.1: c^a, c^v); None: there is nothing to caption."""

    audio: Caption | None
    video: Caption | None
