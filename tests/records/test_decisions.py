"""Decisions as JSON: equal after a round trip, strict on the way in."""

from __future__ import annotations

import json
import math
import uuid
from dataclasses import replace

import pytest
from hypothesis import given
from shard_tools import PROVENANCE, decisions, failed, improved, unchanged

from avagent import storage
from avagent.core.actions import Volume, action_to_dict
from avagent.core.clip import ClipRef
from avagent.core.errors import Failure, FailureReason, ParameterError, Stage
from avagent.core.facts import Facts
from avagent.records.decisions import (
    clip_record,
    decision_from_json,
    decision_to_json,
    dump,
    error_record,
    read_decisions,
    scores_after,
    write_decisions,
)

REF = ClipRef(key="dog/a", shard="/in/train-000000.tar", offset=512, length=1024, content_sha256="ab" * 32, index=3)


@given(decision=decisions)
def test_decisions_survive_a_round_trip(decision):
    line = decision_to_json(decision)
    assert "\n" not in line
    back = decision_from_json(line)
    assert back == decision
    if decision.history is not None:
        assert [r.seconds for r in back.history.rounds] == [r.seconds for r in decision.history.rounds]
    assert decision_to_json(back) == line


def test_infinite_measures_survive():
    facts = Facts(duration=math.inf, rate=8000, channels=1, loudness=-math.inf)
    decision = replace(improved(REF), facts=facts)
    assert decision_from_json(decision_to_json(decision)) == decision
    assert json.loads(clip_record(decision, PROVENANCE))["facts"]["loudness"] is None


def changed(path: list[str | int], value: object) -> str:
    record = json.loads(decision_to_json(improved(REF)))
    place = record
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return json.dumps(record)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "not a decision"),
        ("{", "not a decision"),
        ("[]", "not a decision"),
        ("{}", "ref: Field required"),
        (changed(["extra"], 1), "extra: "),
        (changed(["ref", "offset"], "512"), r"ref.offset: .*integer"),
        (changed(["ref", "offset"], -1), "must not be negative"),
        (changed(["outcome"], "great"), "outcome: "),
        (changed(["actions", 0, "kind"], "echo"), "unknown action 'echo'; known actions: spectral_subtraction, "),
        (changed(["actions", 0], {}), "unknown action None"),
        (changed(["actions", 0, "target_lufs"], 3.0), r"must lie in \[-50, -8\] LUFS"),
        (changed(["actions", 0, "loud"], 3.0), "no parameter loud; it takes "),
        (changed(["history", "rounds", 0, "actions", 0], {}), "unknown action None"),
        (changed(["history", "rounds", 0, "plan", "noise"], {"kind": "volume"}), r"plan\.noise: another sort"),
        (changed(["history", "rounds", 0, "plan", "coordination"], {"strength": 1.0}), "unknown action None"),
        (changed(["history", "rounds", 0, "scores", "alignment"], 1.5), r"must lie in \[0, 1\]"),
        (changed(["history", "rounds"], 3), "rounds: "),
    ],
)
def test_anything_else_is_refused_with_the_place(line, message):
    with pytest.raises(ParameterError, match=message):
        decision_from_json(line)


@pytest.fixture
def url():
    return f"memory://{uuid.uuid4().hex}/a.jsonl"


def test_a_file_of_decisions_is_in_order_and_read_back(url):
    found = [improved(replace(REF, key=f"k\u2028{i}", index=i)) for i in (2, 0, 1)]
    assert write_decisions(url, iter(found)) == 3
    assert list(read_decisions(url)) == sorted(found, key=lambda d: d.ref.index)
    assert write_decisions(url, []) == 0
    assert list(read_decisions(url)) == []


def test_a_broken_line_is_named(url):
    storage.write_bytes(url, decision_to_json(unchanged(REF)).encode() + b"\n{}\n")
    with pytest.raises(ParameterError, match=r"a\.jsonl, line 2: not a decision"):
        list(read_decisions(url))


def test_golden_record_of_an_improved_clip():
    record = clip_record(improved(REF), PROVENANCE)
    assert record.endswith(b"}\n")
    assert json.loads(record) == {
        "version": 1,
        "key": "dog/a",
        "content_sha256": "ab" * 32,
        "outcome": "improved",
        "reason": "round_limit",
        "actions": [action_to_dict(Volume())],
        "captions": {
            "audio": {"text": "a bell", "tags": [{"label": "bell", "confidence": 0.9}]},
            "video": None,
        },
        "facts": json.loads(dump({name: getattr(improved(REF).facts, name) for name in Facts.__dataclass_fields__})),
        "scores": {
            "before": {
                "alignment": 0.5,
                "synchronization": None,
                "alignment_note": None,
                "synchronization_note": "still_picture",
                "match": None,
                "purity": None,
                "timing": None,
            },
            "after": {
                "alignment": 0.75,
                "synchronization": None,
                "alignment_note": None,
                "synchronization_note": "still_picture",
                "match": None,
                "purity": None,
                "timing": None,
            },
        },
        "rounds": [
            {
                "number": 1,
                "base": "original",
                "plan": {"noise": None, "coordination": None, "rationale": "too quiet"},
                "scores": {
                    "alignment": 0.75,
                    "synchronization": None,
                    "alignment_note": None,
                    "synchronization_note": "still_picture",
                    "match": None,
                    "purity": None,
                    "timing": None,
                },
                "accepted": True,
                "objection": None,
                "effect": {
                    "si_sdr": 60.0,
                    "loudness_change": 12.5,
                    "moved_ms": 0.0,
                    "tempo_change": 0.0,
                    "transposed": 0.0,
                    "changed_s": 1.0,
                    "removed": None,
                    "tempo": None,
                    "level_si_sdr": None,
                },
            }
        ],
        "exhausted": False,
        "provenance": {
            "recipe": "embedded",
            "fingerprint": "ffffffff",
            "models": {"scorer": "s-1"},
            "version": "0.1.0",
        },
    }


@given(decision=decisions)
def test_records_are_valid_json_without_times(decision):
    def refuse(name):
        raise ValueError(name)

    record = clip_record(decision, PROVENANCE)
    json.loads(record.decode("utf-8"), parse_constant=refuse)
    assert b'"seconds"' not in record


def test_an_error_record_has_exactly_the_promised_fields():
    failure = Failure(
        stage=Stage.EDIT, type="EditError", reason=FailureReason.EDIT_FAILED, message="lone \ud800 surrogate"
    )
    assert json.loads(error_record(failure, REF, loose=2)) == {
        "key": REF.key,
        "shard": storage.basename(REF.shard),
        "offset": REF.offset,
        "length": REF.length,
        "loose_before": 2,
        "stage": "edit",
        "type": "EditError",
        "reason": "edit_failed",
        "message": "lone ? surrogate",
    }


def test_scores_of_what_leaves():
    assert scores_after(improved(REF)).alignment == 0.75
    assert scores_after(improved(REF, Volume())).alignment == 0.75
    assert scores_after(unchanged(REF)).alignment == 0.9
    assert scores_after(failed(REF)) is None
