"""The elements that travel through the pipeline: a few KB each, never media."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from avagent.core.actions import Action
from avagent.core.captions import Captions
from avagent.core.clip import ClipRef
from avagent.core.decide import (
    Accept,
    Policy,
    Retry,
    Seen,
    Stop,
    StopReason,
    base_actions,
    choose_plan,
    decide,
    record_exhausted,
    record_round,
)
from avagent.core.effect import EditEffect
from avagent.core.errors import ClipError, Failure, FailureReason
from avagent.core.evidence import NEAR_SILENT
from avagent.core.facts import Facts
from avagent.core.history import Base, History, Round
from avagent.core.plan import Plan
from avagent.core.reflection import Objection
from avagent.core.scores import Evaluation, Scores

PASSING_REASONS = frozenset(
    {
        FailureReason.UNREADABLE_SHARD,
        FailureReason.CHANGED_SINCE_LISTED,
        FailureReason.MODEL_FAILED,
        FailureReason.WRITE_FAILED,
        FailureReason.DECODER_TIMED_OUT,
    }
)
"""Causes of failure that may be gone at the next try, though the clip is the same."""


LEFT_AS_IT_IS = frozenset(
    {
        FailureReason.UNSUPPORTED_EDIT_LIST,
        FailureReason.UNSUPPORTED_MEDIA,
        FailureReason.UNSUPPORTED_SOUND,
        FailureReason.UNSUPPORTED_STREAM,
    }
)
"""Why a repair cannot be written though the clip is sound: it leaves as it came, not as a dead letter."""


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
        base, plan, scores: what is being tried in the round under way, and what it scored.
        proposed: the plan, where only a part of it is being tried.
        effect, objection: what the edit of that round did, and what speaks against it.
        failure: set once, and final: later stages pass the clip through.
        seconds: time spent on the round under way, in s.
        known_facts: of the original sound, from an earlier run: they are not measured again.
        known_rounds: of an earlier run of the same editor and scorer: what was scored then is not scored again.
    """

    ref: ClipRef
    captions: Captions | None = None
    facts: Facts | None = None
    history: History | None = None
    base: Base = Base.ORIGINAL
    plan: Plan | None = None
    scores: Scores | None = None
    proposed: Plan | None = None
    effect: EditEffect | None = None
    objection: Objection | None = None
    failure: Failure | None = None
    seconds: float = 0.0
    known_facts: Facts | None = None
    known_rounds: tuple[Round, ...] = ()


class Verdict(StrEnum):
    """What a person says of an edit."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A person's word on a decision: see :mod:`avagent.core.review`.

    Attributes:
        verdict: whether the edit is kept; a rule only rejects.
        rule: in words; None: the clip itself was looked at.
        reviewer: who, as far as they said.
    """

    verdict: Verdict
    rule: str | None = None
    reviewer: str = ""


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
        evaluation: by a held-out scorer, after everything was decided; None: the recipe names none.
        remark: what stands behind the reason, in words; None: nothing more.
        review: a person's word on it; None: it is the loop's alone.
    """

    ref: ClipRef
    outcome: Outcome
    reason: str
    actions: tuple[Action, ...] = ()
    captions: Captions | None = None
    facts: Facts | None = None
    history: History | None = None
    failure: Failure | None = None
    evaluation: Evaluation | None = None
    remark: str | None = None
    review: Review | None = None

    @property
    def settled(self) -> bool:
        """Whether the same clip would end like this again: not if it failed by chance."""
        return self.failure is None or self.failure.reason not in PASSING_REASONS


def resumed(ref: ClipRef, known: ClipDecision, *, captions: bool, scores: bool) -> ClipState:
    """A clip on its way with what an earlier run found out about it.

    Args:
        ref: where the clip lies now.
        known: the earlier decision on the same content, read and measured in the same way.
        captions: whether its captions still hold.
        scores: whether the scores of its original and of its edits still hold.
    """
    history = known.history if scores else None
    if history is not None and not captions and NEAR_SILENT in history.original.notes:
        history = None
    rounds = history.rounds if history else ()
    if not captions:
        # What speaks against an edit may depend on what is heard and seen.
        rounds = tuple(replace(done, effect=None, objection=None) for done in rounds)
    return ClipState(
        ref=ref,
        captions=known.captions if captions else None,
        history=History(original=history.original) if history else None,
        known_facts=known.facts,
        known_rounds=rounds,
    )


def failed(state: ClipState, error: ClipError) -> ClipState:
    """The clip on its way to the dead letters."""
    return replace(state, failure=error.failure(), plan=None, scores=None)


def next_base(state: ClipState, policy: Policy) -> Base | None:
    """What the clip's next plan applies to; None if the clip is not to be planned again."""
    if state.failure is not None or state.history is None:
        return None
    decision = decide(state.history, policy)
    return decision.base if isinstance(decision, Retry) else None


def with_plan(state: ClipState, candidates: Sequence[Plan], base: Base, allowed: frozenset[str]) -> ClipState:
    """The clip with the first candidate worth trying, scored if that is known; without one it is exhausted."""
    if state.history is None:
        raise ValueError(f"clip {state.ref.key!r} is planned before it is scored")
    plan = choose_plan(candidates, state.history, base, allowed)
    if plan.empty:
        return replace(state, history=record_exhausted(state.history), base=base, plan=None)
    actions = base_actions(state.history, base) + plan.actions
    known = next((done for done in state.known_rounds if done.actions == actions), None)
    if known is None:
        return replace(state, base=base, plan=plan, scores=None)
    return replace(state, base=base, plan=plan, scores=known.scores, effect=known.effect, objection=known.objection)


def with_part(state: ClipState, part: Plan) -> ClipState:
    """The clip with only a part of what was proposed; scored if that is known."""
    if state.history is None or part == state.plan:
        return state
    actions = base_actions(state.history, state.base) + part.actions
    known = next((done.scores for done in state.known_rounds if done.actions == actions), None)
    return replace(state, plan=part, proposed=state.plan, scores=known)


def with_scores(state: ClipState, policy: Policy) -> ClipState:
    """The clip with the round under way, if any, closed and recorded."""
    if state.scores is None:
        return state
    if state.history is None or state.plan is None:
        history = History(original=state.scores)
    else:
        seen = Seen(effect=state.effect, objection=state.objection, proposed=state.proposed, seconds=state.seconds)
        history = record_round(state.history, state.base, state.plan, state.scores, policy, seen)
    return replace(
        state, history=history, plan=None, proposed=None, scores=None, effect=None, objection=None, seconds=0.0
    )


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
