"""The finite set of answers that a planner LLM chooses from, and the plan that each stands for.

The LLM says *which* noise filter and *which* coordination action; *how much* comes from measured facts. An action whose
amount no fact gives (a shift without a measured lag, any transposition) is not offered here; the decoding `generate`,
in which the LLM names parameters itself, may still choose it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from avagent.core.actions import (
    COORDINATIONS,
    NOISE_FILTERS,
    Action,
    Coordination,
    NoiseFilter,
    Speed,
    Volume,
)
from avagent.core.captions import Captions
from avagent.core.decide import base_actions
from avagent.core.errors import ParameterError
from avagent.core.facts import Facts
from avagent.core.history import Base
from avagent.core.plan import Plan
from avagent.core.ports import PlanRequest
from avagent.models.embedded.remedies import TARGET_LUFS, coordination_findings, noise_filters, noise_finding

REVISION = 1
"""Raised with every change of the answers or of what they stand for."""

NONE = "none"
SEPARATOR = ", "
LEAST_LAG_MS, LEAST_MISMATCH, LEAST_LU = 20.0, 0.002, 1.0
"""Smaller deviations are neither heard nor measured with certainty; the mismatch is a share of the duration."""

_UNHEARD = Captions(audio=None, video=None)
"""Parameters come from facts alone, so that no caption can change them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One admissible answer.

    Attributes:
        noise, coordination: kinds of action; None: none of that sort.
    """

    noise: str | None = None
    coordination: str | None = None

    @property
    def answer(self) -> str:
        """What the LLM is trained to write, and what is ranked, such as `wiener_filter, none`."""
        return f"{self.noise or NONE}{SEPARATOR}{self.coordination or NONE}"

    def plan(self, request: PlanRequest) -> Plan:
        """The answer with parameters from the facts: the strongest remedies that were not tried yet on this base.

        From the original, an accepted action stays beside a new one, as it would be lost otherwise.

        Raises:
            ParameterError: the choice is not admissible for this request.
        """
        if self.noise is None and self.coordination is None:
            return Plan()
        before = base_actions(request.history, request.base)
        plans = [
            Plan(noise=noise, coordination=coordination)
            for noise in _filters(self.noise, request)
            for coordination in _coordinations(self.coordination, request)
        ]
        return next((p for p in plans if not request.history.tried(p, before + p.actions)), plans[0])


def admissible(request: PlanRequest) -> tuple[Choice, ...]:
    """Every answer that makes sense for a request, in a fixed order; the last one is to do nothing.

    Only this last one is left where there is no sound, or nothing but silence. Captions take no part.
    """
    facts = request.facts
    if facts is None or facts.muted:
        return (Choice(),)
    filters = [kind for kind in NOISE_FILTERS if kind in request.allowed and not _filtered(request)]
    actions = [kind for kind in COORDINATIONS if kind in request.allowed and _remedies(kind, facts)]
    return tuple(Choice(noise=n, coordination=c) for n in (*filters, None) for c in (*actions, None))


def choice_of(actions: Sequence[Action]) -> Choice:
    """The choice that stands for these actions: one noise filter and one coordination action at most.

    Raises:
        ValueError: there are two of a sort.
    """
    noise = [a.kind for a in actions if isinstance(a, NoiseFilter)]
    coordination = [a.kind for a in actions if isinstance(a, Coordination)]
    if len(noise) > 1 or len(coordination) > 1:
        raise ValueError(f"one choice holds one action of a sort, got {', '.join(a.kind for a in actions)}")
    return Choice(noise=next(iter(noise), None), coordination=next(iter(coordination), None))


def _filtered(request: PlanRequest) -> bool:
    """Whether what the plan applies to was already filtered: twice does more harm than good."""
    before = base_actions(request.history, request.base)
    return any(isinstance(action, NoiseFilter) for action in before)


def _kept(request: PlanRequest) -> tuple[Action, ...]:
    """Accepted actions that a plan for the original has to bring along, the last first."""
    return request.history.best_actions[::-1] if request.base is Base.ORIGINAL else ()


def _filters(kind: str | None, request: PlanRequest) -> Sequence[NoiseFilter | None]:
    kept = [a for a in _kept(request) if isinstance(a, NoiseFilter)][:1]
    if kind is None:
        return kept or [None]
    facts = request.facts
    found = noise_finding(facts, _UNHEARD) if facts is not None else None
    remedies = list(found.remedies) if found is not None else []
    if facts is not None and facts.snr is not None:
        remedies += noise_filters(facts.snr.value, facts.noise_colour)
    return [a for a in (*kept, *remedies) if a.kind == kind][:1] or [NOISE_FILTERS[kind]()]


def _coordinations(kind: str | None, request: PlanRequest) -> Sequence[Coordination | None]:
    kept = [a for a in _kept(request) if isinstance(a, Coordination)][:1]
    if kind is None:
        return kept or [None]
    fresh = _remedies(kind, request.facts) if request.facts is not None else ()
    actions = [*(a for a in kept if a.kind == kind), *fresh]
    if not actions:
        raise ParameterError(f"clip {request.key!r}: no measured fact says how much {kind} it needs")
    return actions


def _remedies(kind: str, facts: Facts) -> tuple[Coordination, ...]:
    """Actions of a kind with measured parameters, best first; none: no fact says how much."""
    found = [a for finding in coordination_findings(facts) for a in finding.remedies if a.kind == kind]
    return tuple(found) or _unasked(kind, facts)


def _unasked(kind: str, facts: Facts) -> tuple[Coordination, ...]:
    """The same where the facts alone would not call for the action: whether they should is the LLM's to say."""
    if kind == "speed" and facts.duration_mismatch is not None:
        picture = facts.duration - facts.duration_mismatch
        if picture > 0.0 and abs(facts.duration_mismatch) >= LEAST_MISMATCH * picture:
            factor = round(facts.duration / picture, 4)
            if 0.5 <= factor <= 2.0:
                return Speed(factor=factor), Speed(factor=factor, mode="resample")
    if kind == "volume" and facts.loudness is not None:
        if facts.clipping > 0.0:
            return (Volume(target_lufs=TARGET_LUFS, declip=True),)
        if abs(facts.loudness - TARGET_LUFS) >= LEAST_LU:
            return (Volume(target_lufs=TARGET_LUFS),)
    return ()
