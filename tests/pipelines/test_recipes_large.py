"""The recipes `paper` and `modern` from end to end, with tiny weights of the same architectures; and the dry check."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from runs import clips, counts_add_up, refined, run
from tiny_recipes import modern_settings, paper_settings

from avagent.core.actions import PAPER_ACTIONS
from avagent.core.decide import Acceptance
from avagent.pipelines.commands.doctor import examine
from avagent.pipelines.doctor_findings import Health
from avagent.pipelines.recipe import load_recipe
from avagent.records.decisions import read_decisions
from avagent.records.manifest import decisions_url

SETTINGS = {"paper": paper_settings, "modern": modern_settings}
LIMIT = ("--limit", 2, "--max-rounds", 2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in SETTINGS.items()}


def overrides(arguments: list[str]) -> list[str]:
    return arguments[1::2]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_recipe_runs_from_end_to_end(corpus: Path, tmp_path: Path, weights, name: str):
    output = refined(corpus / "shards", tmp_path / "out", "--recipe", name, *weights[name], *LIMIT)
    counts_add_up(output, 2)
    assert {row["outcome"] for row in clips(output).values()} <= {"improved", "unchanged"}
    found = json.loads((output / "_manifest" / "run.json").read_text("utf-8"))
    metrics = found["metrics"]["decide"]
    assert [metrics[f"{stage}_loads"] for stage in ("caption", "plan", "score")] == [1, 1, 1]
    assert metrics["caption_tokens_out"] > 0
    assert found["recipe"]["name"] == name
    shard = next(iter(sorted((corpus / "shards").glob("*.tar"))))
    for decision in read_decisions(decisions_url(str(output), str(shard))):
        assert decision.captions is not None
        assert decision.captions.audio is not None
        assert decision.captions.video is not None
        assert decision.captions.audio.text
        assert decision.captions.video.text


def test_the_papers_recipe_keeps_to_the_paper():
    recipe = load_recipe("paper")
    assert recipe.allowed == PAPER_ACTIONS
    assert recipe.policy.threshold == 0.85
    assert recipe.policy.acceptance is Acceptance.BOTH


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [("paper", 1, "there is no checkpoint weights/imagebind_huge.pth"), ("modern", 2, "needs `revision`, the full")],
)
def test_without_weights_a_run_is_refused_before_it_starts(corpus: Path, tmp_path: Path, capsys, name, code, said):
    assert run("refine", "--input", corpus / "shards", "--output", tmp_path / "out", "--recipe", name) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", SETTINGS)
def test_doctor_lists_everything_that_is_missing_and_where_it_is_expected(name: str, capsys):
    findings = [f for f in examine(load_recipe(name)) if f.health is Health.MISSING]
    weights = [f for f in findings if "weights" in f.subject or "checkpoint" in f.subject]
    assert len(weights) == {"paper": 4, "modern": 3}[name]
    assert all("expected" in f.detail for f in weights)
    notes = [f.detail for f in examine(load_recipe(name)) if f.health is Health.NOTE]
    assert any("Apache-2.0" in note for note in notes)
    assert any("research use only" in note for note in notes) == (name == "paper")
    assert run("doctor", "--recipe", name) == 1


@pytest.mark.parametrize("name", SETTINGS)
def test_doctor_finds_what_is_there_and_how_much_memory_it_takes(weights, name: str):
    findings = {f.subject: f for f in examine(load_recipe(name, overrides(weights[name])))}
    assert [f for f in findings.values() if f.health is Health.MISSING] == []
    assert any("MiB in memory as" in f.detail for f in findings.values())
    assert {"RAM", "GPU memory"} & findings.keys()


def test_doctor_names_a_gpu_that_is_not_there_and_memory_that_does_not_suffice(weights, monkeypatch):
    monkeypatch.setattr("avagent.pipelines.machine.shutil.which", lambda name: None)
    monkeypatch.setattr("avagent.pipelines.machine.ram_bytes", lambda: 1000)
    demands = [*overrides(weights["modern"]), "planner.options.device=cuda"]
    found = {f.subject: f for f in examine(load_recipe("modern", demands))}
    assert found["GPU for 1 models"].health is Health.MISSING
    assert found["RAM"].health is Health.MISSING


def test_doctor_names_a_key_and_a_package_that_are_missing(monkeypatch):
    remote = "{base_url: 'http://127.0.0.1:9/v1', model: m, api_key_env: AVAGENT_NO_SUCH_KEY}"
    recipe = load_recipe("embedded", ["captioner.name=remote", f"captioner.options={remote}"])
    monkeypatch.delenv("AVAGENT_NO_SUCH_KEY", raising=False)
    find = sys.modules["importlib.util"].find_spec
    monkeypatch.setattr("avagent.models.needs.importlib.util.find_spec", lambda n: None if n == "openai" else find(n))
    missing = {f.subject: f.detail for f in examine(recipe) if f.health is Health.MISSING}
    assert "not set" in missing["captioner remote: variable AVAGENT_NO_SUCH_KEY"]
    assert "pip install 'avagent[remote]'" in missing["captioner remote: packages"]


@pytest.mark.parametrize("name", ["embedded", *SETTINGS])
def test_the_dry_check_loads_no_model_runtime(weights, name: str):
    given = overrides(weights[name]) if name in weights else []
    code = (
        "import sys; from avagent.pipelines.commands.doctor import examine\n"
        "from avagent.pipelines.recipe import load_recipe\n"
        f"list(examine(load_recipe({name!r}, {given!r})))\n"
        "print(sorted({'torch', 'transformers', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
