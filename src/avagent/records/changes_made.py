"""How far edited sounds are from the originals, over a run: quantiles, and the clips that changed most."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from avagent.core.effect import EditEffect
from avagent.core.state import ClipDecision

MOST_CHANGED = 20
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_STEPS: Mapping[str, float] = {"si_sdr": 0.5, "loudness_change": 0.5, "moved_ms": 5.0, "tempo_change": 0.1}
"""Width of the classes that quantiles are read from: memory does not grow with the run."""


class ChangesMade:
    """Filled with a run's decisions, one after the other."""

    def __init__(self) -> None:
        self._edited = 0
        self._unmeasured = 0
        self._classes: dict[str, Counter[int]] = {name: Counter() for name in _STEPS}
        self._most: list[tuple[float, int, dict[str, Any]]] = []

    def add(self, shard: str, decision: ClipDecision) -> None:
        """Count a decision, if its sound was changed."""
        if not decision.actions:
            return
        self._edited += 1
        effect = effect_of(decision)
        if effect is None:
            self._unmeasured += 1
            return
        for name, step in _STEPS.items():
            value = getattr(effect, name)
            if value is not None:
                self._classes[name][round(value / step)] += 1
        row = {"key": decision.ref.key, "shard": shard, **{name: getattr(effect, name) for name in _STEPS}}
        entry = (_size(effect), -self._edited, row)
        if len(self._most) < MOST_CHANGED:
            heapq.heappush(self._most, entry)
        else:
            heapq.heappushpop(self._most, entry)

    def record(self) -> dict[str, Any]:
        """For `run.json`: the most changed first."""
        return {
            "edited": self._edited,
            "not_measured": self._unmeasured,
            **{name: _quantiles(self._classes[name], step) for name, step in _STEPS.items()},
            "most_changed": [row for _, _, row in sorted(self._most, key=lambda entry: entry[:2], reverse=True)],
        }


def effect_of(decision: ClipDecision) -> EditEffect | None:
    """What the accepted actions did to the clip's sound; None: there are none, or it was not measured."""
    best = decision.history.best if decision.history and decision.actions else None
    return best.effect if best else None


def _size(effect: EditEffect) -> float:
    """What sounds least like the original first: another tempo or pitch, then a low SI-SDR."""
    retimed = abs(effect.tempo_change) + abs(effect.transposed)
    return 100.0 + retimed if effect.si_sdr is None else -effect.si_sdr


def _quantiles(classes: Counter[int], step: float) -> dict[str, float]:
    total = classes.total()
    found: dict[str, float] = {}
    if not total:
        return found
    seen = 0
    wanted = [(q, max(1, math.ceil(q * total))) for q in QUANTILES]
    for number in sorted(classes):
        seen += classes[number]
        while wanted and seen >= wanted[0][1]:
            found[f"{wanted.pop(0)[0]:g}"] = round(number * step, 3)
    return found
