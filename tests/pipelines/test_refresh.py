"""Nightly runs: the output is that of a run without `--previous`, and only what changed is done."""

from __future__ import annotations

import copy
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from changing_corpus import FIRST_NIGHT, Night, Shards, write_corpus
from counting_ports import asked, counting_ports
from runs import contents, run

EXTRA = ("changes.parquet", ".changes.json")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with counting_ports(tmp_path_factory.mktemp("recipe")) as path:
        yield path


def refine(recipe: Path, source: Path, output: Path, *more: object, code: int = 0) -> Path:
    assert run("refine", "--recipe", recipe, "--input", source, "--output", output, *more) == code
    return output


def same_as_afresh(output: Path) -> dict[str, Any]:
    """All files but those that tell of the refresh; `run.json` without times and its part on the refresh."""
    found: dict[str, Any] = {name: digest for name, digest in contents(output).items() if not name.endswith(EXTRA)}
    timed = ("seconds", "metrics", "throughput", "refresh")
    return found | {"_manifest/run.json": {k: v for k, v in run_json(output).items() if k not in timed}}


def run_json(output: Path) -> dict[str, Any]:
    return json.loads((output / "_manifest" / "run.json").read_text("utf-8"))


def refresh(output: Path) -> dict[str, Any]:
    return run_json(output)["refresh"]


def changes(output: Path) -> list[tuple[str, str]]:
    """(key, what became of it), in order."""
    rows = pq.read_table(output / "_manifest" / "changes.parquet").to_pylist()
    return [(row["key"], row["change"]) for row in rows]


@pytest.fixture(scope="module")
def first(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Corpus and output of the first night."""
    folder = tmp_path_factory.mktemp("first")
    source = write_corpus(folder / "in", FIRST_NIGHT)
    return source, refine(recipe, source, folder / "2026-11-22")


def test_nothing_is_read_or_decided_if_nothing_changed(recipe: Path, first: tuple[Path, Path], tmp_path: Path):
    """But for the shard with a clip that failed by chance."""
    source, previous = first
    with asked() as questions:
        output = refine(recipe, source, tmp_path / "out", "--previous", previous)
    assert {key for _, key in questions} == {"broken-a"}
    assert same_as_afresh(output) == same_as_afresh(previous)
    assert refresh(output) == {
        "previous": str(previous),
        "shards_copied": 4,
        "clips_reused": 18,
        "clips_decided_again": 1,
        "clips_changed": 0,
        "clips_new": 0,
        "clips_deleted": 0,
        "captions_reused": 1,
        "scores_reused": 0,
    }
    for shard in ("a-000001.tar", "b.tfrecord"):
        assert (output / shard).stat().st_ino == (previous / shard).stat().st_ino


@pytest.mark.parametrize("seed", [2])
def test_whatever_changed_the_output_is_that_of_a_run_afresh(recipe: Path, tmp_path: Path, seed: int):
    previous = refine(recipe, write_corpus(tmp_path / "in", FIRST_NIGHT), tmp_path / "previous")
    rng = random.Random(seed)  # noqa: S311  (no secret)
    night = Night(rng, copy.deepcopy(FIRST_NIGHT)).change(2 + 4 * seed)
    source = write_corpus(tmp_path / "in", night)
    with asked() as questions:
        output = refine(recipe, source, tmp_path / "night", "--previous", previous)
    afresh = refine(recipe, source, tmp_path / "afresh")
    assert same_as_afresh(output) == same_as_afresh(afresh)
    before = {clip for clips in FIRST_NIGHT.values() for clip in clips}
    now = [clip for clips in night.values() for clip in clips]
    assert len(pq.read_table(output / "_manifest" / "clips.parquet")) == len(now)
    unknown = {clip[0] for clip in now if clip not in before}
    assert {key for port, key in questions if port == "captioner"} <= unknown
    tally = Counter(change for _, change in changes(output))
    assert {f"clips_{change}": count for change, count in tally.items()}.items() <= refresh(output).items()
    assert tally["new"] + tally["changed"] + tally["reused"] + tally["decided_again"] == len(now)


SETTINGS = {
    "captioner": ("captioner.options.revision=2", {"captioner", "planner", "rescorer"}),
    "planner": ("planner.options.revision=2", {"planner", "rescorer"}),
    "scorer": ("scorer.options.revision=2", {"planner", "scorer", "rescorer"}),
    "policy": ("policy.threshold=0.6", {"planner", "rescorer"}),
    "reflection": ("policy.reflection=effects", {"planner", "scorer", "rescorer"}),
}


@pytest.mark.parametrize("part", SETTINGS)
def test_a_changed_recipe_asks_only_those_who_depend_on_it(
    recipe: Path, first: tuple[Path, Path], tmp_path: Path, part: str
):
    """Clips that failed aside: what they failed at is tried again."""
    source, previous = first
    setting, concerned = SETTINGS[part]
    with asked() as questions:
        output = refine(recipe, source, tmp_path / "out", "--set", setting, "--previous", previous)
    with asked() as everything:
        afresh = refine(recipe, source, tmp_path / "afresh", "--set", setting)
    assert same_as_afresh(output) == same_as_afresh(afresh)
    assert {port for port, key in questions if not key.startswith(("broken", "bad"))} <= concerned
    assert Counter(questions) <= Counter(everything)
    counts = refresh(output)
    assert counts["shards_copied"] == 0
    decided = counts["clips_reused"] + counts["clips_decided_again"]
    assert decided == sum(map(len, FIRST_NIGHT.values()))
    assert counts["captions_reused"] == {"captioner": 0}.get(part, 19)
    assert counts["scores_reused"] == {"scorer": 0, "reflection": 0}.get(part, 16)


def test_repaired_sound_is_not_repaired_again(recipe: Path, first: tuple[Path, Path], tmp_path: Path):
    """Another name of the recipe is in every record, so all shards are written again."""
    source, previous = first
    output = refine(recipe, source, tmp_path / "out", "--set", "name=other", "--previous", previous)
    assert run_json(previous)["counts"]["outcomes"]["improved"] > 0
    assert run_json(previous)["metrics"]["apply"]["repair_ms"]["count"] > 0
    assert "repair_ms" not in run_json(output)["metrics"]["apply"]
    edited = refine(
        recipe, source, tmp_path / "edited", "--set", "output.audio_codec=pcm_s16le", "--previous", previous
    )
    repairs = run_json(edited)["metrics"]["apply"]["repair_ms"]["count"]
    assert repairs == run_json(previous)["metrics"]["apply"]["repair_ms"]["count"]
    assert "plan_ms" not in run_json(edited)["metrics"]["decide"]


def test_a_shard_that_was_lost_is_written_again(recipe: Path, first: tuple[Path, Path], tmp_path: Path):
    source, kept = first
    previous = Path(shutil.copytree(kept, tmp_path / "previous"))
    (previous / "a-000001.tar").write_bytes((previous / "a-000001.tar").read_bytes()[:-512])
    (previous / "b.tfrecord").unlink()
    with asked() as questions:
        output = refine(recipe, source, tmp_path / "out", "--previous", previous)
    assert {key for _, key in questions} == {"broken-a"}
    assert refresh(output)["shards_copied"] == 2
    assert same_as_afresh(output) == same_as_afresh(kept)


def test_an_interrupted_night_goes_on(recipe: Path, first: tuple[Path, Path], tmp_path: Path):
    """With one shard carried, one decided only, and of another only a part of what is carried."""
    source, previous = first
    whole = refine(recipe, source, tmp_path / "whole", "--previous", previous)
    broken = Path(shutil.copytree(whole, tmp_path / "broken"))
    for name in (
        "_SUCCESS",
        "index.json",
        "_manifest/run.json",
        "_manifest/clips.parquet",
        "_manifest/changes.parquet",
    ):
        (broken / name).unlink()
    for name in ("a-000000.tar", "a-000002.tar"):
        (broken / "_manifest" / "shards" / f"{name}.json").unlink()
        (broken / name).unlink()
    (broken / "_manifest" / "decisions" / "b.tfrecord.jsonl").unlink()
    (broken / "_manifest" / "shards" / "b.tfrecord.json").unlink()
    with asked() as questions:
        refine(recipe, source, broken, "--previous", previous)
    assert not questions
    assert contents(broken) == contents(whole)
    (broken / "_SUCCESS").unlink()
    for path in (broken / "_manifest" / "shards").glob("*.changes.json"):
        path.unlink()
    refine(recipe, source, broken, "--previous", previous)
    assert same_as_afresh(broken) == same_as_afresh(whole)
    assert refresh(broken)["clips_decided_again"] == sum(map(len, FIRST_NIGHT.values()))


def test_decisions_alone_are_taken_over_as_well(recipe: Path, first: tuple[Path, Path], tmp_path: Path):
    source, previous = first
    output = refine(recipe, source, tmp_path / "out", "--previous", previous, "--decide-only")
    assert not list(output.glob("*.tar"))
    assert refresh(output)["shards_copied"] == 4
    assert run("apply", "--decisions", output) == 0
    for shard in previous.glob("*.t*"):
        assert (output / shard.name).read_bytes() == shard.read_bytes()


def test_a_part_of_a_run_takes_no_whole_shards(recipe: Path, first: tuple[Path, Path], tmp_path: Path):
    source, previous = first
    part = refine(recipe, source, tmp_path / "part", "--previous", previous, "--limit", 8)
    assert same_as_afresh(part) == same_as_afresh(refine(recipe, source, tmp_path / "afresh", "--limit", 8))
    assert refresh(part).items() >= {"shards_copied": 0, "clips_reused": 7, "clips_deleted": 0}.items()
    with asked() as questions:
        whole = refine(recipe, source, tmp_path / "whole", "--previous", part)
    assert same_as_afresh(whole) == same_as_afresh(previous)
    assert refresh(whole)["clips_new"] == 11
    assert not {key for _, key in questions} & {"a0", "a1", "a2", "a3", "b0"}


def test_a_file_changed_in_place_is_noticed(recipe: Path, tmp_path: Path):
    """As large as it was."""
    source = write_corpus(tmp_path / "in", {"a.tar": [("a0", 0)], "b.tar": [("b0", 1)]})
    output = refine(recipe, source, tmp_path / "out")
    assert run("refine", "--recipe", recipe, "--input", source, "--output", output) == 0
    before = (source / "a.tar").stat().st_size
    write_corpus(source, {"a.tar": [("a0", 7)], "b.tar": [("b0", 1)]})
    assert (source / "a.tar").stat().st_size == before
    assert run("refine", "--recipe", recipe, "--input", source, "--output", output) == 2
    after = refine(recipe, source, tmp_path / "after", "--previous", output)
    assert changes(after) == [("a0", "changed"), ("b0", "reused")]


def pointed(folder: Path) -> str:
    return json.loads((folder / "latest.json").read_text("utf-8"))["version"]


def test_latest_follows_the_nights(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    shards: Shards = {"a.tar": [("a0", 0), ("a1", 1)], "b.tar": [("b0", 2)]}
    source, refined = write_corpus(tmp_path / "in", shards), tmp_path / "refined"
    refine(recipe, source, refined / "1", "--previous", "latest")
    assert pointed(refined) == "1"
    assert "refresh" not in run_json(refined / "1")
    write_corpus(source, {**shards, "b.tar": [("b0", 3), ("b1", 4)]})
    refine(recipe, source, refined / "tried", "--previous", "latest", "--limit", 1)
    refine(recipe, source, refined / "decided", "--previous", "latest", "--decide-only")
    assert pointed(refined) == "1"
    refine(recipe, source, refined / "2", "--previous", "latest")
    assert pointed(refined) == "2"
    assert changes(refined / "2") == [("a0", "reused"), ("a1", "reused"), ("b0", "changed"), ("b1", "new")]
    # Interrupted before it was published: the same command again.
    (refined / "latest.json").write_text('{"version": "1"}', "utf-8")
    refine(recipe, source, refined / "2", "--previous", "latest")
    assert pointed(refined) == "2"
    write_corpus(source, {"a.tar": [("a1", 1)], "c.tar": [("b1", 4), ("a0", 0)]})
    with asked() as questions:
        refine(recipe, source, refined / "3", "--previous", "latest")
    assert not questions
    assert Counter(changes(refined / "3")) == Counter(
        [("a1", "reused"), ("b1", "reused"), ("a0", "reused"), ("b0", "deleted")]
    )
    # An earlier night that is asked for again stays an earlier night.
    write_corpus(source, {**shards, "b.tar": [("b0", 3), ("b1", 4)]})
    assert pointed(refined) == "3"
    shutil.rmtree(refined / "3")
    capsys.readouterr()
    refine(recipe, source, refined / "4", "--previous", "latest", code=2)
    assert "3 is not complete" in capsys.readouterr().err


def test_a_night_with_too_many_failures_is_not_the_latest(recipe: Path, tmp_path: Path):
    source = write_corpus(tmp_path / "in", {"a.tar": [("a0", 0), ("bad", -1)]})
    more = ("--previous", "latest", "--set", "max_failure_ratio=0.1")
    refine(recipe, source, tmp_path / "refined" / "1", *more, code=3)
    assert not (tmp_path / "refined" / "latest.json").exists()


def test_what_cannot_be_built_upon_is_refused(
    recipe: Path, first: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source, previous = first

    def message(*more: object) -> str:
        assert run("refine", "--recipe", recipe, "--input", source, "--output", tmp_path / "out", *more) == 2
        return capsys.readouterr().err

    assert "is not complete" in message("--previous", tmp_path / "absent")
    broken = Path(shutil.copytree(previous, tmp_path / "broken"))
    (broken / "_manifest" / "run.json").write_text("[]", "utf-8")
    assert "cannot be read as the record of a run" in message("--previous", broken)
    assert "output and previous run at once" in message("--previous", tmp_path / "out")
    for text in ("{}", '{"version": "../elsewhere"}', "no json"):
        (tmp_path / "latest.json").write_text(text, "utf-8")
        assert "put it right, or remove it" in message("--previous", "latest")
    assert not (tmp_path / "out").exists()


def test_planning_to_take_over_loads_no_model_runtime():
    code = (
        "import sys, avagent.pipelines.commands.refine\n"
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
