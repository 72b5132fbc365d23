"""A policy over measured facts: which fault is there, which action mends it, how strongly, and what to try next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from avagent.core.actions import Action, Coordination, NoiseFilter
from avagent.core.errors import ClipError
from avagent.core.history import Base, History
from avagent.core.plan import Plan, uses_only
from avagent.core.ports import PlanRequest
from avagent.models.embedded.remedies import coordination_findings, noise_finding

REVISION = 3
"""Raised with every change of a threshold or a rule that changes plans."""

FAILED_IDEA = 4.0
"""Ranks that a plan loses for every failed round with the same kinds of action: later rounds try other ideas."""

Option = tuple[float, str, Action | None]
"""Rank (0 is best), why, and the action."""


@dataclass(frozen=True, kw_only=True)
class EmbeddedPlanner:
    """Plans from :class:`~avagent.core.facts.Facts`, scores and history. Deterministic; loads nothing."""

    @property
    def fingerprint(self) -> str:
        """Name and revision of the policy."""
        return f"embedded-planner(r{REVISION})"

    def plan(self, requests: Sequence[PlanRequest]) -> list[Sequence[Plan] | ClipError]:
        """Candidates for each request, best first; none where the facts call for no action."""
        return [rank_plans(request) for request in requests]


def rank_plans(request: PlanRequest) -> tuple[Plan, ...]:
    """All sensible plans for one clip, the likeliest first; empty where there is nothing to mend."""
    facts = request.facts
    if facts is None or facts.muted:
        return ()
    noise, coordination = _noise_options(request), _coordination_options(request)
    ranked: list[tuple[float, int, Plan]] = []
    for (noise_rank, noise_why, first), (rank, why, second) in product(noise, coordination):
        plan = Plan(
            noise=first if isinstance(first, NoiseFilter) else None,
            coordination=second if isinstance(second, Coordination) else None,
            rationale="; ".join(w for w in (noise_why, why) if w),
        )
        if not plan.empty and uses_only(plan, request.allowed):
            ranked.append((noise_rank + rank + FAILED_IDEA * _failures(plan, request.history), len(ranked), plan))
    distinct: dict[tuple[Action, ...], Plan] = {}
    for _, _, plan in sorted(ranked, key=lambda entry: entry[:2]):
        distinct.setdefault(plan.actions, plan)
    return tuple(distinct.values())


def _noise_options(request: PlanRequest) -> list[Option]:
    """Filters, and last the thought that no filter is needed after all."""
    facts, accepted = request.facts, _accepted(request)
    found = None if facts is None else noise_finding(facts, request.captions)
    options: list[Option] = []
    kept = [a for a in accepted if isinstance(a, NoiseFilter)]
    if request.base is Base.ORIGINAL and kept:
        options.append((0.0, "keep the filter that helped", kept[-1]))
    if found is not None and not (request.base is Base.CURRENT and kept):
        options += [(float(i), found.why, a) for i, a in enumerate(found.remedies)]
        options.append((1.5, "", None))
    return _allowed(options, request) or [(0.0, "", None)]


def _coordination_options(request: PlanRequest) -> list[Option]:
    """Remedies of every other finding, and last none at all."""
    facts, accepted = request.facts, _accepted(request)
    options: list[Option] = []
    kept = [a for a in accepted if isinstance(a, Coordination)]
    if request.base is Base.ORIGINAL and kept:
        options.append((0.0, "keep the action that helped", kept[-1]))
    for i, found in enumerate(coordination_findings(facts) if facts is not None else ()):
        options += [(float(i) + 1.5 * j, found.why, a) for j, a in enumerate(found.remedies)]
    if options:
        options.append((2.5, "", None))
    return _allowed(options, request) or [(0.0, "", None)]


def _allowed(options: list[Option], request: PlanRequest) -> list[Option]:
    """Without what is not allowed; none at all if only the empty option is left."""
    left = [o for o in options if o[2] is None or o[2].kind in request.allowed]
    return left if any(o[2] is not None for o in left) else []


def _accepted(request: PlanRequest) -> tuple[Action, ...]:
    return request.history.best_actions


def _failures(plan: Plan, history: History) -> int:
    """Failed rounds that tried the same kinds of action."""
    kinds = {a.kind for a in plan.actions}
    return sum(not r.accepted and {a.kind for a in r.plan.actions} == kinds for r in history.rounds)
