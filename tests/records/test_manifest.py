"""The manifest: the columns that users rely on, in a fixed order, in bounded memory."""

from __future__ import annotations

import io
import json
import uuid
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shard_tools import decisions, failed, improved, unchanged

from avagent import storage
from avagent.core.actions import Shift, Volume, WienerFilter, action_from_dict, action_to_dict
from avagent.core.clip import ClipRef
from avagent.core.effect import EditEffect
from avagent.core.history import Base
from avagent.core.plan import Plan
from avagent.core.reflection import Objection
from avagent.core.state import Outcome
from avagent.records import manifest
from avagent.records.manifest import decisions_url, manifest_url, write_manifest

REF = ClipRef(key="dog/a", shard="gs://in/s.tar", offset=0, length=1, content_sha256="ab" * 32, index=0)
CLIP_COLUMNS = [
    "key",
    "shard",
    "content_sha256",
    "outcome",
    "reason",
    "alignment_before",
    "alignment_after",
    "synchronization_before",
    "synchronization_after",
    "rounds",
    "fingerprint",
    "actions",
    "si_sdr",
    "loudness_change",
    "moved_ms",
    "tempo_change",
    "transposed",
]
ROUND_COLUMNS = [
    "key",
    "shard",
    "round",
    "base",
    "noise",
    "coordination",
    "parameters",
    "rationale",
    "alignment",
    "synchronization",
    "accepted",
    "objection",
    "si_sdr",
    "loudness_change",
    "moved_ms",
    "tempo_change",
    "transposed",
    "seconds",
]


@pytest.fixture(params=["path", "memory"])
def output(request, tmp_path):
    return str(tmp_path / "out") if request.param == "path" else f"memory://{uuid.uuid4().hex}"


def table(output, name):
    return pq.read_table(io.BytesIO(storage.read_bytes(manifest_url(output, name))))


def params(action):
    return json.dumps(action_to_dict(action)["params"], sort_keys=True, separators=(",", ":"))


def test_one_row_a_clip(output):
    silent = failed(replace(REF, key="c", content_sha256=""))
    counts = write_manifest(
        output, [("s.tar", [improved(REF), unchanged(replace(REF, key="b"))]), ("t.tar", [silent])], fingerprint="f1"
    )
    assert counts.outcomes == ((Outcome.IMPROVED, 1), (Outcome.UNCHANGED, 1), (Outcome.FAILED, 1))
    assert (counts.clips, counts.rounds) == (3, 1)
    found = table(output, "clips.parquet")
    assert found.column_names == CLIP_COLUMNS
    first, second, third = found.to_pylist()
    assert first == {
        "key": "dog/a",
        "shard": "s.tar",
        "content_sha256": "ab" * 32,
        "outcome": "improved",
        "reason": "round_limit",
        "alignment_before": 0.5,
        "alignment_after": 0.75,
        "synchronization_before": None,
        "synchronization_after": None,
        "rounds": 1,
        "fingerprint": "f1",
        "actions": '[{"kind":"volume","params":' + params(Volume()) + "}]",
        "si_sdr": 60.0,
        "loudness_change": 12.5,
        "moved_ms": 0.0,
        "tempo_change": 0.0,
        "transposed": 0.0,
    }
    assert second["si_sdr"] is None
    assert (second["alignment_before"], second["alignment_after"], second["actions"]) == (0.9, 0.9, "[]")
    assert (third["shard"], third["outcome"], third["reason"]) == ("t.tar", "failed", "corrupt_media")
    assert (third["alignment_before"], third["alignment_after"], third["rounds"]) == (None, None, 0)


def test_a_clip_that_failed_after_scoring_keeps_its_rounds_but_no_score_after(output):
    late = replace(improved(REF), outcome=Outcome.FAILED, actions=(), failure=failed(REF).failure)
    write_manifest(output, [("s.tar", [late])], fingerprint="f")
    (row,) = table(output, "clips.parquet").to_pylist()
    assert (row["alignment_before"], row["alignment_after"], row["rounds"]) == (0.5, None, 1)
    assert table(output, "rounds.parquet").num_rows == 1


def test_one_row_a_round(output):
    decision = improved(REF)
    (first,) = decision.history.rounds
    plan = Plan(noise=WienerFilter(strength=2.0), coordination=Shift(milliseconds=-40.0), rationale="late; noisy")
    second = replace(
        first,
        number=2,
        base=Base.CURRENT,
        plan=plan,
        accepted=False,
        objection=Objection.NO_LAG,
        effect=EditEffect(si_sdr=7.5, loudness_change=None, moved_ms=-40.0),
        seconds=0.5,
    )
    decision = replace(decision, history=replace(decision.history, rounds=(first, second)))
    write_manifest(output, [("s.tar", [decision])], fingerprint="f")
    found = table(output, "rounds.parquet")
    assert found.column_names == ROUND_COLUMNS
    assert found.to_pylist()[1] == {
        "key": "dog/a",
        "shard": "s.tar",
        "round": 2,
        "base": "current",
        "noise": "wiener_filter",
        "coordination": "shift",
        "parameters": '{"coordination":' + params(plan.coordination) + ',"noise":' + params(plan.noise) + "}",
        "rationale": "late; noisy",
        "alignment": 0.75,
        "synchronization": None,
        "accepted": False,
        "objection": "no_lag",
        "si_sdr": 7.5,
        "loudness_change": None,
        "moved_ms": -40.0,
        "tempo_change": 0.0,
        "transposed": 0.0,
        "seconds": 0.5,
    }


@given(found=st.lists(decisions, max_size=5))
def test_actions_and_counts_can_be_read_back(found):
    output = f"memory://{uuid.uuid4().hex}"
    counts = write_manifest(output, [("s.tar", found)], fingerprint="f")
    rows = table(output, "clips.parquet").to_pylist()
    assert [tuple(map(action_from_dict, json.loads(row["actions"]))) for row in rows] == [d.actions for d in found]
    assert counts.clips == len(rows) == len(found)
    assert counts.rounds == table(output, "rounds.parquet").num_rows == sum(row["rounds"] for row in rows)
    storage.remove(output, recursive=True)


def test_rows_leave_in_groups_and_in_order(output, monkeypatch):
    monkeypatch.setattr(manifest, "_ROWS_A_GROUP", 4)
    source = ((f"{shard}.tar", (unchanged(replace(REF, key=f"{shard}{i}")) for i in range(5))) for shard in "abc")
    write_manifest(output, source, fingerprint="f")
    parquet = pq.ParquetFile(io.BytesIO(storage.read_bytes(manifest_url(output, "clips.parquet"))))
    assert parquet.metadata.num_row_groups == 4
    assert parquet.read(["key"])["key"].to_pylist() == [f"{shard}{i}" for shard in "abc" for i in range(5)]


def test_no_clips_give_empty_tables(output):
    assert write_manifest(output, [], fingerprint="f").clips == 0
    assert table(output, "clips.parquet").column_names == CLIP_COLUMNS
    assert table(output, "rounds.parquet").num_rows == 0


def test_twice_gives_the_same_bytes(output):
    def write():
        write_manifest(output, [("s.tar", [improved(REF, Volume()), failed(REF)])], fingerprint="f")
        return [storage.read_bytes(manifest_url(output, name)) for name in ("clips.parquet", "rounds.parquet")]

    assert write() == write()


def test_a_source_that_fails_leaves_no_table(output):
    def source():
        yield "s.tar", [unchanged(REF)]
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        write_manifest(output, source(), fingerprint="f")
    assert storage.list_folder(storage.join(output, "_manifest")) == []


def test_where_decisions_lie(output):
    assert decisions_url(output, "gs://in/s.tar") == storage.join(output, "_manifest/decisions/s.tar.jsonl")
