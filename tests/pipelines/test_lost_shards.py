"""What a runner loses is missed: the counts of a finished run are those of its input, or there is no `_SUCCESS`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from runs import contents, run
from scripted_runs import scripted_ports, write_corpus, write_recipe

from avagent.transforms import decisions, write

LOST = "part-000001.tar"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tar shards and a TFRecord shard, and a recipe."""
    folder = tmp_path_factory.mktemp("lost")
    write_corpus(folder / "in", tars=2, records_files=1)
    write_recipe(folder)
    return folder


def refine(corpus: Path, output: Path, *more: object) -> int:
    with scripted_ports():
        return run("refine", "--input", corpus / "in", "--output", output, "--recipe", corpus / "scripted.yaml", *more)


def lose(patch: pytest.MonkeyPatch, transform: Any) -> None:
    """From now on a runner loses what this transform is given for one shard."""
    whole = transform.expand

    def expand(self: Any, tasks: Any) -> Any:
        return whole(self, tasks | "Lose" >> beam.Filter(_kept))

    patch.setattr(transform, "expand", expand)


def _kept(task: Any) -> bool:
    return not task.url.endswith(LOST)


@pytest.mark.parametrize("transform", [decisions.DecideShards, write.ApplyDecisions])
def test_a_lost_shard_is_no_success_and_the_next_run_brings_it(
    transform: Any,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        lose(patch, transform)
        assert refine(corpus, output) == 1
    assert "1 of 3 shards" in capsys.readouterr().err
    assert not (output / "_SUCCESS").exists()
    assert refine(corpus, output) == 0
    assert refine(corpus, tmp_path / "whole") == 0
    assert contents(output) == contents(tmp_path / "whole")


def test_a_lost_report_is_no_success(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(write, "write_report", lambda _, report: None if report.name == LOST else _write(output, report))
        assert refine(corpus, output) == 1
    assert not (output / "_SUCCESS").exists()
    assert refine(corpus, output) == 0


_write = write.write_report


def test_decisions_alone_are_counted_as_well(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        lose(patch, decisions.DecideShards)
        assert refine(corpus, tmp_path / "out", "--decide-only") == 1
    assert not (tmp_path / "out" / "_manifest" / "clips.parquet").exists()
    assert refine(corpus, tmp_path / "out", "--decide-only") == 0


@pytest.fixture
def decided(corpus: Path, tmp_path: Path) -> Path:
    assert refine(corpus, tmp_path / "decided", "--decide-only") == 0
    return tmp_path / "decided"


@pytest.mark.parametrize("elsewhere", [False, True])
def test_apply_misses_a_file_of_decisions(
    decided: Path, tmp_path: Path, *, elsewhere: bool, capsys: pytest.CaptureFixture[str]
):
    (decided / "_manifest" / "decisions" / f"{LOST}.jsonl").unlink()
    output = tmp_path / "other" if elsewhere else decided
    with scripted_ports():
        assert run("apply", "--decisions", decided, "--output", output) == 1
    assert f"1 of 3 shards have no decisions in {decided}" in capsys.readouterr().err
    assert not (output / "_SUCCESS").exists()


def test_apply_misses_a_decision(decided: Path, capsys: pytest.CaptureFixture[str]):
    path = decided / "_manifest" / "decisions" / f"{LOST}.jsonl"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[1:]), "utf-8")
    with scripted_ports():
        assert run("apply", "--decisions", decided) == 1
    assert "1 clips of" in capsys.readouterr().err
    assert not (decided / "_SUCCESS").exists()


def test_a_part_of_a_run_has_all_its_clips(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The limit falls into the second shard."""
    output = tmp_path / "out"
    assert refine(corpus, output, "--limit", 10, "--decide-only") == 0
    path = output / "_manifest" / "decisions" / f"{LOST}.jsonl"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    shutil.copytree(output, tmp_path / "less")
    (tmp_path / "less" / path.relative_to(output)).write_text("".join(lines[1:]), "utf-8")
    with scripted_ports():
        assert run("apply", "--decisions", tmp_path / "less") == 1
        assert "should have 3 clips, found 2" in capsys.readouterr().err
        assert run("apply", "--decisions", output) == 0
    counts = json.loads((output / "_manifest" / "run.json").read_text("utf-8"))["counts"]
    assert (counts["shards"], counts["clips"]) == (2, 10)
