"""How far edited sounds are from the originals: what `run.json` tells of a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from shard_tools import improved, unchanged

from avagent.core.clip import ClipRef
from avagent.core.effect import EditEffect
from avagent.records.changes_made import MOST_CHANGED, QUANTILES, ChangesMade

REF = ClipRef(key="a", shard="s.tar", offset=0, length=1, content_sha256="ab" * 32, index=0)


def edited(key: str, effect: EditEffect | None):
    decision = improved(replace(REF, key=key))
    (done,) = decision.history.rounds
    return replace(decision, history=replace(decision.history, rounds=(replace(done, effect=effect),)))


def summary(*decisions):
    found = ChangesMade()
    for decision in decisions:
        found.add("s.tar", decision)
    return found.record()


def test_the_most_changed_come_first_another_tempo_before_all():
    record = summary(
        edited("mild", EditEffect(si_sdr=40.0, loudness_change=0.1)),
        edited("harsh", EditEffect(si_sdr=-16.0, loudness_change=-9.0)),
        edited("faster", EditEffect(si_sdr=None, loudness_change=0.0, tempo_change=4.0)),
        edited("unknown", None),
        unchanged(REF),
    )
    assert (record["edited"], record["not_measured"]) == (4, 1)
    assert [row["key"] for row in record["most_changed"]] == ["faster", "harsh", "mild"]
    assert record["most_changed"][1] == {
        "key": "harsh",
        "shard": "s.tar",
        "si_sdr": -16.0,
        "loudness_change": -9.0,
        "moved_ms": 0.0,
        "tempo_change": 0.0,
    }


@given(values=st.lists(st.floats(-60, 60), min_size=1, max_size=80))
def test_quantiles_are_those_of_the_values_within_a_class(values):
    record = summary(*(edited(str(i), EditEffect(si_sdr=v, loudness_change=None)) for i, v in enumerate(values)))
    for q in QUANTILES:
        exact = float(np.quantile(values, q, method="inverted_cdf"))
        assert abs(record["si_sdr"][f"{q:g}"] - exact) <= 0.2501
    assert record["loudness_change"] == {}
    kept = [row["si_sdr"] for row in record["most_changed"]]
    assert kept == sorted(values)[:MOST_CHANGED]


def test_a_run_without_edits_says_so():
    assert summary(unchanged(REF))["edited"] == 0
