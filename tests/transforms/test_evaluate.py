"""A held-out scorer sees what was decided, and decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from scripted_ports import ScriptedCaptioner, ScriptedPlanner, ScriptedScorer
from test_refine import KEYS, RUNNER, write_shard

from avagent.core.actions import EXTENDED_ACTIONS
from avagent.core.decide import Policy, Reflection
from avagent.core.errors import ClipError, FailureReason, ModelError
from avagent.core.ports import ClipView
from avagent.core.scores import Scores
from avagent.core.state import ClipDecision, Outcome
from avagent.records.decisions import read_decisions
from avagent.records.manifest import decisions_url
from avagent.transforms.decisions import DecideShards
from avagent.transforms.loop import Loop, PortLoader
from avagent.transforms.read import ShardTask
from avagent.transforms.store import StoreConfig


@dataclass(frozen=True)
class Contrarian:
    """Finds every edit bad, and fails on clips that say so."""

    fingerprint: str = "contrarian"
    margins: tuple[float, float] = (0.01, 0.01)

    def score(self, views: Sequence[ClipView]) -> list[Scores | ClipError]:
        return [self._score(view) for view in views]

    def _score(self, view: ClipView) -> Scores | ClipError:
        if view.ref.key.startswith("twice"):
            return ModelError("cannot judge this", reason=FailureReason.MODEL_FAILED)
        return Scores(alignment=0.1 if view.actions else 0.9, synchronization=None, synchronization_note="too_short")


def port(value):
    return value


def decide(folder: Path, shard: str, *, evaluated: bool, max_batch: int = 1) -> dict[str, ClipDecision]:
    loop = Loop(
        captioner=PortLoader(partial(port, ScriptedCaptioner())),
        planner=PortLoader(partial(port, ScriptedPlanner())),
        scorer=PortLoader(partial(port, ScriptedScorer())),
        policy=Policy(reflection=Reflection.SCORES),
        allowed=EXTENDED_ACTIONS,
        store=StoreConfig(run=str(folder)),
        max_batch=max_batch,
        evaluation=PortLoader(partial(port, Contrarian())) if evaluated else None,
    )
    with beam.Pipeline(options=PipelineOptions(["--runner", RUNNER])) as pipeline:
        _ = pipeline | beam.Create([ShardTask(url=shard)]) | DecideShards(loop, str(folder))
    return {d.ref.key: d for d in read_decisions(decisions_url(str(folder), shard))}


@pytest.fixture(scope="module")
def shard(tmp_path_factory) -> str:
    return write_shard(tmp_path_factory.mktemp("shards") / "a.tar", (*KEYS, "corrupt-1"))


@pytest.mark.parametrize("max_batch", [1, 4])
def test_decisions_are_the_same_with_and_without(tmp_path: Path, shard: str, max_batch: int):
    without = decide(tmp_path / "without", shard, evaluated=False)
    held_out = decide(tmp_path / "with", shard, evaluated=True, max_batch=max_batch)
    assert {k: replace(d, evaluation=None) for k, d in held_out.items()} == without
    assert {d.outcome for d in without.values()} == set(Outcome)


def test_original_and_final_sound_are_scored(tmp_path: Path, shard: str):
    found = decide(tmp_path, shard, evaluated=True)
    improved = found["fixable-1"].evaluation
    assert improved is not None
    assert (improved.before.alignment, improved.after.alignment) == (0.9, 0.1)
    assert improved.before.synchronization_note == "too_short"
    unchanged = found["hopeless-1"].evaluation
    assert unchanged is not None
    assert unchanged.before == unchanged.after
    assert found["corrupt-1"].evaluation is None
    assert found["broken-1"].evaluation is None


def test_where_it_fails_the_clip_goes_on(tmp_path: Path, shard: str):
    twice = decide(tmp_path, shard, evaluated=True)["twice-1"]
    assert twice.outcome is Outcome.IMPROVED
    assert twice.evaluation is not None
    assert (twice.evaluation.after.alignment, twice.evaluation.after.alignment_note) == (None, "model_failed")


def test_records_without_an_evaluation_are_as_before(tmp_path: Path, shard: str):
    decide(tmp_path / "without", shard, evaluated=False)
    decide(tmp_path / "with", shard, evaluated=True)
    assert '"evaluation"' not in Path(decisions_url(str(tmp_path / "without"), shard)).read_text()
    assert '"evaluation"' in Path(decisions_url(str(tmp_path / "with"), shard)).read_text()
