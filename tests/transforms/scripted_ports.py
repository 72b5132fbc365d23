"""Ports that answer by script, for tests of the wiring alone; the real models have tests of their own.

What a clip scores is told by its key: `threshold-...`, `fixable-...`, `second-...` (the first idea fails), `twice-...`
(two ideas add up), `hopeless-...`, `silent-...` (not evaluable), `planless-...`, `broken-...` (the scorer fails on it).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avagent.core.actions import FillBlanks, Shift, Volume, WienerFilter
from avagent.core.captions import Caption
from avagent.core.errors import ClipError, FailureReason, ModelError
from avagent.core.plan import Plan
from avagent.core.ports import ClipView, PlanRequest
from avagent.core.scores import Scores

ASKED = "AVAGENT_SCRIPTED_LOG"
"""Names a file that the keys of captioned clips go to."""
MENDED = "AVAGENT_SCRIPTED_MENDED"
"""If set, the scorer scores the clips that it fails on otherwise."""
FIRST = Plan(noise=WienerFilter(), rationale="first")
SECOND = Plan(coordination=Volume(target_lufs=-20), rationale="second")
THIRD = Plan(coordination=Shift(milliseconds=40), rationale="third")
FOURTH = Plan(coordination=FillBlanks(), rationale="fourth")


def note_load(log: Path, port: str) -> None:
    """One line a load, with the process that loaded."""
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{port} {os.getpid()}\n")


@dataclass(frozen=True)
class ScriptedCaptioner:
    """Says the clip's key."""

    fingerprint: str = "scripted"

    def caption_audio(self, views: Sequence[ClipView]) -> list[Caption | ClipError | None]:
        if log := os.environ.get(ASKED):
            with Path(log).open("a", encoding="utf-8") as file:
                file.writelines(f"{view.ref.key}\n" for view in views)
        return [Caption(text=f"the sound of {view.ref.key}") for view in views]

    def caption_video(self, views: Sequence[ClipView]) -> list[Caption | ClipError | None]:
        return [None for _ in views]


@dataclass(frozen=True)
class ScriptedPlanner:
    """Four ideas, always in the same order."""

    fingerprint: str = "scripted"

    def plan(self, requests: Sequence[PlanRequest]) -> list[Sequence[Plan] | ClipError]:
        return [() if r.key.startswith("planless") else (FIRST, SECOND, THIRD, FOURTH) for r in requests]


@dataclass(frozen=True)
class ScriptedScorer:
    """Scores by the key and the kinds of the actions."""

    fingerprint: str = "scripted"
    margins: tuple[float, float] = (0.01, 0.01)

    def score(self, views: Sequence[ClipView]) -> list[Scores | ClipError]:
        return [self._score(view) for view in views]

    def _score(self, view: ClipView) -> Scores | ClipError:
        kinds = [action.kind for action in view.actions]
        match view.ref.key.split("-")[0]:
            case "threshold":
                return Scores(alignment=0.9, synchronization=0.9)
            case "silent":
                return Scores(
                    alignment=None, synchronization=None, alignment_note="muted", synchronization_note="muted"
                )
            case "broken" if os.environ.get(MENDED):
                return _both(0.9 if "wiener_filter" in kinds else 0.5)
            case "broken":
                return ModelError("no scores today", reason=FailureReason.MODEL_FAILED)
            case "fixable":
                return _both(0.9 if "wiener_filter" in kinds else 0.5)
            case "second":
                return _both(0.9 if "volume" in kinds else 0.3 if kinds else 0.5)
            case "twice":
                return _both(0.5 + 0.2 * len(kinds))
            case _:
                return _both(0.5)


def _both(value: float) -> Scores:
    return Scores(alignment=value, synchronization=value)
