"""The record of one clip's rounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from avagent.core.actions import Action
from avagent.core.effect import EditEffect
from avagent.core.plan import Plan
from avagent.core.reflection import Objection
from avagent.core.scores import Scores


class Base(StrEnum):
    """What a plan is applied to."""

    ORIGINAL = "original"
    CURRENT = "current"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One turn of plan, edit, score.

    Attributes:
        number: from 1.
        base: what the plan was applied to.
        plan: what was tried.
        actions: all actions from the original on: the base's accepted ones, then the plan's.
        scores: after the edit.
        accepted: whether the edit was kept.
        proposed: the plan, where only a part of it was tried, since something spoke against the rest.
        objection: what speaks against the edit by what it did; None: nothing.
        effect: what all the actions together did to the original; None: it was not measured.
        seconds: time spent on the round, in s; takes no part in comparisons.
    """

    number: int
    base: Base
    plan: Plan
    actions: tuple[Action, ...]
    scores: Scores
    accepted: bool
    proposed: Plan | None = None
    objection: Objection | None = None
    effect: EditEffect | None = None
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Scores of the original, then every round. Values only: a longer history is a new object.

    Attributes:
        original: scores before any edit.
        rounds: in order.
        exhausted: the planner had nothing (more) to propose.
    """

    original: Scores
    rounds: tuple[Round, ...] = ()
    exhausted: bool = False

    @property
    def best(self) -> Round | None:
        """The last accepted round: acceptance demands an improvement on the best so far, so the last is the best."""
        return next((r for r in reversed(self.rounds) if r.accepted), None)

    @property
    def best_scores(self) -> Scores:
        """Scores of the best audio so far."""
        return self.best.scores if self.best else self.original

    @property
    def best_actions(self) -> tuple[Action, ...]:
        """Actions that make the best audio so far from the original."""
        return self.best.actions if self.best else ()

    def tried(self, plan: Plan, actions: tuple[Action, ...]) -> bool:
        """Whether this plan was tried on any base, or these actions on the original in this order; parameters count."""
        return any(plan in (r.plan, r.proposed) or r.actions == actions for r in self.rounds)
