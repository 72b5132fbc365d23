"""How often models are loaded, where they live, and what a run tells about them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from runs import counts_add_up, refined
from tiny_captioners import save_qwen2_audio

from avagent.pipelines.throughput import stage_throughput


def captioner(folder: Path) -> tuple[str, ...]:
    options = f"{{model: {folder}, device: cpu, max_new_tokens: 4}}"
    return "--set", "captioner.name=audio_llm", "--set", f"captioner.options={options}"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_qwen2_audio(tmp_path_factory.mktemp("weights") / "audio")


def run_json(output: Path) -> dict:
    return json.loads((output / "_manifest" / "run.json").read_text("utf-8"))


def test_models_are_loaded_once_per_process_over_all_stages(corpus: Path, tmp_path: Path, tiny: Path):
    output = refined(corpus / "shards", tmp_path / "out", *captioner(tiny), "--limit", 2)
    counts_add_up(output, 2)
    found = run_json(output)
    metrics = found["metrics"]["decide"]
    assert metrics["score_clips"] > metrics["plan_clips"] >= 1
    assert {stage: metrics[f"{stage}_loads"] for stage in ("caption", "plan", "score")} == {
        "caption": 1,
        "plan": 1,
        "score": 1,
    }
    assert metrics["caption_clips"] == 2
    rates = found["throughput"]["decide"]["caption"]
    assert rates["clips_per_s"] > 0
    assert rates["audio_s_per_s"] > rates["clips_per_s"]
    assert metrics["caption_tokens_in"] > metrics["caption_tokens_out"] > 0


def test_worker_processes_share_one_model_of_the_machine(corpus: Path, tmp_path: Path, tiny: Path):
    workers = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    sharing = ("--set", "worker.share_model=[captioner]", "--max-rounds", 0)
    before = set(Path(tempfile.gettempdir()).glob("avagent-*.address"))
    output = refined(corpus / "shards", tmp_path / "out", *captioner(tiny), *sharing, *workers)
    counts_add_up(output, 6)
    metrics = run_json(output)["metrics"]["decide"]
    assert metrics["caption_loads"] == 1
    assert metrics["score_loads"] == 2
    assert metrics["caption_clips"] == 6
    assert metrics["caption_audio_ms"] > 10_000
    assert set(Path(tempfile.gettempdir()).glob("avagent-*.address")) == before


def test_throughput_is_what_was_done_in_the_busy_time():
    metrics = {
        "caption_ms": {"count": 2, "sum": 4000, "min": 1, "max": 3},
        "caption_clips": 8,
        "caption_audio_ms": 60_000,
        "plan_ms": {"count": 1, "sum": 0, "min": 0, "max": 0},
        "plan_clips": 1,
        "edit_ms": {"count": 1, "sum": 5, "min": 5, "max": 5},
        "cache_hits": 3,
    }
    assert stage_throughput(metrics) == {
        "caption": {"busy_s": 4.0, "clips_per_s": 2.0, "audio_s_per_s": 15.0},
        "plan": {"busy_s": 0.0},
    }
