"""The elements that travel through the pipeline: a few KB each, never media."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from avagent.core.actions import Action
from avagent.core.captions import Captions
from avagent.core.clip import ClipRef
from avagent.core.decide import Accept, Policy, Retry, Stop, StopReason, decide
from avagent.core.errors import Failure
from avagent.core.facts import Facts
from avagent.core.history import Base, History
from avagent.core.plan import Plan


class Outcome(StrEnum):
    """What became of a clip."""

    IMPROVED = "improved"
    UNCHANGED = "unchanged"
    NOT_EVALUABLE = "not_evaluable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipState:
    """A clip on its way through captioning and the rounds.

    Attributes:
        ref: where the clip lies.
        captions: once captioned.
        facts: of the original sound, once measured.
        history: once scored.
        base, plan: what is being tried in the round under way.
        failure: set once, and final: later stages pass the clip through.
        seconds: time spent on the round under way, in s.
    """

    ref: ClipRef
    captions: Captions | None = None
    facts: Facts | None = None
    history: History | None = None
    base: Base = Base.ORIGINAL
    plan: Plan | None = None
    failure: Failure | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipDecision:
    """The end of a clip's way: all that is needed to apply it, and why.

    Attributes:
        ref: where the clip lies.
        outcome: what becomes of it.
        reason: a stop reason, a note of the scorer, or a failure's reason.
        actions: to apply to the original sound, in order.
        captions, facts, history: the record.
        failure: for `failed` only.
    """

    ref: ClipRef
    outcome: Outcome
    reason: str
    actions: tuple[Action, ...] = ()
    captions: Captions | None = None
    facts: Facts | None = None
    history: History | None = None
    failure: Failure | None = None


def conclude(state: ClipState, policy: Policy) -> ClipDecision | None:
    """The clip's decision, or None if it is to be planned again."""
    if state.failure is not None:
        return _decision(state, Outcome.FAILED, state.failure.reason)
    if state.history is None:
        return None
    match decide(state.history, policy):
        case Retry():
            return None
        case Accept(actions, reason):
            return _decision(state, Outcome.IMPROVED, reason, actions)
        case Stop(StopReason.NOT_EVALUABLE as reason):
            return _decision(state, Outcome.NOT_EVALUABLE, ",".join(state.history.original.notes) or reason)
        case Stop(reason):
            return _decision(state, Outcome.UNCHANGED, reason)


def _decision(state: ClipState, outcome: Outcome, reason: str, actions: tuple[Action, ...] = ()) -> ClipDecision:
    return ClipDecision(
        ref=state.ref,
        outcome=outcome,
        reason=str(reason),
        actions=actions,
        captions=state.captions,
        facts=state.facts,
        history=state.history,
        failure=state.failure,
    )
