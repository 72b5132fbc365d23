"""How the command line behaves: completion, JSON, colour, interrupts, dry runs, mistyped words."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import BashComplete
from runs import contents, refined, run
from scripted_runs import scripted_ports, start, write_corpus, write_recipe

from avagent.pipelines import cli

CLIPS = 14
"""In two shards of `write_corpus`."""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_corpus(tmp_path / "in", tars=2)
    return tmp_path / "in"


def command(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own."""
    script = [sys.executable, "-m", "avagent.pipelines.cli", *map(str, words)]
    return subprocess.run(
        script, check=False, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120
    )


def as_json(capsys: pytest.CaptureFixture[str]) -> Any:
    """All of standard output: one document."""
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_one_of_its_shell(shell: str, capsys: pytest.CaptureFixture[str]):
    assert run("completion", shell) == 0
    script = capsys.readouterr().out
    assert "_AVAGENT_COMPLETE" in script
    assert f"{shell}_complete" in script


def complete(*words: str) -> list[str]:
    """What is offered for the last word."""
    found = BashComplete(cli.commands, {}, "avagent", "_AVAGENT_COMPLETE").get_completions(list(words[:-1]), words[-1])
    return [item.value for item in found]


def test_commands_options_recipes_and_paths_are_completed():
    assert complete("re") == ["refine", "replay", "report", "review"]
    assert "--dry-run" in complete("refine", "--d")
    assert complete("refine", "--recipe", "em") == ["embedded"]
    assert complete("refine", "--input", "shar") == ["shar"]
    asked = command(_AVAGENT_COMPLETE="bash_complete", COMP_WORDS="avagent stat", COMP_CWORD="1")
    assert asked.stdout == "plain,status\n"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["refin"], "refine"),
        (["refine", "--inptu", "x", "--output", "y"], "--input"),
        (["refine", "--input", "x", "--output", "y", "--dryrun"], "--dry-run"),
        (["refine", "--input", "x", "--output", "y", "--dry_run"], "--dry-run"),
        (["status", "--jsno", "x"], "--json"),
        (["refine", "--input", "x", "--output", "y", "--recipe", "embeded"], "embedded"),
    ],
)
def test_what_is_mistyped_names_the_nearest(words: list[str], meant: str, capsys: pytest.CaptureFixture[str]):
    assert run(*words) == cli.UNUSABLE
    assert meant in capsys.readouterr().err.replace("embeded", "")


@pytest.mark.parametrize("place", [".", "holiday"])
def test_recordings_are_sent_to_ingest(tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "my videos"
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / place / "One.MP4").write_bytes(b"film")
    assert run("refine", "--input", folder, "--output", tmp_path / "out") == cli.UNUSABLE
    text = capsys.readouterr().err
    quoted = text.split("`")[1]
    assert shlex.split(quoted) == ["avagent", "ingest", "--input", str(folder), "--output", "shards"]


def test_results_as_json_are_all_that_standard_output_holds(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    recipe, output = write_recipe(tmp_path), tmp_path / "out"
    with scripted_ports():
        assert run("refine", "--input", corpus, "--output", output, "--recipe", recipe, "--json") == 0
        found = as_json(capsys)
        assert found["clips"] == sum(found["outcomes"].values()) == CLIPS
        assert found["actions"]
        assert found["exit_code"] == 0
        assert run("refine", "--input", corpus, "--output", output, "--recipe", recipe, "--json") == 0
        again = as_json(capsys)
        assert again["complete_already"]
        assert again["outcomes"] == found["outcomes"]
        assert run("replay", "--output", output, "--dry-run", "--json") == 0
        letters = as_json(capsys)["dead_letters"]
        assert sum(row["clips"] for row in letters) == found["outcomes"]["failed"]
    assert run("status", output, "--json") == 0
    assert as_json(capsys)["complete"]
    assert run("doctor", "--json") in (0, 1)
    assert {"subject", "health", "detail"} == set(as_json(capsys)[0])


def test_log_lines_as_json(corpus: Path, tmp_path: Path):
    done = command(
        "--log-format", "json", "refine", "--input", corpus, "--output", tmp_path / "out", "--dry-run", "--limt", "3"
    )
    assert done.returncode == cli.UNUSABLE
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert lines[-1]["level"] == "ERROR"
    assert "--limit" in lines[-1]["message"]
    assert {"time", "level", "logger", "message"} <= set(lines[-1])
    done = command(
        "convert", "--input", corpus, "--to", "tfrecord", "--output", tmp_path / "t", AVAGENT_LOG_FORMAT="json"
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["clips"] == CLIPS
    assert all(json.loads(line)["level"] for line in done.stderr.splitlines())


def test_no_color_is_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert run("refine", "--input", tmp_path, "--output", tmp_path / "x") == cli.UNUSABLE
    assert "\x1b[31m" in capsys.readouterr().err
    monkeypatch.setenv("NO_COLOR", "1")
    assert run("refine", "--input", tmp_path, "--output", tmp_path / "x") == cli.UNUSABLE
    plain = capsys.readouterr().err
    assert "\x1b[3" not in plain
    assert "no *.tar" in plain


def test_a_dry_run_tells_what_is_to_be_done_and_writes_nothing(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    recipe, output = write_recipe(tmp_path), tmp_path / "out"
    arguments = ("refine", "--input", corpus, "--output", output, "--recipe", recipe)
    with scripted_ports():
        assert run(*arguments, "--dry-run", "--json") == 0
        found = as_json(capsys)
        assert (found["output_holds"], found["shards"], found["shards_to"]) == ("nobody", 2, {"decide": 2})
        assert not output.exists()
        refined(corpus, output, "--recipe", recipe, "--decide-only")
        before = contents(output)
        capsys.readouterr()
        assert run(*arguments, "--dry-run", "--json") == 0
        found = as_json(capsys)
        assert (found["output_holds"], found["shards_to"]) == ("this run", {"apply": 2})
        assert run("apply", "--decisions", output, "--dry-run", "--json") == 0
        assert as_json(capsys)["shards_to"] == {"apply": 2}
        assert run(*arguments, "--limit", "1", "--dry-run") == cli.UNUSABLE
        assert run(*arguments, "--limit", "1", "--overwrite", "--dry-run") == 0
        assert "another run" in capsys.readouterr().out
        assert contents(output) == before


def test_dry_runs_of_other_commands_write_nothing(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    files = tmp_path / "files"
    files.mkdir()
    (files / "one.wav").write_bytes(b"sound")
    commands = (
        ("ingest", "--input", files, "--output", tmp_path / "a"),
        ("convert", "--input", corpus, "--to", "tfrecord", "--output", tmp_path / "b"),
        ("plan-data", "--input", corpus, "--output", tmp_path / "c"),
    )
    before = contents(tmp_path)
    for words in commands:
        assert run(*words, "--dry-run", "--json") == 0
        assert as_json(capsys)["dry_run"]
    assert contents(tmp_path) == before


def test_ctrl_c_says_how_to_go_on_and_what_it_says_works(corpus: Path, tmp_path: Path):
    recipe, output = write_recipe(tmp_path), tmp_path / "out"
    process = start("refine", "--input", corpus, "--output", output, "--recipe", recipe, limit=120)
    decisions = output / "_manifest" / "decisions"
    while process.poll() is None and not (decisions.exists() and any(decisions.iterdir())):
        pass
    os.killpg(process.pid, signal.SIGINT)
    code, text = process.wait(), process.text()
    assert code == cli.FAILED
    assert "Traceback" not in text
    told = text.rpartition("go on with: ")[2]
    again = start(*shlex.split(told)[1:], limit=120)
    assert again.wait() == 0, again.text()
    with scripted_ports():
        peace = refined(corpus, tmp_path / "peace", "--recipe", recipe)
    assert contents(output) == contents(peace)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["refine", "--input", "a b"], "go on with: avagent refine --input 'a b'"),
        (["plan-data", "--input", "x"], "start it again with: avagent plan-data --input x --overwrite"),
        (["train-planner", "--resume"], "go on with: avagent train-planner --resume"),
        (["doctor"], "interrupted"),
    ],
)
def test_what_is_said_after_an_interrupt(
    given: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.commands, "main", interrupt)
    assert run(*given) == cli.FAILED
    assert capsys.readouterr().err.strip().endswith(told)
