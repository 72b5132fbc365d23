"""Decisions as JSON: strict, complete, and read back as equal values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import from_json

from avagent import storage
from avagent.core.actions import Action, action_from_dict, action_to_dict
from avagent.core.clip import RECORD_SUFFIX, ClipRef
from avagent.core.errors import Failure, ParameterError
from avagent.core.history import Round
from avagent.core.scores import Scores
from avagent.core.state import ClipDecision

RECORD_VERSION = 1
ERROR_SUFFIX = "error.json"

_CONFIG = ConfigDict(extra="forbid", strict=True, ser_json_inf_nan="constants")
# A tuple around the type: pydantic takes a configuration for plain dataclasses only from what encloses them.
_DECISIONS: TypeAdapter[tuple[ClipDecision]] = TypeAdapter(tuple[ClipDecision], config=_CONFIG)
_SHOWN_ERRORS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What made a record; no times, so that two runs write the same bytes.

    Attributes:
        recipe: the recipe's name.
        fingerprint: of the whole configuration.
        models: fingerprint of each model by its part (`audio_captioner`, `planner`, `scorer`, ...).
        version: of AVAgent.
    """

    recipe: str
    fingerprint: str
    models: Mapping[str, str]
    version: str


def decision_to_json(decision: ClipDecision) -> str:
    """One line of JSON; an evaluation, a remark and a review only where there is one."""
    absent = {name for name in ("evaluation", "remark", "review") if getattr(decision, name) is None}
    return _DECISIONS.dump_json((decision,), exclude={0: absent} if absent else None)[1:-1].decode()


def decision_from_json(line: str | bytes) -> ClipDecision:
    """The inverse of :func:`decision_to_json`.

    Raises:
        ParameterError: an unknown or missing field, an action without a known kind, a value outside its bounds.
    """
    text = line.encode() if isinstance(line, str) else line
    try:
        _check_actions(from_json(text))
        return _DECISIONS.validate_json(b"[" + text + b"]")[0]
    except ValidationError as error:
        raise ParameterError(f"not a decision: {_explain(error)}") from error
    except ParameterError:
        raise
    except ValueError as error:
        raise ParameterError(f"not a decision: {error}") from error


def write_decisions(url: str, decisions: Iterable[ClipDecision]) -> int:
    """A file of decisions, one a line, in the order of their index; returns their number. Atomic. Raises OSError."""
    ordered = sorted(decisions, key=lambda decision: decision.ref.index)
    with storage.atomic_write(url) as file:
        for decision in ordered:
            file.write(decision_to_json(decision).encode() + b"\n")
    return len(ordered)


def read_decisions(url: str) -> Iterator[ClipDecision]:
    """The decisions of a file, in its order.

    Raises:
        OSError: it cannot be read.
        ParameterError: a line is not a decision; the message says which.
    """
    with storage.open_read(url) as source:
        yield from decisions_from_lines(source, url)


def decisions_from_lines(lines: Iterable[bytes], url: str) -> Iterator[ClipDecision]:
    """The decisions of a file's lines. Raises ParameterError: a line is not a decision; the message says which."""
    for number, line in enumerate(lines, start=1):
        try:
            yield decision_from_json(line)
        except ParameterError as error:
            raise ParameterError(f"{url}, line {number}: {error}") from error


def decisions_digest(decisions: Iterable[ClipDecision]) -> str:
    """SHA-256 of decisions, whatever time they took: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for decision in decisions:
        history = decision.history
        if history is not None:
            rounds = tuple(replace(done, seconds=0.0) for done in history.rounds)
            decision = replace(decision, history=replace(history, rounds=rounds))  # noqa: PLW2901
        digest.update(decision_to_json(decision).encode() + b"\n")
    return digest.hexdigest()


def clip_record(decision: ClipDecision, provenance: Provenance) -> bytes:
    """What `KEY.avagent.json` holds: why the clip is as it is. Valid JSON in UTF-8, sorted, without times."""
    history = decision.history
    record: dict[str, Any] = {
        "version": RECORD_VERSION,
        "key": decision.ref.key,
        "content_sha256": decision.ref.content_sha256,
        "outcome": decision.outcome,
        "reason": decision.reason,
        "actions": [action_to_dict(a) for a in decision.actions],
        "captions": asdict(decision.captions) if decision.captions else None,
        "facts": asdict(decision.facts) if decision.facts else None,
        "scores": {
            "before": asdict(history.original) if history else None,
            "after": _scores(scores_after(decision)),
        },
        "rounds": [_round(r) for r in history.rounds] if history else [],
        "exhausted": history.exhausted if history else False,
        "provenance": asdict(replace(provenance, models=dict(provenance.models))),
    }
    if decision.evaluation is not None:
        record["evaluation"] = asdict(decision.evaluation)
    if decision.remark is not None:
        record["remark"] = decision.remark
    if decision.review is not None:
        record["review"] = {"by": "person", **asdict(decision.review)}
    return dump(record)


def container_tag(actions: Iterable[Action], provenance: Provenance) -> str:
    """What a repaired container says of itself: tool, version, fingerprint of the recipe, actions. JSON in ASCII."""
    told = {
        "tool": "avagent",
        "version": provenance.version,
        "recipe": provenance.fingerprint,
        "actions": [action_to_dict(action) for action in actions],
    }
    return json.dumps(told, separators=(",", ":"))


LOOSE_BEFORE = "loose_before"


def error_record(failure: Failure, ref: ClipRef, *, loose: int) -> bytes:
    """What `KEY.error.json` holds: stage, type, reason, message; the clip's own key and place.

    Args:
        failure: why.
        ref: the clip.
        loose: entries without a key that lie before it in its shard: a replay puts the clip behind them.
    """
    return dump({**clip_place(ref), **asdict(failure), LOOSE_BEFORE: loose})


def clip_place(ref: ClipRef) -> dict[str, str | int]:
    """Where a clip was: its key (a dead letter may be called otherwise), name of its shard, offset, length in bytes."""
    return {"key": ref.key, "shard": storage.basename(ref.shard), "offset": ref.offset, "length": ref.length}


def dump(value: Mapping[str, Any]) -> bytes:
    """Valid JSON in UTF-8, keys sorted, one line; numbers that are not finite become null."""
    return (json.dumps(_finite(value), sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def scores_after(decision: ClipDecision) -> Scores | None:
    """Scores of what leaves: of the best audio if it improved, else of the original; None: failed or never scored."""
    if decision.history is None or decision.failure is not None:
        return None
    return decision.history.best_scores if decision.actions else decision.history.original


def record_name(key: str) -> str:
    """The member that holds a clip's record."""
    return f"{key}.{RECORD_SUFFIX}"


def error_name(key: str) -> str:
    """The member that holds a dead letter's reason."""
    return f"{key}.{ERROR_SUFFIX}"


def _scores(scores: Scores | None) -> dict[str, Any] | None:
    return asdict(scores) if scores else None


def _round(done: Round) -> dict[str, Any]:
    plan = done.plan
    return {
        "number": done.number,
        "base": done.base,
        "plan": {
            "noise": action_to_dict(plan.noise) if plan.noise else None,
            "coordination": action_to_dict(plan.coordination) if plan.coordination else None,
            "rationale": plan.rationale,
        },
        "scores": asdict(done.scores),
        "accepted": done.accepted,
        "objection": done.objection,
        "effect": asdict(done.effect) if done.effect else None,
    }


def _finite(value: Any) -> Any:
    """JSON knows no infinity; lone surrogates (from a model's text) have no UTF-8 form."""
    match value:
        case float():
            return value if value - value == 0 else None
        case str():
            return str(value).encode("utf-8", "replace").decode()
        case dict():
            return {key: _finite(item) for key, item in cast("dict[str, Any]", value).items()}
        case list() | tuple():
            return [_finite(item) for item in cast("list[Any]", value)]
        case _:
            return value


def _check_actions(record: Any) -> None:
    """Every action names its kind: the defaults of the classes must not decide which one is meant."""
    history: Any = _field(record, "history")
    for part in (record, *_items(history, "rounds")):
        plans: tuple[Any, ...] = (_field(part, "plan"), _field(part, "proposed"))
        planned = [_field(plan, sort) for plan in plans for sort in ("noise", "coordination")]
        for action in (*_items(part, "actions"), *(a for a in planned if a is not None)):
            _check_action(action)


def _field(record: Any, name: str) -> Any:
    return cast("dict[str, Any]", record).get(name) if isinstance(record, dict) else None


def _items(record: Any, name: str) -> list[Any]:
    found = _field(record, name)
    return cast("list[Any]", found) if isinstance(found, list) else []


def _check_action(action: Any) -> None:
    """What the classes themselves say of an action is clearer than what a union of them says."""
    if not isinstance(action, dict):
        raise ParameterError(f"an action should be an object with a kind, got {action!r}")
    params = dict(cast("dict[str, Any]", action))
    action_from_dict({"kind": params.pop("kind", None), "params": params})


def _explain(error: ValidationError) -> str:
    """The first faults and their places."""
    faults: dict[str, str] = {}
    for fault in error.errors():
        place = fault["loc"][1:]
        if fault["type"] == "literal_error" and place[-1] == "kind":
            faults[".".join(map(str, place[:-2]))] = "another sort of action is expected here"
        else:
            faults[".".join(map(str, place))] = fault["msg"]
    shown = [f"{place}: {message}" for place, message in faults.items()][:_SHOWN_ERRORS]
    return "; ".join(shown) + (f" and {len(faults) - len(shown)} more" if len(faults) > len(shown) else "")
