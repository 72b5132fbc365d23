"""What a manifest comes to, and which clips are chosen: against the same reckoned the long way."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avagent.core.errors import UsageError
from avagent.records.manifest import CLIPS_COLUMNS, ROUNDS_COLUMNS
from avagent.report import facts
from avagent.report.choice import Choice, Group
from avagent.report.drift import read_drift
from avagent.report.facts import BINS, NO_GAIN, histogram, quantile, read_facts

OUTCOMES = ("improved", "unchanged", "not_evaluable", "failed")


def clip_rows(count: int, seed: int = 0) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        outcome = OUTCOMES[rng.integers(4)]
        edited = outcome == "improved"
        scores = [None if rng.random() < 0.2 or outcome == "failed" else float(rng.random()) for _ in range(4)]
        moved = float(rng.choice([0.0, -40.0, 200.0])) if edited else None
        row = dict.fromkeys(name for name, _, _ in CLIPS_COLUMNS)
        row |= {
            "key": f"clip-{number}",
            "shard": f"s-{number % 5}.tar",
            "content_sha256": "" if outcome == "failed" else f"{number * 2654435761 % 2**64:016x}" * 4,
            "outcome": outcome,
            "reason": str(rng.choice(["threshold", "no_plan"])),
            "alignment_before": scores[0],
            "alignment_after": scores[1],
            "synchronization_before": scores[2],
            "synchronization_after": scores[3],
            "rounds": int(rng.integers(3)),
            "fingerprint": "f",
            "actions": "[]",
            "si_sdr": float(rng.normal(10, 5)) if edited else None,
            "moved_ms": moved,
            "tempo_change": 0.0 if edited else None,
            "transposed": 0.0 if edited else None,
        }
        rows.append(row)
    return rows


def round_rows() -> list[dict[str, object]]:
    plans = [
        ("wiener_filter", None, {"noise": {"strength": 1.0}}, True, None, "white noise"),
        ("wiener_filter", None, {"noise": {"strength": 3.0}}, True, None, "white noise"),
        ("wiener_filter", None, {"noise": {"strength": 9.0}}, False, "not_noise", "hum"),
        (None, "shift", {"coordination": {"milliseconds": -40.0}}, False, None, "late"),
        (None, "volume", {"coordination": {"mode": "static"}}, True, None, "quiet; spectral_gate dropped: inaudible"),
    ]
    rows = []
    for number, (noise, coordination, parameters, accepted, objection, rationale) in enumerate(plans):
        row = dict.fromkeys(name for name, _, _ in ROUNDS_COLUMNS)
        row |= {"key": "k", "shard": "s", "round": 1 + number % 2, "base": "original", "noise": noise, "seconds": 0.5}
        row |= {"coordination": coordination, "parameters": json.dumps(parameters), "rationale": rationale}
        rows.append(row | {"accepted": accepted, "objection": objection})
    return rows


def write(folder: Path, clips: list[dict[str, object]], rounds: list[dict[str, object]], group: int = 50) -> str:
    (folder / "_manifest").mkdir(parents=True, exist_ok=True)
    tables = (("clips", clips, CLIPS_COLUMNS), ("rounds", rounds, ROUNDS_COLUMNS))
    for name, rows, columns in tables:
        schema = pa.schema([pa.field(n, pa.type_for_alias(kind), nullable) for n, kind, nullable in columns])
        table = pa.Table.from_pylist(rows, schema=schema)
        pq.write_table(table, folder / "_manifest" / f"{name}.parquet", row_group_size=group)
    return str(folder)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "_BATCH", 64)


@pytest.mark.usefixtures("small_batches")
def test_totals_are_those_of_the_rows(tmp_path: Path):
    rows = clip_rows(500)
    found = read_facts(write(tmp_path, rows, round_rows()))
    assert found.clips == 500
    assert found.outcomes == Counter(row["outcome"] for row in rows)
    assert found.reasons == Counter((row["outcome"], row["reason"]) for row in rows)
    assert found.rounds_a_clip == Counter(row["rounds"] for row in rows)
    pairs = [(r["alignment_before"], r["alignment_after"]) for r in rows]
    known = [pair for pair in pairs if None not in pair]
    assert found.scores["alignment"].means == pytest.approx(np.mean(known, axis=0))
    assert found.scores["alignment"].unknown == (sum(a is None for a, _ in pairs), sum(b is None for _, b in pairs))
    assert found.scores["alignment"].before.sum() == 500 - found.scores["alignment"].unknown[0]


def test_actions_tell_why_they_were_dropped(tmp_path: Path):
    found = read_facts(write(tmp_path, clip_rows(3), round_rows()))
    filtered = found.actions["wiener_filter"]
    assert (filtered.tried, filtered.kept, dict(filtered.dropped)) == (3, 2, {"not_noise": 1})
    assert filtered.parameters == {"strength": Counter({1.0: 1, 3.0: 1})}
    assert dict(found.actions["shift"].dropped) == {NO_GAIN: 1}
    assert dict(found.actions["spectral_gate"].dropped) == {"inaudible": 1}
    assert found.actions["volume"].parameters == {"mode": Counter({"static": 1})}
    assert {number: (r.tried, r.kept) for number, r in found.rounds.items()} == {1: (3, 2), 2: (2, 1)}


@given(st.lists(st.floats(0.0, 1.0) | st.just(float("nan"))))
def test_a_histogram_counts_every_known_value_once(values: list[float]):
    counts = histogram(np.array(values))
    assert counts.shape == (BINS,)
    assert counts.sum() == sum(value == value for value in values)  # noqa: PLR0124


@given(st.lists(st.integers(-5, 5), min_size=1), st.floats(0.01, 1.0))
def test_quantiles_are_those_of_the_sorted_values(values: list[int], share: float):
    wanted = sorted(values)[max(0, int(np.ceil(share * len(values) - 1e-9)) - 1)]
    assert quantile(Counter(map(float, values)), share) == wanted


def chosen(rows: list[dict[str, object]], count: int, batch: int, keys: tuple[str, ...] = ()) -> Choice:
    choice = Choice(count, keys, margins=(0.05, 0.05))
    table = pa.Table.from_pylist(rows)
    for part in table.to_batches(max_chunksize=batch):
        choice.add(part)
    return choice


@pytest.mark.parametrize("batch", [7, 400])
def test_the_choice_does_not_depend_on_how_rows_come(batch: int):
    rows = clip_rows(400, seed=3)
    found = chosen(rows, 40, batch).chosen()
    assert len(found) == 40
    assert [(c.row["key"], c.groups) for c in found] == [
        (c.row["key"], c.groups) for c in chosen(rows, 40, 400).chosen()
    ]


def test_each_group_holds_what_it_says():
    rows = clip_rows(400, seed=4)
    found = chosen(rows, 40, 33, ("clip-7", "nobody"))
    groups = {group: [c.row for c in found.chosen() if group in c.groups] for group in Group}
    assert [row["key"] for row in groups[Group.ASKED]] == ["clip-7"]
    assert found.missing() == ["nobody"]
    improved = [row for row in rows if row["outcome"] == "improved"]

    def gain(row: dict[str, object]) -> float:
        parts = [(row[f"{s}_after"], row[f"{s}_before"]) for s in facts.SCORES]
        return sum(a - b for a, b in parts if a is not None and b is not None)  # type: ignore[operator]

    best = sorted(improved, key=gain, reverse=True)[: len(groups[Group.BEST])]
    assert {row["key"] for row in best} == {row["key"] for row in groups[Group.BEST]}
    assert all(row["outcome"] == "improved" for row in groups[Group.LARGE_EDIT])
    lowest = sorted(row["si_sdr"] for row in improved)[: len(groups[Group.LARGE_EDIT])]
    assert sorted(row["si_sdr"] for row in groups[Group.LARGE_EDIT]) == lowest
    assert all(row["moved_ms"] for row in groups[Group.LITTLE_EVIDENCE])
    assert {row["reason"] for row in groups[Group.FAILED]} == {"threshold", "no_plan"}
    assert not {"failed"} & {row["outcome"] for row in groups[Group.RANDOM]}


def test_few_clips_are_all_shown():
    rows = clip_rows(5, seed=1)
    assert {c.row["key"] for c in chosen(rows, 60, 5).chosen()} == {row["key"] for row in rows}


@pytest.mark.usefixtures("small_batches")
def test_drift_counts_clips_that_ended_otherwise(tmp_path: Path):
    before = clip_rows(300, seed=5)
    after = [dict(row) for row in before][100:]
    edited = [row for row in after if row["outcome"] == "improved"][:10]
    for row in edited:
        row["outcome"] = "unchanged"
    for row in after:
        if row["alignment_after"] is not None:
            row["alignment_after"] = min(1.0, row["alignment_after"] * 0.5)
    first, second = write(tmp_path / "a", before, []), write(tmp_path / "b", after, [])
    drift = read_drift(second, first)
    assert drift.common == sum(row["outcome"] != "failed" for row in before[100:])
    assert drift.changed == drift.became["improved", "unchanged"] == 10
    known = [row["alignment_after"] for row in before[100:] if row["alignment_after"] is not None]
    assert drift.differences["alignment"] == (len(known), pytest.approx(-np.mean(known) / 2))


def test_a_folder_without_tables_is_told(tmp_path: Path):
    with pytest.raises(UsageError, match="holds no finished run"):
        read_facts(str(tmp_path))
