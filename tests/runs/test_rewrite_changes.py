"""What was decided on may have changed by the time it is rewritten; decisions may contradict themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rewrite_tools import FILES, decide_all, letters, options
from shard_tools import (
    improved,
    tar_bytes,
    unchanged,
)

from avagent import storage
from avagent.core.errors import AVAgentError, FailureReason, ParameterError
from avagent.core.state import Outcome
from avagent.runs.rewrite import rewrite_shard


def test_bytes_that_changed_since_the_decision_are_not_edited(shard, output):
    decisions = decide_all(shard, improved)
    storage.write_bytes(shard, tar_bytes([FILES[1], ("a.json", b"{1}"), *FILES[3:8]]))
    report = rewrite_shard(shard, decisions, options(output))
    assert report.outcomes == ((Outcome.IMPROVED, 2), (Outcome.FAILED, 2))
    assert [(late.index, late.failure.reason) for late in report.late_failures] == [
        (0, FailureReason.CHANGED_SINCE_LISTED),
        (3, FailureReason.CHANGED_SINCE_LISTED),
    ]
    assert [name for name, _ in letters(output)] == [
        "a.mp4",
        "a.json",
        "a.error.json",
        "train-000000-sample-000003.error.json",
    ]


def test_a_sample_that_became_unreadable_fails(shard, output):
    decisions = decide_all(shard, improved)
    storage.write_bytes(shard, tar_bytes(FILES)[: 1024 + 700])
    report = rewrite_shard(shard, decisions, options(output))
    assert report.outcomes == ((Outcome.FAILED, 4),)
    assert {late.failure.reason for late in report.late_failures} == {FailureReason.CHANGED_SINCE_LISTED}


def test_the_same_decision_twice_counts_once_and_two_that_differ_are_refused(shard, output):
    decisions = decide_all(shard)
    assert rewrite_shard(shard, decisions * 2, options(output)).clips == 4
    with pytest.raises(ParameterError, match="two different decisions for clip 'a' at index 0"):
        rewrite_shard(shard, [*decisions, improved(decisions[0].ref)], options(output))


def test_an_outcome_that_contradicts_its_failure_is_refused(shard, output):
    decision = replace(decide_all(shard)[0], outcome=Outcome.FAILED)
    with pytest.raises(ParameterError, match="does not go with its failure"):
        rewrite_shard(shard, [decision], options(output))


def test_all_clips_written_is_checked(shard, output, monkeypatch):
    monkeypatch.setattr("avagent.runs.rewrite._Rewriter._missing", lambda self, decision: None)
    decisions = decide_all(shard)
    ghost = unchanged(replace(decisions[0].ref, index=99))
    with pytest.raises(AVAgentError, match="5 clips were decided on, 4 written"):
        rewrite_shard(shard, [*decisions, ghost], options(output))
    assert storage.list_folder(output) == []
