"""The paper's baseline of random actions (Mo & Song, NeurIPS 2024, table 5): no look at the clip, no memory.

A plan is a noise filter, a coordination action, or one of each, all equally likely, with parameters drawn over the
range in which such actions are used. Seeded by the clip's key and the number of the round: two runs draw alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from avagent.core.actions import (
    COORDINATIONS,
    NOISE_FILTERS,
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
from avagent.core.errors import ClipError, ParameterError
from avagent.core.plan import Plan
from avagent.core.ports import PlanRequest

REVISION = 1
"""Raised with every change that changes plans."""

CANDIDATES = 3
"""Plans a request, should the first one have been tried."""


@dataclass(frozen=True, kw_only=True)
class RandomPlanner:
    """Plans at random; loads nothing.

    Attributes:
        seed: another number draws other plans.

    Raises:
        ParameterError: a negative seed.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ParameterError(f"seed must not be negative, got {self.seed}")

    @property
    def fingerprint(self) -> str:
        """Name, revision, seed."""
        return f"random-planner(r{REVISION},seed={self.seed})"

    def plan(self, requests: Sequence[PlanRequest]) -> list[Sequence[Plan] | ClipError]:
        """Random plans for each request; none where there is no sound, or nothing is allowed."""
        return [self._plans(request) for request in requests]

    def _plans(self, request: PlanRequest) -> tuple[Plan, ...]:
        if request.facts is None or request.facts.muted:
            return ()
        filters = sorted(request.allowed & NOISE_FILTERS.keys())
        changes = sorted(request.allowed & COORDINATIONS.keys())
        if not filters and not changes:
            return ()
        text = f"{self.seed} {len(request.history.rounds)} {request.key}"
        generator = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
        return tuple(_draw(filters, changes, generator) for _ in range(CANDIDATES))


def _draw(filters: Sequence[str], changes: Sequence[str], generator: np.random.Generator) -> Plan:
    sort = int(generator.integers(3))
    with_filter = bool(filters) and (sort != 1 or not changes)
    with_change = bool(changes) and (sort != 0 or not filters)
    return Plan(
        noise=_FILTERS[_one(filters, generator)](generator) if with_filter else None,
        coordination=_CHANGES[_one(changes, generator)](generator) if with_change else None,
        rationale="random",
    )


def _one(kinds: Sequence[str], generator: np.random.Generator) -> str:
    return kinds[int(generator.integers(len(kinds)))]


def _between(generator: np.random.Generator, low: float, high: float) -> float:
    """Uniform, to three digits, as it is written down."""
    return round(float(generator.uniform(low, high)), 3)


_FILTERS: Mapping[str, Callable[[np.random.Generator], NoiseFilter]] = {
    "spectral_subtraction": lambda g: SpectralSubtraction(over_subtraction=_between(g, 1.0, 8.0)),
    "wiener_filter": lambda g: WienerFilter(strength=_between(g, 0.25, 4.0)),
    "wavelet_denoise": lambda g: WaveletDenoise(strength=_between(g, 0.25, 4.0)),
    "spectral_gate": lambda g: SpectralGate(threshold_db=_between(g, 0.0, 12.0), reduction_db=_between(g, 6.0, 40.0)),
}
_CHANGES: Mapping[str, Callable[[np.random.Generator], Coordination]] = {
    "speed": lambda g: Speed(factor=_between(g, 0.85, 1.18)),
    "pitch": lambda g: Pitch(semitones=_between(g, -6.0, 6.0)),
    "volume": lambda g: Volume(target_lufs=_between(g, -35.0, -12.0), declip=bool(g.integers(2))),
    "fill_blanks": lambda g: FillBlanks(max_gap_ms=_between(g, 20.0, 2000.0), coded=bool(g.integers(2))),
    "shift": lambda g: Shift(milliseconds=_between(g, -800.0, 800.0)),
}
