"""Quick ports that look at all media of a clip, for tests of what happens while media are decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from avagent.core.actions import Volume
from avagent.core.captions import Caption
from avagent.core.errors import ClipError
from avagent.core.plan import Plan
from avagent.core.ports import ClipView, PlanRequest
from avagent.core.scores import Scores
from avagent.models import registry

RECIPE = """name: thorough
captioner: {name: thorough}
planner: {name: thorough}
scorer: {name: thorough}
policy: {max_rounds: 1, reflection: scores}
max_failure_ratio: 1
"""


@contextmanager
def thorough_ports(folder: Path) -> Iterator[Path]:
    """A recipe file whose models are these."""
    recipe = folder / "thorough.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for table, port in (("CAPTIONERS", "Captioner"), ("PLANNERS", "Planner"), ("SCORERS", "Scorer")):
            patch.setitem(getattr(registry, table), "thorough", f"thorough_ports:Thorough{port}")
        yield recipe


@dataclass(frozen=True)
class ThoroughCaptioner:
    fingerprint: str = "thorough-captioner"

    def caption_audio(self, views: Sequence[ClipView]) -> list[Caption | ClipError | None]:
        return [self._caption(view) for view in views]

    def caption_video(self, views: Sequence[ClipView]) -> list[Caption | ClipError | None]:
        return [None for _ in views]

    def _caption(self, view: ClipView) -> Caption | ClipError:
        try:
            frames = view.frames()
        except ClipError as error:
            return error
        return Caption(text=f"{0 if frames is None else frames.count} pictures")


@dataclass(frozen=True)
class ThoroughPlanner:
    fingerprint: str = "thorough-planner"

    def plan(self, requests: Sequence[PlanRequest]) -> list[Sequence[Plan] | ClipError]:
        return [[Plan(coordination=Volume(target_lufs=-20))] for _ in requests]


@dataclass(frozen=True)
class ThoroughScorer:
    """Edits always help."""

    margins: tuple[float, float] = (0.01, 0.01)
    fingerprint: str = "thorough-scorer"

    def score(self, views: Sequence[ClipView]) -> list[Scores | ClipError]:
        return [self._score(view) for view in views]

    def _score(self, view: ClipView) -> Scores | ClipError:
        try:
            view.motion()
            view.facts()
            heard = view.audio()
        except ClipError as error:
            return error
        if heard is None:
            return Scores(alignment=None, synchronization=None, alignment_note="no_audio", synchronization_note="no")
        score = 0.8 if view.actions else 0.3
        return Scores(alignment=score, synchronization=score)
