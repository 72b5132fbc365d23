"""Two captioners as one: one listens, the other looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from avagent.core.captions import Caption
from avagent.core.errors import ClipError, RecipeError
from avagent.core.ports import Captioner, ClipView
from avagent.core.serving import Metered, WarmsUp


@dataclass(frozen=True, kw_only=True)
class SplitCaptioner:
    """Audio and video captioned by different models.

    Attributes:
        audio, video: `{name: ..., options: {...}}` of a captioner each.

    Raises:
        RecipeError: a section that is none.
        MissingModelError: a captioner's weights are absent.
    """

    audio: Mapping[str, Any]
    video: Mapping[str, Any]
    _listener: Captioner = field(init=False, repr=False, compare=False)
    _looker: Captioner = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_listener", _build("audio", self.audio))
        object.__setattr__(self, "_looker", _build("video", self.video))

    @property
    def fingerprint(self) -> str:
        """Those of both."""
        return f"split(audio={self._listener.fingerprint},video={self._looker.fingerprint})"

    def caption_audio(self, views: Sequence[ClipView]) -> Sequence[Caption | ClipError | None]:
        """What the one hears."""
        return self._listener.caption_audio(views)

    def caption_video(self, views: Sequence[ClipView]) -> Sequence[Caption | ClipError | None]:
        """What the other sees."""
        return self._looker.caption_video(views)

    def warm_up(self) -> None:
        """Load both. Raises MissingModelError."""
        for port in (self._listener, self._looker):
            if isinstance(port, WarmsUp):
                port.warm_up()

    def take_usage(self) -> Mapping[str, int]:
        """What both consumed since the last call."""
        total: Counter[str] = Counter()
        for port in (self._listener, self._looker):
            if isinstance(port, Metered):
                total.update(port.take_usage())
        return dict(total)


def _build(part: str, section: Any) -> Captioner:
    from avagent.models.registry import build_captioner  # noqa: PLC0415  (the registry names this module)

    if not isinstance(section, Mapping) or set(section) - {"name", "options"} or "name" not in section:
        raise RecipeError(f"captioner 'split': {part} must be {{name: ..., options: {{...}}}}, got {section!r}")
    return build_captioner(str(section["name"]), section.get("options") or {})
