"""Whole runs with a planner LLM of tiny random weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from runs import counts_add_up, refined, run
from tiny_llm import save_tiny_llm

from avagent.models.llm.loading import LanguageModel, LanguageModelSource


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llm(tmp_path_factory.mktemp("llm") / "tiny")


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[LanguageModelSource]:
    """What was loaded, in order."""
    done: list[LanguageModelSource] = []
    load = LanguageModelSource.load

    def note(source: LanguageModelSource) -> LanguageModel:
        done.append(source)
        return load(source)

    monkeypatch.setattr(LanguageModelSource, "load", note)
    return done


def planned(llm: Path, **options: Any) -> tuple[str, ...]:
    given = {"model": str(llm), "device": "cpu", **options}
    return "--set", "planner.name=llm", "--set", f"planner.options={json.dumps(given)}", "--set", "policy.threshold=1"


@pytest.mark.parametrize("decoding", ["rank", "generate"])  # by the sum, random weights prefer the shortest: none
def test_clips_are_refined_by_the_llms_plans(
    corpus: Path, llm: Path, tmp_path: Path, loads: list[LanguageModelSource], decoding: str
):
    output = refined(
        corpus / "shards", tmp_path / "out", *planned(llm, decoding=decoding, normalization="mean"), "--limit", 2
    )
    counts_add_up(output, 2)
    assert len(loads) == 1
    models = json.loads((output / "_manifest" / "run.json").read_text("utf-8"))["models"]
    assert models["planner"].startswith("llm(r")
    rounds = pq.read_table(output / "_manifest" / "rounds.parquet").to_pylist()
    reasons = [row["rationale"] for row in rounds]
    assert reasons
    assert all(reason.startswith(("llm", "fallback: embedded planner: ")) for reason in reasons)
    if decoding == "rank":
        assert max(row["round"] for row in rounds) == 3


def test_weights_that_are_absent_stop_the_run_before_it_starts(corpus: Path, tmp_path: Path, capsys):
    output = tmp_path / "out"
    assert run("refine", "--input", corpus / "shards", "--output", output, *planned(tmp_path / "absent")) == 1
    assert "no folder" in capsys.readouterr().err
    assert not (output / "_SUCCESS").exists()


def test_no_model_runtime_is_imported_to_name_the_planner(llm: Path):
    code = (
        "import sys\n"
        "from avagent.models.registry import build_planner\n"
        f"print(build_planner('llm', {{'model': {str(llm)!r}}}).fingerprint[:4])\n"
        "print(sorted({'torch', 'transformers', 'peft', 'llguidance', 'apache_beam'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["llm(", "[]"]
