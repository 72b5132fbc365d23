"""Algorithm 1 of Mo & Song (NeurIPS 2024), read as meant: the loop's decisions, pure.

Its loop condition is printed the wrong way round; the text (section 3.3) means: stop when both scores reach the
threshold, else plan again. A score that is not evaluable takes no part; an edit that makes an evaluable score
impossible to evaluate is never kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from avagent.core.actions import Action
from avagent.core.effect import EditEffect
from avagent.core.errors import ParameterError
from avagent.core.history import Base, History, Round
from avagent.core.plan import Plan, uses_only
from avagent.core.reflection import Objection, mismatched
from avagent.core.scores import Scores


class Acceptance(StrEnum):
    """When an edit is kept."""

    BOTH = "both"
    """Every evaluable score improves by more than its margin (the paper's rule)."""
    PARETO = "pareto"
    """None gets worse by more than its margin, and at least one improves by more than its margin."""


class Reflection(StrEnum):
    """What an edit is judged by."""

    EFFECTS = "effects"
    """By its scores, and by what it did: see :mod:`avagent.core.reflection`."""
    SCORES = "scores"
    """By its scores alone (the paper's rule)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The loop's bounds.

    Attributes:
        threshold: both scores at or above it end the loop, in [0, 1] (paper: 0.85).
        max_rounds: rounds at most, at least 0.
        acceptance: when an edit is kept.
        reflection: what an edit is judged by.
        min_gain_alignment, min_gain_synchronization: the scorer's own noise, in score units, [0, 1).
    """

    threshold: float = 0.85
    max_rounds: int = 3
    acceptance: Acceptance = Acceptance.PARETO
    reflection: Reflection = Reflection.EFFECTS
    min_gain_alignment: float = 0.01
    min_gain_synchronization: float = 0.02

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold <= 1.0:
            raise ParameterError(f"threshold must lie in [0, 1], got {self.threshold}")
        if self.max_rounds < 0:
            raise ParameterError(f"max_rounds must be at least 0, got {self.max_rounds}")
        for name in ("min_gain_alignment", "min_gain_synchronization"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0.0 <= value < 1.0):
                raise ParameterError(f"{name} must lie in [0, 1), got {value}")


class StopReason(StrEnum):
    """Why the loop ended."""

    THRESHOLD = "threshold"
    ROUND_LIMIT = "round_limit"
    NO_PLAN = "no_plan"
    NOT_EVALUABLE = "not_evaluable"


@dataclass(frozen=True, slots=True)
class Accept:
    """The clip leaves with these actions applied."""

    actions: tuple[Action, ...]
    reason: StopReason


@dataclass(frozen=True, slots=True)
class Retry:
    """Plan again, on this base."""

    base: Base


@dataclass(frozen=True, slots=True)
class Stop:
    """The clip leaves unchanged."""

    reason: StopReason


Decision = Accept | Retry | Stop


def reaches(scores: Scores, threshold: float) -> bool:
    """Whether every evaluable score is at or above the threshold (and there is one)."""
    values = [v for v in (scores.alignment, scores.synchronization) if v is not None]
    return bool(values) and all(v >= threshold for v in values)


def improves(before: Scores, after: Scores, policy: Policy) -> bool:
    """Whether an edit is kept under the policy.

    Args:
        before: scores of the best audio so far.
        after: scores of the edited audio.
    """
    pairs = (
        (before.alignment, after.alignment, policy.min_gain_alignment),
        (before.synchronization, after.synchronization, policy.min_gain_synchronization),
    )
    if any(b is not None and a is None for b, a, _ in pairs):
        return False
    gains = [(a - b, margin) for b, a, margin in pairs if b is not None and a is not None]
    if not gains:
        return False
    match policy.acceptance:
        case Acceptance.BOTH:
            return all(gain > margin for gain, margin in gains)
        case Acceptance.PARETO:
            return all(gain >= -margin for gain, margin in gains) and any(gain > margin for gain, margin in gains)


def decide(history: History, policy: Policy) -> Decision:
    """What happens next to a clip with this history."""
    reason = _stop_reason(history, policy)
    if reason is None:
        last = history.rounds[-1] if history.rounds else None
        return Retry(Base.CURRENT if last is not None and last.accepted else Base.ORIGINAL)
    if history.best is not None:
        return Accept(history.best.actions, reason)
    return Stop(reason)


def _stop_reason(history: History, policy: Policy) -> StopReason | None:
    if not history.original.evaluable:
        return StopReason.NOT_EVALUABLE
    if reaches(history.best_scores, policy.threshold):
        return StopReason.THRESHOLD
    if history.exhausted:
        return StopReason.NO_PLAN
    if len(history.rounds) >= policy.max_rounds:
        return StopReason.ROUND_LIMIT
    return None


def base_actions(history: History, base: Base) -> tuple[Action, ...]:
    """The actions that make the base of the next edit from the original."""
    match base:
        case Base.ORIGINAL:
            return ()
        case Base.CURRENT:
            return history.best_actions


def choose_plan(candidates: Sequence[Plan], history: History, base: Base, allowed: frozenset[str]) -> Plan:
    """The first ranked candidate that is allowed and was not tried yet; the empty plan if there is none.

    An empty candidate means that the planner sees nothing to mend from there on: it ends the search.
    """
    before = base_actions(history, base)
    for plan in candidates:
        if plan.empty:
            return plan
        if uses_only(plan, allowed) and not history.tried(plan, before + plan.actions):
            return plan
    return Plan(rationale="every candidate was tried or is not allowed" if candidates else "no candidate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of a round besides its scores.

    Attributes:
        effect: what the edit did; None: it was not measured.
        objection: what speaks against the edit by what it did.
        proposed: the plan, where only a part of it was tried.
        seconds: that the round took.
    """

    effect: EditEffect | None = None
    objection: Objection | None = None
    proposed: Plan | None = None
    seconds: float = 0.0


UNSEEN = Seen()


def record_round(
    history: History, base: Base, plan: Plan, scores: Scores, policy: Policy, seen: Seen = UNSEEN
) -> History:
    """The history after one more round: the edit is judged against the best audio so far.

    Args:
        history: the rounds so far.
        base, plan: what was edited, and how.
        scores: of the edited sound.
        policy: when an edit is kept.
        seen: what else is known of the round; where the edit was measured, the pair is judged as well.
    """
    objection = seen.objection
    judged = seen.effect is not None and policy.reflection is Reflection.EFFECTS
    if objection is None and judged and mismatched(scores):
        objection = Objection.MISMATCHED
    done = Round(
        number=len(history.rounds) + 1,
        base=base,
        plan=plan,
        actions=base_actions(history, base) + plan.actions,
        scores=scores,
        accepted=objection is None and improves(history.best_scores, scores, policy),
        proposed=seen.proposed,
        objection=objection,
        effect=seen.effect,
        seconds=seen.seconds,
    )
    return replace(history, rounds=(*history.rounds, done))


def record_exhausted(history: History) -> History:
    """The history after the planner answered with an empty plan."""
    return replace(history, exhausted=True)
