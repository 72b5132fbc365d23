"""Plans that an LLM writes: held to the schema, parsed or refused."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_requests import BROKEN, CLEAN, LATE, NOISY, WORSE, after, asked
from tiny_llm import save_tiny_llm

from avagent.core.actions import ACTIONS, COORDINATIONS, EXTENDED_ACTIONS, NOISE_FILTERS, Shift, Volume, WienerFilter
from avagent.core.errors import ParameterError
from avagent.core.plan import Plan
from avagent.core.ports import PlanRequest
from avagent.models.embedded.planner import rank_plans
from avagent.models.llm.generate import PlanWriter
from avagent.models.llm.loading import LanguageModel, LanguageModelSource
from avagent.models.llm.planner import LLMPlanner
from avagent.models.llm.prompt import render
from avagent.models.llm.schema import FIELDS, PARAMETERS, parse_plan, plan_schema


def plan_text(plan: Plan) -> str:
    """The plan as an LLM is to write it."""
    found: dict[str, Any] = {}
    for name, _ in FIELDS:
        action = getattr(plan, name)
        found[name] = action and {"kind": action.kind, **{n: getattr(action, n) for n in PARAMETERS[action.kind]}}
    return json.dumps(found)


REQUESTS = (asked(BROKEN), asked(NOISY), asked(LATE), asked(CLEAN))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_tiny_llm(tmp_path_factory.mktemp("llm") / "tiny")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> LanguageModel:
    return LanguageModelSource(model=str(folder), dtype="float32", device="cpu").load()


@pytest.fixture(scope="module")
def writer(tiny: LanguageModel) -> PlanWriter:
    return PlanWriter(tiny)


@pytest.mark.parametrize("request_", REQUESTS)
def test_what_is_written_keeps_to_the_schema(writer: PlanWriter, request_: PlanRequest):
    for allowed in (EXTENDED_ACTIONS, frozenset({"shift", "wiener_filter"})):
        text = render(replace(request_, allowed=allowed))
        plan = parse_plan(writer.complete(text, allowed, max_tokens=400), allowed)
        assert parse_plan(plan_text(plan), allowed) == plan
        with pytest.raises(ParameterError, match="not JSON"):
            parse_plan(writer.complete(text, allowed, max_tokens=5), allowed)


@pytest.mark.parametrize("kind", sorted(ACTIONS))
def test_the_schemas_bounds_are_the_actions_own(kind: str):
    for name, bounds in PARAMETERS[kind].items():
        if bounds is None:
            continue
        low, high, step = bounds
        required = {"factor": 1.0} if kind == "speed" else {}
        for value in (low, high):
            ACTIONS[kind](**{**required, name: value})
        for value in (low - step, high + step):
            with pytest.raises(ParameterError):
                ACTIONS[kind](**{**required, name: value})


def test_plans_are_read_as_they_are_written():
    plan = Plan(noise=WienerFilter(strength=1.25), coordination=Volume(target_lufs=-20.0, declip=True))
    text = plan_text(plan)
    assert json.loads(text)["noise"] == {"kind": "wiener_filter", "strength": 1.25}
    assert parse_plan(text, EXTENDED_ACTIONS) == plan
    assert parse_plan(plan_text(Plan()), EXTENDED_ACTIONS).empty
    kinds = {
        s["properties"]["kind"]["const"] for s in plan_schema(EXTENDED_ACTIONS)["properties"]["noise"]["anyOf"][1:]
    }
    assert kinds == set(NOISE_FILTERS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ('{"noise": null, "coordination": ', "not JSON"),
        ("[" * 5000, "not JSON"),
        ("[]", "keys noise and coordination"),
        ('{"noise": null}', "keys noise and coordination"),
        ('{"noise": null, "coordination": null, "run": "rm"}', "keys noise and coordination"),
        ('{"noise": "wiener_filter", "coordination": null}', "null or an object"),
        ('{"noise": {"kind": "shift", "milliseconds": 1}, "coordination": null}', "noise must be one of"),
        ('{"noise": {"kind": "wiener_filter", "strength": 99}, "coordination": null}', "strength must lie"),
        ('{"noise": {"kind": "wiener_filter", "strength": NaN}, "coordination": null}', "strength must lie"),
        ('{"noise": {"kind": "wiener_filter", "power": 1}, "coordination": null}', "no parameter power"),
        ('{"noise": null, "coordination": {"kind": "speed"}}', "factor"),
        ('{"noise": null, "coordination": {"kind": "pitch", "semitones": 1}}', "only these actions are allowed"),
    ],
)
def test_other_answers_are_refused(text: str, said: str):
    with pytest.raises(ParameterError, match=said):
        parse_plan(text, EXTENDED_ACTIONS - {"pitch"})


@given(st.text(max_size=60) | st.recursive(st.none() | st.floats() | st.text(max_size=5), st.lists).map(json.dumps))
@settings(max_examples=30)
def test_any_text_is_parsed_or_refused(text: str):
    with suppress(ParameterError):
        assert isinstance(parse_plan(text, EXTENDED_ACTIONS), Plan)


class Scripted(PlanWriter):
    """A writer whose LLM says what it is told to."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.texts = list(answers), []

    def complete(self, text: str, allowed: Any, max_tokens: int = 0) -> str:
        self.texts.append(text)
        return self.answers.pop(0)


def planned_by(writer: PlanWriter, request: PlanRequest) -> Any:
    planner = LLMPlanner(model="/never/loaded", decoding="generate")
    object.__setattr__(planner, "_writer", lambda: writer)
    return planner.plan([request])[0]


GOOD = plan_text(Plan(coordination=Shift(milliseconds=-240.0)))
WRONG = '{"noise": null, "coordination": {"kind": "shift", "milliseconds": 99999}}'


def test_a_good_answer_is_the_plan():
    assert planned_by(Scripted(GOOD), asked(LATE)) == (Plan(coordination=Shift(milliseconds=-240.0)),)


def test_a_refused_answer_may_be_repaired_once():
    writer = Scripted(WRONG, GOOD)
    (plan,) = planned_by(writer, asked(LATE))
    assert plan == Plan(coordination=Shift(milliseconds=-240.0))
    assert "refused before: Shift.milliseconds must lie in" in plan.rationale
    assert "was refused, Shift.milliseconds" in writer.texts[1].replace("refused:", "refused,")


def test_a_plan_that_was_tried_is_not_repeated():
    request = after(asked(LATE), Plan(coordination=Shift(milliseconds=-240.0)), WORSE)
    other = Plan(coordination=Shift(milliseconds=-200.0))
    (plan,) = planned_by(Scripted(GOOD, plan_text(other)), request)
    assert plan == other


def test_after_two_refusals_the_embedded_planner_decides_and_the_record_says_so():
    plans = planned_by(Scripted(WRONG, "nonsense"), asked(LATE))
    assert plans == rank_plans(asked(LATE))
    assert all(plan.rationale.startswith("fallback: embedded planner: the answer is not JSON") for plan in plans)
    assert "the sound comes +240" in plans[0].rationale
    (nothing,) = planned_by(Scripted(WRONG, WRONG), asked(CLEAN))
    assert nothing.empty
    assert nothing.rationale.startswith("fallback: embedded planner: Shift.milliseconds must lie in")


def test_generate_end_to_end_on_the_tiny_llm(folder: Path):
    planner = LLMPlanner(model=str(folder), device="cpu", decoding="generate")
    answers = planner.plan([asked(BROKEN), asked(None)])
    assert answers[0][0].rationale.startswith(("llm", "fallback: embedded planner"))
    assert all(isinstance(p.coordination, (*COORDINATIONS.values(), type(None))) for p in answers[0])
    assert answers[1][0].empty
