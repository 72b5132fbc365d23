"""`ingest` and `replay` under SIGKILL, as soon as a stage has left its mark; started again they give the same bytes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from killing import LIMIT_S, keys_in
from media_samples import Recipe, build, tone_bursts
from runs import contents
from scripted_runs import start, write_corpus, write_recipe
from test_replay import without_replays

import scripted_ports as ports  # isort: skip  (scripted_runs tells where it lies)


def killed_at(marks: Sequence[str], output: Path, command: Sequence[object]) -> int:
    """Kill the command whenever one of the marks (globs) has appeared, then let it run to its end; kills that hit."""
    kills = 0
    for mark in marks:
        process = start(*command, limit=LIMIT_S)
        while process.poll() is None and not next(output.glob(mark), None):
            time.sleep(0.002)
        kills += process.poll() is None
        process.kill_group()
        process.text()
    finish(*command)
    return kills


def finish(*command: object) -> None:
    process = start(*command, limit=LIMIT_S)
    text = process.text()[-3000:]
    assert process.returncode == 0, text


def leftovers(output: Path) -> list[str]:
    return sorted(path.name for path in output.rglob("*") if path.name.endswith(".tmp"))


def test_a_killed_ingest_that_is_started_again_gives_the_same_bytes(tmp_path: Path):
    source = tmp_path / "in"
    source.mkdir()
    for seed in range(6):
        data = build(Recipe(frames=30, sound=tone_bursts(1.2, seed=seed)))
        (source / f"clip{seed}.mp4").write_bytes(data)
    command = ("ingest", "--input", source, "--shard-clips", 2, "--output")
    finish(*command, tmp_path / "peace")
    fire = tmp_path / "fire"
    marks = ("_ingest/claim.json", "_ingest/check/**/*", "_ingest/plan*/**/*", "clips-*.tar", "index.json")
    assert killed_at(marks, fire, (*command, fire)) >= 3
    assert contents(fire) == contents(tmp_path / "peace")
    assert leftovers(fire) == []
    assert sorted(keys_in([fire]).values()) == [1] * 6


def test_a_killed_replay_that_is_started_again_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source, recipe, peace, fire = tmp_path / "in", write_recipe(tmp_path), tmp_path / "peace", tmp_path / "fire"
    write_corpus(source, tars=2, records_files=1)
    finish("refine", "--input", source, "--output", peace, "--recipe", recipe)
    shutil.copytree(peace, fire)
    monkeypatch.setenv(ports.MENDED, "1")
    finish("replay", "--output", peace)
    marks = ("_replay/claim.json", "_replay/*/_manifest/**/*.jsonl", "_replay/publish.json", "_replay/publish.json")
    assert killed_at(marks, fire, ("replay", "--output", fire)) >= 2
    assert without_replays(fire) == without_replays(peace)
    assert leftovers(fire) == []
    assert keys_in([fire, fire / "_errors"]) == keys_in([source])
