"""`avagent replay`: what failed, once more, and into its place."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runs import clips, contents, counts_add_up, members, run
from scripted_runs import scripted_ports, wav, write_corpus, write_recipe

import scripted_ports as ports  # isort: skip  (scripted_runs tells where it lies)

from avagent.runs import replay_publish

Parts = tuple[tuple[str, bytes], ...]


QUICK = ("--set", "limits.decode_seconds=null")
"""Nothing here is decoded that could hang."""


@pytest.fixture(scope="module", autouse=True)
def _scripted() -> Iterator[None]:
    with scripted_ports():
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tar shards and a TFRecord shard; in each, the scorer fails on a clip, and another has no media."""
    folder = tmp_path_factory.mktemp("source") / "in"
    write_corpus(folder, tars=2, records_files=1)
    return folder


@pytest.fixture(scope="module")
def before(source: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with failures."""
    return refined(source, tmp_path_factory.mktemp("before") / "out", recipe)


@pytest.fixture(scope="module")
def fresh(source: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run after the fix gives."""
    with pytest.MonkeyPatch.context() as patch:
        mend(patch)
        return plain(refined(source, tmp_path_factory.mktemp("fresh") / "out", recipe))


@pytest.fixture
def output(before: Path, tmp_path: Path) -> Path:
    shutil.copytree(before, tmp_path / "out")
    return tmp_path / "out"


def refined(source: Path, output: Path, recipe: Path, *more: object) -> Path:
    assert run("refine", "--input", source, "--output", output, "--recipe", recipe, *QUICK, *more) == 0
    return output


def mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scorer scores every clip, and finds those that it failed on mendable."""
    real = ports.ScriptedScorer._score

    def mended(self: Any, view: Any) -> Any:
        found = real(self, view)
        kinds = [action.kind for action in view.actions]
        return ports._both(0.9 if "wiener_filter" in kinds else 0.5) if isinstance(found, Exception) else found

    monkeypatch.setattr(ports.ScriptedScorer, "_score", mended)


def without_replays(output: Path) -> dict[str, str]:
    """All contents; the note of the replay in run.json aside."""
    path = output / "_manifest" / "run.json"
    run_json = json.loads(path.read_text("utf-8"))
    assert run_json.pop("replays")
    path.write_text(json.dumps(run_json), "utf-8")
    return contents(output)


def plain(output: Path) -> dict[str, str]:
    path = output / "_manifest" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8"))), "utf-8")
    return contents(output)


def test_after_a_fix_the_output_is_that_of_a_fresh_run(
    output: Path, fresh: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    assert clips(output)["broken-0-5"]["reason"] == "model_failed"
    mend(monkeypatch)
    assert run("replay", "--output", output) == 0
    assert clips(output)["broken-0-5"]["outcome"] == "improved"
    assert clips(output)["corrupt-0"]["outcome"] == "failed"
    assert without_replays(output) == fresh


def test_the_input_is_not_needed(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_corpus(tmp_path / "in", tars=1)
    output = refined(tmp_path / "in", tmp_path / "out", recipe)
    shutil.rmtree(tmp_path / "in")
    mend(monkeypatch)
    assert run("replay", "--output", output) == 0
    assert clips(output)["broken-0-5"]["outcome"] == "improved"
    counts_add_up(output, 7)


def test_what_fails_again_changes_nothing(output: Path):
    before = plain(output)
    assert run("replay", "--output", output) == 0
    assert without_replays(output) == before


def test_a_dry_run_tells_and_changes_nothing(output: Path, capsys: pytest.CaptureFixture[str]):
    before = contents(output)
    assert run("replay", "--output", output, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "6 dead letters in 3 shards" in shown
    assert "model_failed" in shown
    assert "corrupt_media" in shown
    assert contents(output) == before


def test_only_letters_of_a_reason(output: Path, monkeypatch: pytest.MonkeyPatch):
    mend(monkeypatch)
    assert run("replay", "--output", output, "--reason", "corrupt_media") == 0
    assert clips(output)["broken-0-5"]["outcome"] == "failed"
    assert run("replay", "--output", output, "--reason", "model_failed") == 0
    assert clips(output)["broken-0-5"]["outcome"] == "improved"


class _Killed(BaseException):
    """As SIGKILL: nothing is cleaned up."""


def test_kills_while_files_are_put_in_their_places_lose_nothing(
    output: Path, fresh: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    mend(monkeypatch)
    real = replay_publish._place
    for step in range(0, 19, 3):
        left = [step]

        def dies(*arguments: Any, left: list[int] = left, **named: Any) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise _Killed
            real(*arguments, **named)

        with monkeypatch.context() as patch:
            patch.setattr(replay_publish, "_place", dies)
            if step < 18:
                with pytest.raises(_Killed):
                    run("replay", "--output", output)
                assert not (output / "_SUCCESS").exists()
            else:
                assert run("replay", "--output", output) == 0
        for shard in output.glob("*.tar"):
            assert len(members(shard)) % 3 == 0
    assert without_replays(output) == fresh


def tar(path: Path, entries: Parts) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_entries_between_clips_keep_their_places(
    name: str, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "in").mkdir()
    entries = (
        ("README", b"first"),
        ("broken-a.wav", wav(1)),
        ("NOTES", b"between"),
        ("fixable-b.wav", wav(2)),
        ("MORE", b"x" * 2000),
        ("broken-c.wav", wav(3)),
        ("broken-d.wav", wav(4)),
        ("END", b""),
    )
    tar(tmp_path / "in" / "a.tar", entries)
    if name.endswith(".gz"):
        plain_shard = tmp_path / "in" / "a.tar"
        (tmp_path / "in" / name).write_bytes(gzip.compress(plain_shard.read_bytes()))
        plain_shard.unlink()
    output = refined(tmp_path / "in", tmp_path / "out", recipe)
    mend(monkeypatch)
    assert run("replay", "--output", output) == 0
    fresh = refined(tmp_path / "in", tmp_path / "fresh", recipe)
    assert list(members(output / name)) == list(members(fresh / name))
    assert without_replays(output) == plain(fresh)


def test_raised_limits_let_large_clips_in(recipe: Path, tmp_path: Path):
    (tmp_path / "in").mkdir()
    tar(
        tmp_path / "in" / "a.tar",
        (
            ("threshold-a.wav", wav(1)),
            ("fixable-b.wav", wav(2, 2.0)),
            ("fixable-c.wav", wav(3)),
            ("fixable-c.txt", b""),
        ),
    )
    output = refined(tmp_path / "in", tmp_path / "out", recipe, "--set", "limits.member_bytes=20000")
    assert clips(output)["fixable-b"]["reason"] == "limit_exceeded"
    assert run("replay", "--output", output, "--set", "limits.member_bytes=1000000") == 0
    counts_add_up(output, 3)
    fresh = refined(tmp_path / "in", tmp_path / "fresh", recipe, "--set", "limits.member_bytes=1000000")
    assert clips(output)["fixable-b"]["outcome"] == "improved"
    found, wanted = members(output / "a.tar"), members(fresh / "a.tar")
    assert list(found) == list(wanted)
    # The container of a clip tells of the recipe that decided on it, as its record does.
    told = {id(m): json.loads(m["fixable-c.avagent.json"])["provenance"]["fingerprint"] for m in (found, wanted)}
    assert told[id(found)].encode() in found["fixable-c.wav"]
    found["fixable-c.wav"] = found["fixable-c.wav"].replace(told[id(found)].encode(), told[id(wanted)].encode())
    assert all(found[name] == wanted[name] for name in found if not name.endswith("avagent.json"))
    assert found["fixable-b.avagent.json"] == wanted["fixable-b.avagent.json"]


def test_shards_that_could_not_be_read_are_taken_from_where_they_were(recipe: Path, tmp_path: Path):
    write_corpus(tmp_path / "in", tars=2, clips=4)
    good = {path: path.read_bytes() for path in sorted((tmp_path / "in").iterdir())}
    unreadable, truncated = good
    unreadable.write_bytes(b"\x1f\x8b" + b"?" * 3000)
    truncated.write_bytes(good[truncated][:20_000])
    output = refined(tmp_path / "in", tmp_path / "out", recipe)
    assert {row["reason"] for row in clips(output).values()} >= {"unreadable_shard", "truncated_shard"}
    for path, data in good.items():
        path.write_bytes(data)
    assert run("replay", "--output", output) == 0
    found, wanted = contents(output), contents(refined(tmp_path / "in", tmp_path / "fresh", recipe))
    # The claim and run.json tell of the files as they were.
    aside = {"_manifest/claim.json", "_manifest/run.json"}
    assert {n: d for n, d in found.items() if n not in aside} == {n: d for n, d in wanted.items() if n not in aside}


def test_a_key_that_is_taken_stays_a_dead_letter(recipe: Path, tmp_path: Path):
    (tmp_path / "in").mkdir()
    tar(
        tmp_path / "in" / "a.tar",
        (("fixable-a.wav", wav(1)), ("threshold-b.wav", wav(2)), ("fixable-a.wav", wav(3))),
    )
    output = refined(tmp_path / "in", tmp_path / "out", recipe)
    before = plain(output)
    assert run("replay", "--output", output) == 0
    assert without_replays(output) == before


def test_arguments_that_cannot_be_used(output: Path, tmp_path: Path, capsys: Any):
    assert run("replay", "--output", tmp_path / "none") == 2
    (output / "_SUCCESS").unlink()
    assert run("replay", "--output", output) == 2
    assert "not finished" in capsys.readouterr().err
    assert run("replay", "--output", output, "--reason", "bad_luck") == 2


def test_a_run_that_goes_wrong_stops_early_and_says_why(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "in").mkdir()
    for shard in range(4):
        tar(tmp_path / "in" / f"{shard}.tar", tuple((f"corrupt-{shard}-{i}.wav", b"no media") for i in range(30)))
    options = (*QUICK, "--set", "max_failure_ratio=0.1")
    command = ("refine", "--input", tmp_path / "in", "--output", tmp_path / "out", "--recipe", recipe, *options)
    assert run(*command, "--set", "failure_check_after=40") == 1
    shown = capsys.readouterr().err
    assert "stopped early: " in shown
    assert "corrupt_media (e.g. clip 'corrupt-" in shown
    assert "while running" not in shown
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert run(*command, "--set", "failure_check_after=null") == 3
