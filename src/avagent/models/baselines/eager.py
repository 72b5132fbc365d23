"""A planner that proposes every admissible action, the strongest first, whether anything is wrong or not.

It is no use for repairs. What the loop keeps of its proposals on clean clips is harm: it measures how well the
reflection protects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from avagent.core.actions import (
    Action,
    Coordination,
    FillBlanks,
    NoiseFilter,
    Pitch,
    Shift,
    SpectralGate,
    SpectralSubtraction,
    Speed,
    Volume,
    WaveletDenoise,
    WienerFilter,
)
from avagent.core.errors import ClipError
from avagent.core.facts import Facts
from avagent.core.plan import Plan, uses_only
from avagent.core.ports import PlanRequest

REVISION = 1
"""Raised with every change that changes plans."""

STRONG_FILTERS: tuple[NoiseFilter, ...] = (
    SpectralSubtraction(over_subtraction=8.0, floor_db=-60.0),
    WienerFilter(strength=8.0, floor_db=-60.0),
    WaveletDenoise(strength=4.0),
    SpectralGate(threshold_db=20.0, reduction_db=60.0),
)
MILD_FILTERS: tuple[NoiseFilter, ...] = (
    SpectralSubtraction(),
    WienerFilter(),
    WaveletDenoise(),
    SpectralGate(),
)
STRONG_CHANGES: tuple[Coordination, ...] = (
    Volume(target_lufs=-14.0, mode="dynamic", declip=True),
    Speed(factor=1.1, mode="resample"),
    Speed(factor=0.9),
    Pitch(semitones=4.0),
    Pitch(semitones=-4.0),
    Shift(milliseconds=300.0),
    Shift(milliseconds=-300.0),
    FillBlanks(min_gap_ms=0.5, max_gap_ms=2000.0, coded=True),
    Volume(),
)


@dataclass(frozen=True, kw_only=True)
class EagerPlanner:
    """Proposes everything that is allowed. Deterministic; loads nothing."""

    @property
    def fingerprint(self) -> str:
        """Name and revision."""
        return f"eager-planner(r{REVISION})"

    def plan(self, requests: Sequence[PlanRequest]) -> list[Sequence[Plan] | ClipError]:
        """All plans for each request, the strongest first; none where there is no sound."""
        return [eager_plans(request) for request in requests]


def eager_plans(request: PlanRequest) -> tuple[Plan, ...]:
    """Strong filters, then what the measured facts give an amount for, then every other change; last, pairs of both."""
    facts = request.facts
    if facts is None or facts.muted:
        return ()
    measured = tuple(_measured(facts))
    changes = (*measured, *STRONG_CHANGES)
    singles = [_plan(action) for action in (*STRONG_FILTERS, *changes, *MILD_FILTERS)]
    pairs = [
        Plan(noise=filter_, coordination=change, rationale="eager")
        for filter_, change in product((*STRONG_FILTERS, *MILD_FILTERS), changes)
    ]
    return tuple(plan for plan in (*singles, *pairs) if uses_only(plan, request.allowed))


def _plan(action: Action) -> Plan:
    if isinstance(action, NoiseFilter):
        return Plan(noise=action, rationale="eager")
    return Plan(coordination=action, rationale="eager")


def _measured(facts: Facts) -> Iterator[Coordination]:
    """Changes by what was measured, however little it may mean."""
    if facts.lag is not None and abs(facts.lag.value) <= 10_000.0:
        yield Shift(milliseconds=round(-facts.lag.value, 1))
    mismatch = facts.duration_mismatch
    if mismatch is not None and facts.duration > max(mismatch, 0.0):
        factor = round(facts.duration / (facts.duration - mismatch), 4)
        if 0.5 <= factor <= 2.0 and factor != 1.0:
            yield Speed(factor=factor)
