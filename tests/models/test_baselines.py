"""Planners to hold against: everything, and anything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from avagent.core.actions import COORDINATIONS, EXTENDED_ACTIONS, NOISE_FILTERS, PAPER_ACTIONS
from avagent.core.captions import Captions
from avagent.core.errors import RecipeError
from avagent.core.facts import Estimate, Facts
from avagent.core.history import Base, History
from avagent.core.ports import PlanRequest
from avagent.core.scores import Scores
from avagent.models.registry import build_planner

REQUEST = PlanRequest(
    key="a",
    captions=Captions(audio=None, video=None),
    facts=Facts(duration=6.0, rate=16_000, channels=1, lag=Estimate(12.5, 0.1), duration_mismatch=0.1),
    history=History(original=Scores(alignment=0.5, synchronization=0.5)),
    base=Base.ORIGINAL,
    allowed=EXTENDED_ACTIONS,
)


def plans(name, request=REQUEST, **options):
    (answer,) = build_planner(name, options).plan([request])
    return answer


def kinds(found):
    return {action.kind for plan in found for action in plan.actions}


def test_the_eager_planner_proposes_every_action_the_strongest_first():
    found = plans("eager")
    assert kinds(found) == EXTENDED_ACTIONS
    assert all(len(plan.actions) == 1 for plan in found[:10])
    assert [p.noise.kind for p in found[:4]] == list(NOISE_FILTERS)
    assert any(p.coordination and getattr(p.coordination, "milliseconds", None) == -12.5 for p in found)


@pytest.mark.parametrize("name", ["eager", "random"])
def test_both_stay_within_what_is_allowed_and_leave_silence_alone(name):
    assert kinds(plans(name, replace(REQUEST, allowed=PAPER_ACTIONS))) <= PAPER_ACTIONS
    assert kinds(plans(name, replace(REQUEST, allowed=frozenset({"shift"})))) == {"shift"}
    assert plans(name, replace(REQUEST, allowed=frozenset())) == ()
    assert plans(name, replace(REQUEST, facts=None)) == ()
    assert plans(name, replace(REQUEST, facts=replace(REQUEST.facts, muted=True))) == ()


def test_random_plans_depend_on_key_and_seed_alone_and_cover_all_actions():
    assert plans("random") == plans("random")
    assert plans("random") != plans("random", replace(REQUEST, key="b"))
    assert plans("random") != plans("random", seed=1)
    found = [plan for i in range(100) for plan in plans("random", replace(REQUEST, key=str(i)))]
    assert kinds(found) == set(NOISE_FILTERS) | set(COORDINATIONS)
    both = sum(plan.noise is not None and plan.coordination is not None for plan in found)
    assert 0.2 < both / len(found) < 0.47


def test_fingerprints_tell_them_apart():
    found = {build_planner("eager").fingerprint, *(build_planner("random", {"seed": s}).fingerprint for s in (0, 1))}
    assert len(found) == 3


def test_a_negative_seed_is_refused():
    with pytest.raises(RecipeError, match="seed must not be negative"):
        build_planner("random", {"seed": -1})
