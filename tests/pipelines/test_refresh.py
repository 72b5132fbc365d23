"""Nightly runs: the output is that of a run without `--previous`, and only what changed is done."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from changing_corpus import FIRST_NIGHT, Night, write_corpus
from counting_ports import asked, counting_ports
from runs import contents, run

EXTRA = ("_manifest/changes.parquet", ".changes.json")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with counting_ports(tmp_path_factory.mktemp("recipe")) as path:
        yield path


def refine(recipe: Path, source: Path, output: Path, *more: object, code: int = 0) -> Path:
    assert run("refine", "--recipe", recipe, "--input", source, "--output", output, *more) == code
    return output


def same_as_afresh(output: Path) -> dict[str, str]:
    """All files but those that tell of the refresh; `run.json` without its part."""
    found = {name: digest for name, digest in contents(output).items() if not name.endswith(EXTRA)}
    del found["_manifest/run.json"]
    return found


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


@pytest.mark.parametrize("seed", range(3))
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
