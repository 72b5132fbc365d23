"""The form of a plan that an LLM writes, as a JSON schema, and the way back: parsed into `Plan`, or refused."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from avagent.core.actions import COORDINATIONS, NOISE_FILTERS, Action, action_from_dict
from avagent.core.errors import ParameterError
from avagent.core.plan import Plan, uses_only

Range = tuple[float, float, float]
"""Least, greatest, step."""

PARAMETERS: Mapping[str, Mapping[str, Range | None]] = {
    "spectral_subtraction": {"over_subtraction": (1.0, 8.0, 0.01)},
    "wiener_filter": {"strength": (0.25, 8.0, 0.01)},
    "wavelet_denoise": {"strength": (0.25, 4.0, 0.01)},
    "spectral_gate": {"reduction_db": (0.0, 60.0, 0.1)},
    "speed": {"factor": (0.5, 2.0, 0.0001)},
    "pitch": {"semitones": (-12.0, 12.0, 0.01)},
    "volume": {"target_lufs": (-50.0, -8.0, 0.1), "declip": None},
    "fill_blanks": {"max_gap_ms": (5.0, 2000.0, 0.1)},
    "shift": {"milliseconds": (-10000.0, 10000.0, 0.1)},
}
"""What an LLM may set of each action, within the bounds of `core/actions.py`; None: true or false. The rest keeps its
default."""

FIELDS = (("noise", NOISE_FILTERS), ("coordination", COORDINATIONS))


def plan_schema(allowed: Collection[str]) -> dict[str, Any]:
    """The JSON schema of a plan with these kinds of action.

    A plan is such as `{"noise": {"kind": "wiener_filter", "strength": 1.5}, "coordination": null}`.
    """
    properties = {
        name: {"anyOf": [{"type": "null"}, *(_action_schema(kind) for kind in kinds if kind in allowed)]}
        for name, kinds in FIELDS
    }
    return _object(properties)


def _action_schema(kind: str) -> dict[str, Any]:
    values = {name: _value_schema(bounds) for name, bounds in PARAMETERS[kind].items()}
    return _object({"kind": {"const": kind}, **values})


def _value_schema(bounds: Range | None) -> dict[str, Any]:
    if bounds is None:
        return {"type": "boolean"}
    low, high, step = bounds
    return {"type": "number", "minimum": low, "maximum": high, "multipleOf": step}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def parse_plan(text: str, allowed: frozenset[str]) -> Plan:
    """The plan that an LLM wrote.

    Raises:
        ParameterError: no JSON, another form, an action that does not exist or is not allowed, a value out of bounds.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ParameterError(f"the answer is not JSON: {error}") from error
    if not isinstance(data, dict) or set(data) != {"noise", "coordination"}:
        raise ParameterError("the answer must be an object with the keys noise and coordination")
    actions = {name: _action(data[name], name, kinds) for name, kinds in FIELDS}
    plan = Plan(**actions)  # pyright: ignore[reportArgumentType]  each is of its field's kinds
    if not uses_only(plan, allowed):
        raise ParameterError(f"only these actions are allowed: {', '.join(sorted(allowed))}")
    return plan


def _action(data: Any, name: str, kinds: Collection[str]) -> Action | None:
    if data is None:
        return None
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
        raise ParameterError(f"{name} must be null or an object with a kind")
    if data["kind"] not in kinds:
        raise ParameterError(f"{name} must be one of {', '.join(kinds)}, got {data['kind'][:40]!r}")
    return action_from_dict({"kind": data["kind"], "params": {k: v for k, v in data.items() if k != "kind"}})
