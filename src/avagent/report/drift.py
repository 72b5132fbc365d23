"""What changed since an earlier run: totals side by side, and what became of the clips that both runs saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc  # pyright: ignore[reportMissingTypeStubs]

from avagent.core.state import Outcome
from avagent.records.manifest import CLIPS_FILE
from avagent.report.facts import SCORES, RunFacts, Values, batches, numbers, read_facts

# pyarrow carries no types
_pc: Any = pc

_OUTCOMES = [str(outcome) for outcome in Outcome]
_COLUMNS = ("content_sha256", "outcome", *(f"{score}_after" for score in SCORES))
_DIGITS = 16

Heads = npt.NDArray[np.uint64]


@dataclass(slots=True, kw_only=True)
class Drift:
    """An earlier run beside this one.

    Attributes:
        previous: its folder.
        facts: of its tables.
        common: clips of the same content in both.
        became: of these, by outcome then and now.
        differences: of these, by score: how many were scored both times, and the mean of now less then.
    """

    previous: str
    facts: RunFacts
    common: int = 0
    became: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    differences: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])

    @property
    def changed(self) -> int:
        """Common clips with another outcome."""
        return sum(count for (before, after), count in self.became.items() if before != after)


def read_drift(output: str, previous: str) -> Drift:
    """Compare two finished runs. Holds 32 bytes a clip of the earlier one. Raises UsageError."""
    drift = Drift(previous=previous, facts=read_facts(previous))
    heads, outcomes, scores = _sorted(list(map(_part, batches(previous, CLIPS_FILE, _COLUMNS))))
    sums: dict[str, tuple[int, float]] = dict.fromkeys(SCORES, (0, 0.0))
    for batch in batches(output, CLIPS_FILE, _COLUMNS):
        found, now, after = _part(batch)
        at = np.searchsorted(heads, found)
        at[at == heads.size] = 0
        same = (heads[at] == found) if heads.size else np.zeros(found.size, bool)
        drift.common += int(same.sum())
        codes = (
            outcomes[at[same]].astype(np.int64) * len(_OUTCOMES) + now[same] if heads.size else np.zeros(0, np.int64)
        )
        for code, count in enumerate(np.bincount(codes, minlength=len(_OUTCOMES) ** 2).tolist()):
            drift.became[_OUTCOMES[code // len(_OUTCOMES)], _OUTCOMES[code % len(_OUTCOMES)]] += count
        for row, name in enumerate(SCORES):
            change = (after[row][same] - scores[row][at[same]]) if heads.size else np.zeros(0)
            known = change[~np.isnan(change)]
            sums[name] = sums[name][0] + known.size, sums[name][1] + float(known.sum())
    drift.differences = {name: (count, total / count) for name, (count, total) in sums.items() if count}
    return drift


def outcome_rows(now: RunFacts, then: RunFacts) -> list[tuple[str, int, float, int, float]]:
    """Outcome, clips and share then, clips and share now."""
    return [
        (name, then.outcomes[name], _share(then, name), now.outcomes[name], _share(now, name)) for name in _OUTCOMES
    ]


def mean_rows(now: RunFacts, then: RunFacts) -> list[tuple[str, str, float, float]]:
    """Score, when, mean then and now, of the clips that were scored before and after."""
    rows: list[tuple[str, str, float, float]] = []
    for name in SCORES:
        old, new = then.scores[name].means, now.scores[name].means
        if old is not None and new is not None:
            rows += [(name, when, old[i], new[i]) for i, when in enumerate(("before", "after"))]
    return rows


def action_rows(now: RunFacts, then: RunFacts) -> list[tuple[str, int, int]]:
    """Action, rounds kept then and now."""
    kinds = sorted(set(now.actions) | set(then.actions))
    return [(kind, _kept(then, kind), _kept(now, kind)) for kind in kinds]


def _kept(facts: RunFacts, kind: str) -> int:
    found: Mapping[str, Any] = facts.actions
    return found[kind].kept if kind in found else 0


def _share(facts: RunFacts, outcome: str) -> float:
    return facts.outcomes[outcome] / facts.clips if facts.clips else 0.0


_Part = tuple[Heads, npt.NDArray[np.int8], npt.NDArray[np.float64]]
"""Heads of content hashes, numbers of outcomes, scores [2, rows]; only of clips that could be read."""


def _part(batch: Any) -> _Part:
    readable = _pc.equal(_pc.utf8_length(batch.column("content_sha256")), 64)
    batch = batch.filter(readable)
    digits = "".join(_pc.utf8_slice_codeunits(batch.column("content_sha256"), 0, _DIGITS).to_pylist())
    heads = np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64)
    outcomes = np.array([_OUTCOMES.index(name) for name in batch.column("outcome").to_pylist()], np.int8)
    return heads, outcomes, np.stack([numbers(batch, f"{score}_after") for score in SCORES])


def _sorted(parts: Sequence[_Part]) -> _Part:
    if not parts:
        return np.empty(0, np.uint64), np.empty(0, np.int8), np.empty((len(SCORES), 0))
    heads = np.concatenate([part[0] for part in parts])
    order = np.argsort(heads, kind="stable")
    scores: Values = np.concatenate([part[2] for part in parts], axis=1)[:, order]
    return heads[order], np.concatenate([part[1] for part in parts])[order], scores
