"""A person's word on what the loop decided: clips and rules, and what becomes of a decision by them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from avagent.core.actions import ACTIONS, NOISE_FILTERS, Action
from avagent.core.errors import ParameterError
from avagent.core.history import History, Round
from avagent.core.scores import Evaluation
from avagent.core.state import ClipDecision, Outcome, Review, Verdict

UNSURE = frozenset({"shift", "speed", "pitch", *NOISE_FILTERS})
"""Actions that are for something more or less sure; what others are for is read off the samples."""
REJECTED = "rejected_by_review"
"""The reason of a clip whose edit a person rejected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Edits that are rejected unless their clip is accepted by itself.

    Attributes:
        action: kind of the action.
        below: only where the confidence in what it is for lies below this, in (0, 1]; None: always.

    Raises:
        ParameterError: an unknown action, a bound that is not in (0, 1].
    """

    action: str
    below: float | None = None

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ParameterError(f"a rule is about one of {', '.join(ACTIONS)}, got {self.action!r}")
        if self.below is not None and not (math.isfinite(self.below) and 0.0 < self.below <= 1.0):
            raise ParameterError(f"a rule's bound must lie in (0, 1], got {self.below!r}")

    def rejects(self, decision: ClipDecision, action: Action) -> bool:
        """Whether this edit of the clip is meant."""
        return action.kind == self.action and (self.below is None or confidence(decision, action) < self.below)

    def __str__(self) -> str:
        return f"no {self.action}" if self.below is None else f"no {self.action} under confidence {self.below:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipVerdict:
    """A person's word on one clip, which goes before any rule.

    Attributes:
        key, shard, content_sha256: of the clip; the shard by its name.
        verdict: whether its edit is kept.
    """

    key: str
    shard: str
    content_sha256: str
    verdict: Verdict

    @property
    def place(self) -> tuple[str, str, str]:
        """What tells the clip from others."""
        return self.shard, self.key, self.content_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewFile:
    """What a person said of a run's decisions.

    Attributes:
        fingerprint: of the configuration that decided.
        reviewer: who, as far as they said.
        rules: in order; the first that is about an edit rejects it.
        clips: each at most once.

    Raises:
        ParameterError: two verdicts on one clip.
    """

    fingerprint: str
    reviewer: str = ""
    rules: tuple[Rule, ...] = ()
    clips: tuple[ClipVerdict, ...] = ()

    def __post_init__(self) -> None:
        places = [clip.place for clip in self.clips]
        if len(set(places)) != len(places):
            twice = next(place for place in places if places.count(place) > 1)
            raise ParameterError(f"clip {twice[1]!r} of {twice[0]} is judged twice")


def confidence(decision: ClipDecision, action: Action) -> float:
    """How sure the fault was that an action is for, before anything was edited, in [0, 1].

    Of a shift or a change of tempo: the probability that the sound is out of time; of a noise filter: the confidence in
    the noise or the hum that was measured; of a transposition: in the pitch. What is read off the samples is sure.
    """
    facts, history = decision.facts, decision.history
    match action.kind:
        case "shift" | "speed":
            timing = (history.original.timing if history else None) or (facts.timing if facts else None)
            return timing.out_of_time if timing is not None else 0.0
        case "pitch":
            return facts.pitch.confidence if facts is not None and facts.pitch is not None else 0.0
        case kind if kind in NOISE_FILTERS:
            found = (facts.snr, facts.hum) if facts is not None else ()
            return max((estimate.confidence for estimate in found if estimate is not None), default=0.0)
        case _:
            return 1.0


def reviewed(
    decision: ClipDecision, verdict: Verdict | None, rules: Iterable[Rule], reviewer: str = ""
) -> ClipDecision:
    """The decision as it is by a person's word on the clip, or else by the rules.

    Where rules reject a part of what was done, the clip leaves with the last sound that was accepted before: what was
    never scored is never written.

    Args:
        decision: of the loop.
        verdict: on the clip itself; None: there is none.
        rules: for all clips.
        reviewer: who says so.
    """
    if not decision.actions:
        return decision
    if verdict is not None:
        word = Review(verdict=verdict, reviewer=reviewer)
        return replace(decision, review=word) if verdict is Verdict.ACCEPTED else _rejected(decision, word)
    found = ((rule, action) for rule in rules for action in decision.actions if rule.rejects(decision, action))
    hits = {action: rule for rule, action in reversed(list(found))}
    if not hits:
        return decision
    rule = next(iter(reversed(hits.values())))
    word = Review(verdict=Verdict.REJECTED, rule=str(rule), reviewer=reviewer)
    kept = _before(decision.history, frozenset(hits))
    return _rejected(decision, word) if kept is None else _with_less(decision, kept, word)


def _before(history: History | None, rejected: frozenset[Action]) -> Round | None:
    """The last accepted round none of whose actions is rejected."""
    rounds = history.rounds if history else ()
    return next((r for r in reversed(rounds) if r.accepted and not rejected & set(r.actions)), None)


def _rejected(decision: ClipDecision, word: Review) -> ClipDecision:
    evaluation = decision.evaluation
    return replace(
        decision,
        outcome=Outcome.UNCHANGED,
        reason=REJECTED,
        actions=(),
        history=_kept_up_to(decision.history, 0),
        evaluation=None if evaluation is None else Evaluation(before=evaluation.before, after=evaluation.before),
        review=word,
    )


def _with_less(decision: ClipDecision, kept: Round, word: Review) -> ClipDecision:
    history = _kept_up_to(decision.history, kept.number)
    return replace(decision, actions=kept.actions, history=history, evaluation=None, review=word)


def _kept_up_to(history: History | None, number: int) -> History | None:
    """Later rounds count as not accepted: the record tells what became of the clip."""
    if history is None:
        return None
    rounds = tuple(r if r.number <= number else replace(r, accepted=False) for r in history.rounds)
    return replace(history, rounds=rounds)
