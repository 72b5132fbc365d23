"""What becomes of a decision by a person's word, or by rules: nothing is written that was never scored."""

from __future__ import annotations

from dataclasses import replace

import pytest

from avagent.core.actions import Shift, Volume, WienerFilter
from avagent.core.clip import ClipRef
from avagent.core.errors import ParameterError
from avagent.core.facts import Estimate, Facts
from avagent.core.history import Base, History, Round
from avagent.core.plan import Plan
from avagent.core.review import REJECTED, ClipVerdict, ReviewFile, Rule, confidence, reviewed
from avagent.core.scores import Evaluation, Scores
from avagent.core.state import ClipDecision, Outcome, Verdict
from avagent.core.time_judgement import TimeJudgement

FILTER, SHIFT = WienerFilter(), Shift(milliseconds=-80)


def both(value: float) -> Scores:
    return Scores(alignment=value, synchronization=value)


def decided(out_of_time: float = 0.96, snr: float = 0.7) -> ClipDecision:
    """Filtered in round 1, moved on top of that in round 3; round 2 was dropped."""
    tried = (
        (Plan(noise=FILTER), Base.ORIGINAL, (FILTER,), True),
        (Plan(coordination=Volume()), Base.CURRENT, (FILTER, Volume()), False),
        (Plan(coordination=SHIFT), Base.CURRENT, (FILTER, SHIFT), True),
    )
    rounds = tuple(
        Round(number=n, base=base, plan=plan, actions=actions, scores=both(0.5 + 0.1 * n), accepted=accepted)
        for n, (plan, base, actions, accepted) in enumerate(tried, start=1)
    )
    timing = TimeJudgement(in_time=1 - out_of_time, out_of_time=out_of_time)
    return ClipDecision(
        ref=ClipRef(key="k", shard="s.tar", offset=0, length=1, content_sha256="a" * 64),
        outcome=Outcome.IMPROVED,
        reason="threshold",
        actions=(FILTER, SHIFT),
        facts=Facts(duration=1.0, rate=16_000, channels=1, snr=Estimate(3.0, snr), timing=timing),
        history=History(original=both(0.4), rounds=rounds),
        evaluation=Evaluation(before=both(0.3), after=both(0.8)),
    )


def test_what_nobody_speaks_of_stays_as_decided():
    decision = decided()
    assert reviewed(decision, None, ()) is decision
    assert reviewed(decision, None, [Rule(action="pitch")]) is decision
    unedited = replace(decision, outcome=Outcome.UNCHANGED, actions=())
    assert reviewed(unedited, Verdict.REJECTED, [Rule(action="shift")]) is unedited


def test_a_rejected_clip_leaves_unchanged_and_its_record_says_who():
    found = reviewed(decided(), Verdict.REJECTED, (), "Ada")
    assert (found.outcome, found.reason, found.actions) == (Outcome.UNCHANGED, REJECTED, ())
    assert found.review is not None
    assert (found.review.verdict, found.review.rule, found.review.reviewer) == (Verdict.REJECTED, None, "Ada")
    assert found.history is not None
    assert found.history.best is None
    assert found.evaluation == Evaluation(before=both(0.3), after=both(0.3))


def test_a_word_on_the_clip_goes_before_rules():
    found = reviewed(decided(), Verdict.ACCEPTED, [Rule(action="shift")])
    assert found.actions == (FILTER, SHIFT)
    assert found.review is not None
    assert found.review.verdict is Verdict.ACCEPTED


def test_a_rule_takes_back_to_the_last_sound_that_was_accepted_without_the_action():
    found = reviewed(decided(), None, [Rule(action="shift")])
    assert (found.outcome, found.actions) == (Outcome.IMPROVED, (FILTER,))
    assert found.history is not None
    assert found.history.best_scores == both(0.6)
    assert [r.accepted for r in found.history.rounds] == [True, False, False]
    assert found.evaluation is None
    assert found.review is not None
    assert found.review.rule == "no shift"


def test_where_nothing_was_accepted_without_it_the_clip_is_unchanged():
    found = reviewed(decided(), None, [Rule(action="wiener_filter")])
    assert (found.outcome, found.actions) == (Outcome.UNCHANGED, ())


@pytest.mark.parametrize(("out_of_time", "left"), [(0.89, (FILTER,)), (0.9, (FILTER, SHIFT)), (0.99, (FILTER, SHIFT))])
def test_a_bound_is_on_the_confidence_in_the_fault(out_of_time: float, left: tuple[object, ...]):
    assert reviewed(decided(out_of_time), None, [Rule(action="shift", below=0.9)]).actions == left


def test_confidence_is_that_of_what_the_action_is_for():
    decision = decided(0.93, 0.7)
    assert confidence(decision, SHIFT) == pytest.approx(0.93)
    assert confidence(decision, FILTER) == pytest.approx(0.7)
    assert confidence(decision, Volume()) == 1.0
    blind = replace(decision, facts=None)
    assert confidence(blind, SHIFT) == confidence(blind, FILTER) == 0.0


@pytest.mark.parametrize(
    "rule", [{"action": "erase"}, {"action": "shift", "below": 0.0}, {"action": "shift", "below": 1.5}]
)
def test_rules_are_checked(rule: dict[str, object]):
    with pytest.raises(ParameterError):
        Rule(**rule)  # type: ignore[arg-type]


def test_a_clip_is_judged_once():
    word = ClipVerdict(key="k", shard="s", content_sha256="a", verdict=Verdict.REJECTED)
    with pytest.raises(ParameterError, match="twice"):
        ReviewFile(fingerprint="f", clips=(word, replace(word, verdict=Verdict.ACCEPTED)))
