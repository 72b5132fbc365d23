"""Algorithm 1 and its traps, as properties."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avagent.core.actions import FillBlanks, Shift, SpectralGate, Volume, WienerFilter
from avagent.core.decide import (
    Accept,
    Acceptance,
    Policy,
    Retry,
    Stop,
    StopReason,
    base_actions,
    choose_plan,
    decide,
    improves,
    reaches,
    record_exhausted,
    record_round,
)
from avagent.core.errors import ParameterError
from avagent.core.history import Base, History
from avagent.core.plan import Plan
from avagent.core.scores import Scores

unit = st.floats(0, 1)
maybe = st.none() | unit
scores = st.builds(Scores, alignment=maybe, synchronization=maybe)
policies = st.builds(
    Policy,
    threshold=unit,
    max_rounds=st.integers(0, 5),
    acceptance=st.sampled_from(Acceptance),
    min_gain_alignment=st.floats(0, 0.3),
    min_gain_synchronization=st.floats(0, 0.3),
)
plans = st.builds(
    Plan,
    noise=st.none() | st.builds(WienerFilter, strength=st.floats(0.25, 8)) | st.builds(SpectralGate),
    coordination=st.none() | st.builds(Shift, milliseconds=st.floats(-500, 500)) | st.builds(FillBlanks),
)
ALL = frozenset({"wiener_filter", "spectral_gate", "shift", "fill_blanks", "volume"})


def run(original: Scores, after: list[Scores], ideas: list[Plan], policy: Policy) -> History:
    """The loop as the pipeline unrolls it."""
    history = History(original=original)
    for scored in after:
        decision = decide(history, policy)
        if not isinstance(decision, Retry):
            break
        plan = choose_plan(ideas, history, decision.base, ALL)
        if plan.empty:
            history = record_exhausted(history)
            continue
        history = record_round(history, decision.base, plan, scored, policy)
    return history


@given(scores, st.lists(scores, min_size=8, max_size=8), st.lists(plans, max_size=10), policies)
def test_the_loop_ends_within_its_bound(original: Scores, after: list[Scores], ideas: list[Plan], policy: Policy):
    history = run(original, after, ideas, policy)
    assert len(history.rounds) <= policy.max_rounds
    assert not isinstance(decide(history, policy), Retry)


@given(scores, st.lists(scores, min_size=8, max_size=8), st.lists(plans, max_size=10), policies)
def test_the_best_leaves_and_nothing_is_tried_twice(
    original: Scores, after: list[Scores], ideas: list[Plan], policy: Policy
):
    history = run(original, after, ideas, policy)
    for tried in ([r.actions for r in history.rounds], [r.plan.actions for r in history.rounds]):
        assert len(set(tried)) == len(tried)
    decision = decide(history, policy)
    accepted = [r for r in history.rounds if r.accepted]
    if accepted:
        assert isinstance(decision, Accept)
        assert decision.actions == accepted[-1].actions
    else:
        assert isinstance(decision, Stop)


@given(scores, st.lists(scores, min_size=8, max_size=8), st.lists(plans, max_size=10), policies)
def test_a_failed_edit_sends_the_next_plan_to_the_original(
    original: Scores, after: list[Scores], ideas: list[Plan], policy: Policy
):
    history = run(original, after, ideas, policy)
    for before, now in zip(history.rounds, history.rounds[1:], strict=False):
        assert now.base is (Base.CURRENT if before.accepted else Base.ORIGINAL)
        if now.base is Base.CURRENT:
            assert now.actions == before.actions + now.plan.actions
        else:
            assert now.actions == now.plan.actions
    if history.rounds:
        assert history.rounds[0].base is Base.ORIGINAL


@given(scores, st.lists(scores, min_size=8, max_size=8), st.lists(plans, max_size=10), policies)
def test_what_leaves_is_never_worse_than_the_margin(
    original: Scores, after: list[Scores], ideas: list[Plan], policy: Policy
):
    best = run(original, after, ideas, policy).best_scores
    rounds = policy.max_rounds
    for before, now, margin in (
        (original.alignment, best.alignment, policy.min_gain_alignment),
        (original.synchronization, best.synchronization, policy.min_gain_synchronization),
    ):
        if before is not None:
            assert now is not None
            assert now >= before - margin * rounds - 1e-9


@given(scores, scores, policies)
def test_both_is_stricter_than_pareto(before: Scores, after: Scores, policy: Policy):
    both = Policy(
        acceptance=Acceptance.BOTH,
        min_gain_alignment=policy.min_gain_alignment,
        min_gain_synchronization=policy.min_gain_synchronization,
    )
    pareto = Policy(
        acceptance=Acceptance.PARETO,
        min_gain_alignment=policy.min_gain_alignment,
        min_gain_synchronization=policy.min_gain_synchronization,
    )
    if improves(before, after, both):
        assert improves(before, after, pareto)


@given(scores, policies)
def test_the_same_scores_are_no_improvement(before: Scores, policy: Policy):
    assert not improves(before, before, policy)


@given(scores, unit)
def test_the_threshold_is_on_every_evaluable_score(s: Scores, threshold: float):
    values = [v for v in (s.alignment, s.synchronization) if v is not None]
    assert reaches(s, threshold) == (bool(values) and min(values) >= threshold)


def both(a: float | None, s: float | None) -> Scores:
    return Scores(alignment=a, synchronization=s)


@pytest.mark.parametrize(
    ("acceptance", "before", "after", "kept"),
    [
        (Acceptance.BOTH, both(0.5, 0.5), both(0.7, 0.7), True),
        (Acceptance.BOTH, both(0.5, 0.5), both(0.7, 0.5), False),
        (Acceptance.BOTH, both(0.5, None), both(0.7, None), True),
        (Acceptance.BOTH, both(0.5, None), both(0.7, 0.1), True),
        (Acceptance.BOTH, both(0.5, 0.5), both(0.7, None), False),
        (Acceptance.PARETO, both(0.5, 0.5), both(0.7, 0.5), True),
        (Acceptance.PARETO, both(0.5, 0.5), both(0.7, 0.4), False),
        (Acceptance.PARETO, both(0.5, 0.5), both(0.505, 0.5), False),
        (Acceptance.PARETO, both(None, None), both(0.9, 0.9), False),
    ],
)
def test_acceptance(acceptance: Acceptance, before: Scores, after: Scores, kept: bool):
    policy = Policy(acceptance=acceptance, min_gain_alignment=0.01, min_gain_synchronization=0.02)
    assert improves(before, after, policy) is kept


def test_nothing_evaluable_is_an_outcome_of_its_own():
    assert decide(History(original=both(None, None)), Policy()) == Stop(StopReason.NOT_EVALUABLE)


def test_a_good_clip_is_left_alone():
    assert decide(History(original=both(0.9, 0.86)), Policy()) == Stop(StopReason.THRESHOLD)


def test_an_empty_plan_ends_the_search():
    history = History(original=both(0.5, 0.5))
    assert choose_plan([Plan(), Plan(noise=WienerFilter())], history, Base.ORIGINAL, ALL).empty
    assert decide(record_exhausted(history), Policy()) == Stop(StopReason.NO_PLAN)


def test_a_plan_with_a_forbidden_action_is_passed_over():
    history = History(original=both(0.5, 0.5))
    ideas = [Plan(coordination=Shift(milliseconds=40)), Plan(coordination=Volume())]
    assert choose_plan(ideas, history, Base.ORIGINAL, frozenset({"volume"})) == ideas[1]


def test_the_base_of_a_retry_carries_the_accepted_actions():
    policy = Policy(threshold=1.0)
    plan = Plan(noise=WienerFilter())
    history = record_round(History(original=both(0.5, 0.5)), Base.ORIGINAL, plan, both(0.8, 0.6), policy)
    assert decide(history, policy) == Retry(Base.CURRENT)
    assert base_actions(history, Base.CURRENT) == plan.actions
    assert base_actions(history, Base.ORIGINAL) == ()


@pytest.mark.parametrize(
    "bad", [{"threshold": 1.1}, {"max_rounds": -1}, {"min_gain_alignment": -0.1}, {"min_gain_synchronization": 1.0}]
)
def test_a_policy_out_of_bounds_is_refused(bad: dict[str, float]):
    with pytest.raises(ParameterError, match=next(iter(bad))):
        Policy(**bad)  # type: ignore[arg-type]


POLICY = Policy(min_gain_alignment=0.05, min_gain_synchronization=0.05)


def pure(purity: float | None, **known: float | None) -> Scores:
    return Scores(**{"alignment": None, "synchronization": None, "purity": purity, **known})


def test_purity_alone_tells_that_a_fault_was_mended():
    assert improves(pure(0.5), pure(0.9), POLICY)
    assert not improves(pure(0.9), pure(0.5), POLICY)
    assert not improves(pure(0.5), pure(0.52), POLICY)
    assert not improves(pure(None), pure(0.9), POLICY)


def test_once_the_sound_can_be_named_it_is_still_judged_by_what_both_have():
    assert improves(pure(0.5), pure(0.9, alignment=0.45, match=0.25), POLICY)
    assert not improves(pure(0.5), pure(0.5, alignment=0.95, match=0.9), POLICY)


def test_where_the_name_of_a_sound_gets_lost_purity_tells():
    named = pure(0.5, alignment=0.45, match=0.8)
    assert improves(named, pure(0.9), POLICY)
    assert not improves(named, pure(0.4), POLICY)
    assert not improves(replace(named, purity=None), pure(0.9), POLICY)
    assert not improves(named, pure(None), POLICY)
    late, in_time = replace(named, synchronization=0.2), pure(0.5, synchronization=0.9)
    assert improves(late, in_time, POLICY)
    assert not improves(late, replace(in_time, purity=0.4), POLICY)
    assert not improves(replace(late, synchronization=0.9), replace(in_time, synchronization=None), POLICY)


def test_purity_stands_in_for_no_score_that_is_known():
    assert not improves(pure(0.5, synchronization=0.9), pure(0.9), POLICY)
    assert not improves(pure(0.5, alignment=0.5, match=0.5), pure(0.9, alignment=0.5, match=0.3), POLICY)
    assert reaches(pure(0.9), 0.85)
    assert not reaches(pure(0.9, alignment=0.6, match=0.4), 0.85)


def test_a_pure_sound_of_which_nothing_else_is_known_is_left_and_not_evaluable():
    assert decide(History(original=pure(0.95)), POLICY) == Stop(StopReason.NOT_EVALUABLE)
    assert isinstance(decide(History(original=pure(0.5)), POLICY), Retry)
    nothing_found = record_exhausted(History(original=pure(0.5)))
    assert decide(nothing_found, POLICY) == Stop(StopReason.NOT_EVALUABLE)


def test_a_fault_is_mended_of_a_sound_of_which_nothing_else_is_known():
    plan = Plan(noise=WienerFilter())
    history = record_round(History(original=pure(0.5)), Base.ORIGINAL, plan, pure(0.95), POLICY)
    assert decide(history, POLICY) == Accept(plan.actions, StopReason.THRESHOLD)
