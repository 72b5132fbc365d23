"""Quick ports that answer by the clip's content, and note what they were asked: for tests of what is not asked again.

A key that begins with `broken` fails in the scorer until :data:`MENDED` says otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from avagent.core.actions import Shift, Volume
from avagent.core.captions import Caption
from avagent.core.errors import ClipError, FailureReason, ModelError
from avagent.core.plan import Plan
from avagent.core.ports import ClipView, PlanRequest
from avagent.core.scores import Scores
from avagent.models import registry

ASKED: list[tuple[str, str]] = []
"""(port, key) of every question."""
MENDED: list[bool] = []
"""Not empty: `broken` clips are scored."""

RECIPE = """name: counting
captioner: {name: counting}
planner: {name: counting}
scorer: {name: counting}
policy: {reflection: scores}
max_failure_ratio: 1
"""


@contextmanager
def counting_ports(folder: Path) -> Iterator[Path]:
    """A recipe file whose models are these."""
    recipe = folder / "counting.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for table, port in (("CAPTIONERS", "Captioner"), ("PLANNERS", "Planner"), ("SCORERS", "Scorer")):
            patch.setitem(getattr(registry, table), "counting", f"counting_ports:Counting{port}")
        yield recipe
    MENDED.clear()


@contextmanager
def asked() -> Iterator[list[tuple[str, str]]]:
    """The questions of a block, filled at its end."""
    start = len(ASKED)
    found: list[tuple[str, str]] = []
    yield found
    found += ASKED[start:]


@dataclass(frozen=True)
class CountingCaptioner:
    revision: int = 1

    @property
    def fingerprint(self) -> str:
        return f"counting-captioner({self.revision})"

    def caption_audio(self, views: Sequence[ClipView]) -> list[Caption | ClipError | None]:
        ASKED.extend(("captioner", view.ref.key) for view in views)
        return [Caption(text=f"{self.revision} {view.ref.content_sha256}") for view in views]

    def caption_video(self, views: Sequence[ClipView]) -> list[Caption | ClipError | None]:
        return [None for _ in views]


@dataclass(frozen=True)
class CountingPlanner:
    revision: int = 1

    @property
    def fingerprint(self) -> str:
        return f"counting-planner({self.revision})"

    def plan(self, requests: Sequence[PlanRequest]) -> list[Sequence[Plan] | ClipError]:
        ASKED.extend(("planner", request.key) for request in requests)
        return [self._plans(request) for request in requests]

    def _plans(self, request: PlanRequest) -> list[Plan]:
        ideas = [Volume(target_lufs=-20), Shift(milliseconds=40), Volume(target_lufs=-26), Shift(milliseconds=-40)]
        turn = (len(request.captions.audio.text) if request.captions.audio else 0) + self.revision
        loud = request.facts.loudness if request.facts else None
        return [Plan(coordination=idea, rationale=f"{loud}") for idea in ideas[turn % 4 :] + ideas[: turn % 4]]


@dataclass(frozen=True)
class CountingScorer:
    revision: int = 1
    margins: tuple[float, float] = (0.01, 0.01)

    @property
    def fingerprint(self) -> str:
        return f"counting-scorer({self.revision})"

    def score(self, views: Sequence[ClipView]) -> list[Scores | ClipError]:
        ASKED.extend(("scorer" if not view.actions else "rescorer", view.ref.key) for view in views)
        return [self._score(view) for view in views]

    def _score(self, view: ClipView) -> Scores | ClipError:
        if view.ref.key.startswith("broken") and not MENDED:
            return ModelError("no scores today", reason=FailureReason.MODEL_FAILED)
        try:
            heard = view.audio()
        except ClipError as error:
            return error
        if heard is None:
            return Scores(alignment=None, synchronization=None, alignment_note="no_audio", synchronization_note="no")
        digest = hashlib.sha256(heard.samples.tobytes() + bytes([self.revision])).digest()
        return Scores(alignment=digest[0] / 255, synchronization=digest[1] / 255)
