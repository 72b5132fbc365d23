"""The unrolled loop on Beam: every way a clip can go, each model loaded once, nothing lost."""

from __future__ import annotations

import io
import tarfile
import wave
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from scripted_ports import (
    FIRST,
    SECOND,
    ScriptedCaptioner,
    ScriptedPlanner,
    ScriptedScorer,
    note_load,
)

from avagent.core.actions import EXTENDED_ACTIONS
from avagent.core.decide import Policy, Reflection
from avagent.core.errors import FailureReason
from avagent.core.history import Base
from avagent.core.state import ClipDecision, Outcome
from avagent.records.decisions import read_decisions
from avagent.records.manifest import decisions_url
from avagent.transforms.decisions import DecideShards
from avagent.transforms.loop import Loop, PortLoader
from avagent.transforms.read import ShardTask
from avagent.transforms.store import StoreConfig

RUNNER = "apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"
KEYS = ("threshold-1", "fixable-1", "second-1", "twice-1", "hopeless-1", "silent-1", "planless-1", "broken-1")


def wav(seconds: float = 0.6, rate: int = 16_000) -> bytes:
    """A quiet tone, 16-bit."""
    t = np.arange(round(seconds * rate)) / rate
    samples = (3000 * np.sin(2 * np.pi * 440 * t)).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def write_shard(path: Path, keys: tuple[str, ...]) -> str:
    with tarfile.open(path, "w") as archive:
        for key in keys:
            data = b"" if key.startswith("corrupt") else wav()
            info = tarfile.TarInfo(f"{key}.wav")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return str(path)


def load(log: Path, name: str, port: Any) -> Any:
    note_load(log, name)
    return port


def loop(log: Path, *, max_batch: int = 1, max_rounds: int = 3) -> Loop:
    return Loop(
        captioner=PortLoader(partial(load, log, "captioner", ScriptedCaptioner())),
        planner=PortLoader(partial(load, log, "planner", ScriptedPlanner())),
        scorer=PortLoader(partial(load, log, "scorer", ScriptedScorer())),
        policy=Policy(max_rounds=max_rounds, reflection=Reflection.SCORES),
        allowed=EXTENDED_ACTIONS,
        store=StoreConfig(run=str(log)),
        max_batch=max_batch,
    )


def decide(tmp_path: Path, shards: list[str], setting: Loop) -> dict[str, ClipDecision]:
    options = PipelineOptions(["--runner", RUNNER])
    with beam.Pipeline(options=options) as pipeline:
        _ = pipeline | beam.Create([ShardTask(url=s) for s in shards]) | DecideShards(setting, str(tmp_path / "out"))
    decisions = [d for s in shards for d in read_decisions(decisions_url(str(tmp_path / "out"), s))]
    assert len({d.ref.key for d in decisions}) == len(decisions)
    return {d.ref.key: d for d in decisions}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "loads.txt"


@pytest.mark.parametrize("max_batch", [1, 5])
def test_every_way_a_clip_can_go(tmp_path: Path, log: Path, max_batch: int):
    shards = [write_shard(tmp_path / "a.tar", KEYS[:4]), write_shard(tmp_path / "b.tar", KEYS[4:])]
    found = decide(tmp_path, shards, loop(log, max_batch=max_batch))
    summary = {key: (d.outcome, d.reason, [a.kind for a in d.actions]) for key, d in found.items()}
    assert summary == {
        "threshold-1": (Outcome.UNCHANGED, "threshold", []),
        "fixable-1": (Outcome.IMPROVED, "threshold", ["wiener_filter"]),
        "second-1": (Outcome.IMPROVED, "threshold", ["volume"]),
        "twice-1": (Outcome.IMPROVED, "threshold", ["wiener_filter", "volume"]),
        "hopeless-1": (Outcome.UNCHANGED, "round_limit", []),
        "silent-1": (Outcome.NOT_EVALUABLE, "muted", []),
        "planless-1": (Outcome.UNCHANGED, "no_plan", []),
        "broken-1": (Outcome.FAILED, "model_failed", []),
    }


def test_a_bad_edit_is_not_built_upon(tmp_path: Path, log: Path):
    shard = write_shard(tmp_path / "a.tar", ("second-1", "twice-1"))
    found = decide(tmp_path, [shard], loop(log))
    second, twice = found["second-1"].history, found["twice-1"].history
    assert second is not None
    assert twice is not None
    assert [(r.base, r.plan, r.accepted) for r in second.rounds] == [
        (Base.ORIGINAL, FIRST, False),
        (Base.ORIGINAL, SECOND, True),
    ]
    assert [(r.base, r.accepted) for r in twice.rounds] == [(Base.ORIGINAL, True), (Base.CURRENT, True)]


def test_captions_facts_and_rounds_are_on_record(tmp_path: Path, log: Path):
    shard = write_shard(tmp_path / "a.tar", ("hopeless-1",))
    decision = decide(tmp_path, [shard], loop(log))["hopeless-1"]
    assert decision.captions is not None
    assert decision.captions.audio is not None
    assert decision.captions.audio.text == "the sound of hopeless-1"
    assert decision.facts is not None
    assert decision.facts.rate == 16_000
    assert decision.history is not None
    assert len(decision.history.rounds) == 3
    assert len({r.plan for r in decision.history.rounds}) == 3


def test_each_port_is_loaded_once_per_process_over_three_rounds(tmp_path: Path, log: Path):
    shards = [write_shard(tmp_path / f"{n}.tar", (f"hopeless-{n}", f"twice-{n}")) for n in range(3)]
    decide(tmp_path, shards, loop(log))
    loads = Counter(log.read_text(encoding="utf-8").splitlines())
    assert {line.split()[0] for line in loads} == {"captioner", "planner", "scorer"}
    assert set(loads.values()) == {1}


def test_a_broken_clip_takes_no_other_along(tmp_path: Path, log: Path):
    keys = ("corrupt-1", "fixable-1", "broken-1", "fixable-2", "corrupt-2")
    found = decide(tmp_path, [write_shard(tmp_path / "a.tar", keys)], loop(log, max_batch=8))
    assert list(found) == list(keys)
    assert [found[k].outcome for k in keys] == [
        Outcome.FAILED,
        Outcome.IMPROVED,
        Outcome.FAILED,
        Outcome.IMPROVED,
        Outcome.FAILED,
    ]
    failure = found["corrupt-1"].failure
    assert failure is not None
    assert failure.reason is FailureReason.CORRUPT_MEDIA


def test_no_rounds_decide_on_the_original_alone(tmp_path: Path, log: Path):
    shard = write_shard(tmp_path / "a.tar", ("fixable-1", "threshold-1"))
    found = decide(tmp_path, [shard], loop(log, max_rounds=0))
    assert found["fixable-1"].reason == "round_limit"
    assert found["threshold-1"].reason == "threshold"


def test_an_empty_shard_still_has_a_decision_file(tmp_path: Path, log: Path):
    shard = write_shard(tmp_path / "empty.tar", ())
    assert decide(tmp_path, [shard], loop(log)) == {}


def test_only_the_first_clips_of_a_task_are_read(tmp_path: Path, log: Path):
    shard = write_shard(tmp_path / "a.tar", KEYS)
    with beam.Pipeline(options=PipelineOptions(["--runner", RUNNER])) as pipeline:
        tasks = pipeline | beam.Create([ShardTask(url=shard, clips=3)])
        _ = tasks | DecideShards(loop(log), str(tmp_path / "out"))
    found = [d.ref.key for d in read_decisions(decisions_url(str(tmp_path / "out"), shard))]
    assert found == list(KEYS[:3])
