"""`avagent plan-data` and `avagent train-planner` as whole runs, on real clips and a tiny LLM."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import run
from safetensors.numpy import load_file
from tiny_llm import save_tiny_llm

from avagent.models.llm.admissible import admissible
from avagent.models.llm.prompt import prompt_fingerprint, render
from avagent.models.llm.training import last_checkpoint
from avagent.models.registry import build_planner
from avagent.pipelines.plan_accuracy import accuracy, majority_accuracy, planner_accuracy
from avagent.records.training_pairs import PlanPair, Situation, Split, read_pairs, read_skipped

PER_CLIP = 4


@pytest.fixture(scope="module")
def clips(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of the corpus in a shard of their own."""
    folder = tmp_path_factory.mktemp("clips")
    with tarfile.open(corpus / "shards" / "demo-000000.tar") as source:
        names = sorted({name.split(".", 1)[0] for name in source.getnames()})[:2]
        with tarfile.open(folder / "two-000000.tar", "w", format=tarfile.USTAR_FORMAT) as target:
            for member in source.getmembers():
                if member.name.split(".", 1)[0] in names:
                    target.addfile(member, source.extractfile(member))
    return folder


def made(clips: Path, output: Path, *more: object) -> Path:
    arguments = ("--per-clip", PER_CLIP, "--later-rounds", 0.5, "--validation", 0.5, "--seed", 3)
    assert run("plan-data", "--input", clips, "--output", output, *arguments, *more) == 0
    return output


@pytest.fixture(scope="module")
def pairs(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(clips, tmp_path_factory.mktemp("pairs") / "out")


def all_pairs(folder: Path) -> list[PlanPair]:
    return [pair for split in Split for pair in read_pairs(str(folder), split)]


def test_every_sound_becomes_a_pair_that_a_planner_can_answer(pairs: Path):
    found = all_pairs(pairs)
    firsts = sum(pair.situation is Situation.FIRST for pair in found)
    skipped = [item.reason for item in read_skipped(str(pairs))]
    assert firsts + len(skipped) == 2 * PER_CLIP
    assert set(skipped) <= {"no_other_recording"}, "one clip a side: there is none to babble"
    for pair in found:
        assert pair.prompt == render(pair.request)
        choices = [choice.answer for choice in admissible(pair.request)]
        assert pair.answer in choices
        assert (pair.answer == "none, none") == (pair.right == ())


def test_a_recording_is_on_one_side_of_the_split_only(pairs: Path):
    sides = [{pair.source for pair in read_pairs(str(pairs), split)} for split in Split]
    assert not sides[0] & sides[1]


def test_two_runs_write_the_same_bytes(clips: Path, pairs: Path, tmp_path: Path):
    again = made(clips, tmp_path / "out")
    files = {p.relative_to(pairs): p.read_bytes() for p in pairs.rglob("*") if p.is_file()}
    assert files == {p.relative_to(again): p.read_bytes() for p in again.rglob("*") if p.is_file()}


def test_the_datasheet_adds_up(pairs: Path):
    sheet = json.loads((pairs / "datasheet.json").read_text("utf-8"))
    found = all_pairs(pairs)
    assert sum(split["pairs"] for split in sheet["splits"].values()) == len(found)
    for split in Split:
        counts = sheet["splits"][split]
        assert sum(counts["faults"].values()) == counts["pairs"] == sum(counts["answers"].values())
    assert sheet["conditions"]["prompt"] == prompt_fingerprint()
    assert set(sheet["licences"]) == {"GPL-2.0"}
    assert "| fault | train | validation |" in (pairs / "datasheet.md").read_text("utf-8")


def test_pairs_are_not_overwritten_unless_asked(clips: Path, pairs: Path, tmp_path: Path, capsys):
    assert run("plan-data", "--input", clips, "--output", pairs) == 2
    assert "not empty" in capsys.readouterr().err
    (tmp_path / "letter.txt").write_text("mine", "utf-8")
    assert run("plan-data", "--input", clips, "--output", tmp_path, "--overwrite") == 2
    assert "none of ours" in capsys.readouterr().err


def test_right_is_one_kind_that_mends_and_nothing_else(pairs: Path):
    found = all_pairs(pairs)
    perfect = accuracy(found, [pair.right[:1] for pair in found])
    assert perfect.right == perfect.pairs == len(found)
    assert perfect.harm[0] == 0
    overdone = accuracy(found, [(*pair.right[:1], "pitch") for pair in found])
    assert overdone.right == 0
    assert overdone.harm[0] == overdone.harm[1]
    _, majority = majority_accuracy(found, found)
    assert 0 < majority.right < majority.pairs


def test_a_planner_is_judged_by_the_plan_that_would_be_tried_first(pairs: Path):
    found = all_pairs(pairs)
    judged = planner_accuracy(build_planner("embedded"), found)
    assert judged.pairs == len(found)
    assert sum(count for _, count in judged.by_situation.values()) == len(found)
    silent = [pair for pair in found if pair.request.facts is None or pair.request.facts.muted]
    assert planner_accuracy(build_planner("embedded"), silent).right == len(silent)


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llm(tmp_path_factory.mktemp("llm") / "tiny")


def train(pairs: Path, llm: Path, output: Path, *more: object) -> int:
    settings = ("--batch", 2, "--accumulation", 1, "--rank", 2, "--epochs", 2, "--save-steps", 1)
    return run("train-planner", "--data", pairs, "--base", llm, "--output", output, *settings, *more)


def test_an_adapter_is_trained_resumed_and_used(pairs: Path, llm: Path, tmp_path: Path, capsys):
    whole = tmp_path / "whole"
    assert train(pairs, llm, whole, "--longest", 4096) == 0
    printed = capsys.readouterr().out
    assert "LLM, LoRA:" in printed
    assert "held-out loss" in printed
    card: dict[str, Any] = json.loads((whole / "card.json").read_text("utf-8"))
    assert card["prompt"] == prompt_fingerprint()
    assert set(card["accuracies"]) >= {"embedded", "LLM, zero-shot", "LLM, LoRA"}
    assert (whole / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "Apache-2.0" in (whole / "README.md").read_text("utf-8")
    assert str(llm.parent) not in (whole / "adapter_config.json").read_text("utf-8")
    losses = [row["loss"] for row in card["report"]["curve"] if "loss" in row]
    assert losses[-1] < losses[0]
    request = all_pairs(pairs)[0].request
    planner = build_planner("llm", {"model": str(llm), "adapter": str(whole), "device": "cpu"})
    assert planner.plan([request])[0]

    resumed = tmp_path / "resumed"
    steps = int(last_checkpoint(whole).name.rpartition("-")[2])
    (resumed / "checkpoints").mkdir(parents=True)
    earlier = whole / "checkpoints" / f"checkpoint-{steps - 1}"
    earlier.rename(resumed / "checkpoints" / earlier.name)
    assert train(pairs, llm, resumed, "--longest", 4096, "--resume", "--no-evaluate") == 0
    straight, again = (load_file(f / "adapter_model.safetensors") for f in (whole, resumed))
    for name, weights in straight.items():
        np.testing.assert_allclose(again[name], weights, atol=2e-3, err_msg=name)


def test_what_cannot_be_trained_is_refused_with_a_remedy(pairs: Path, llm: Path, tmp_path: Path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine", "utf-8")
    assert train(pairs, llm, tmp_path / "full") == 2
    assert "--resume" in capsys.readouterr().err
    assert train(pairs, llm, tmp_path / "empty", "--resume") == 2
    assert "no checkpoint" in capsys.readouterr().err
    assert train(pairs, llm, tmp_path / "short", "--longest", 8) == 2
    assert "more than 8" in capsys.readouterr().err
    assert train(pairs, llm, tmp_path / "odd", "--longest", 4096, "--target-modules", "no_such_layer") == 2
    assert "no layers no_such_layer" in capsys.readouterr().err
    assert train(tmp_path, llm, tmp_path / "nothing") == 2
    assert "avagent plan-data" in capsys.readouterr().err
    assert train(pairs, llm, tmp_path / "bad", "--rank", 0) == 2
    assert "rank must be at least 1" in capsys.readouterr().err
