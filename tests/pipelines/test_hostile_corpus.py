"""A folder of shards that were made to do harm, through the whole `refine`: nothing but dead letters comes of it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import hostile_decoders
import pyarrow.parquet as pq
import pytest
from hostile_shards import SETTINGS, Hostile, media, tars, tfrecords
from runs import members, run
from thorough_ports import thorough_ports

from avagent.media import decoder_process, store
from avagent.shards import compression

SHARDS = {shard.name: shard for shard in (*tars(), *tfrecords(), media())}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Iterator[Path]:
    with thorough_ports(tmp_path_factory.mktemp("recipe")) as path:
        yield path


@pytest.fixture(scope="module")
def refined(recipe, tmp_path_factory) -> Path:
    """A folder with the shards in `in/`, and what was made of them in `out/`."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "in").mkdir()
    for name, shard in SHARDS.items():
        (folder / "in" / name).write_bytes(shard.data)
    before = snapshot(folder)
    settings = [part for key, value in SETTINGS.items() for part in ("--set", f"limits.{key}={value}")]
    with pytest.MonkeyPatch.context() as patch:
        pool = partial(decoder_process.DecoderPool, modules=(hostile_decoders.__name__,))
        patch.setattr(decoder_process, "DecoderPool", pool)
        patch.setattr(store, "decode_member", hostile_decoders.decode_member)
        patch.setattr(compression, "_FREE_EXPANSION", 1 << 20)
        code = run("refine", "--recipe", recipe, "--input", folder / "in", "--output", folder / "out", *settings)
        decoder_process.close_decoders()
    assert code == 0
    after = snapshot(folder)
    assert {name: after[name] for name in before} == before, "the input is as it was"
    assert all(name.startswith("out/") for name in set(after) - set(before)), "nothing is written elsewhere"
    return folder / "out"


def snapshot(folder: Path) -> dict[str, str]:
    """Hash of every file below a folder, links and all."""
    files = (path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def letters(output: Path, name: str) -> list[dict[str, str]]:
    """The reasons in a shard's dead letters."""
    if not name.endswith(".tar"):
        lines = output / "_errors" / f"{name}.errors.jsonl"
        return [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    found = members(output / "_errors" / name)
    return [json.loads(data) for member, data in found.items() if member.endswith(".error.json")]


@pytest.mark.parametrize("shard", SHARDS.values(), ids=list(SHARDS))
def test_bad_clips_become_dead_letters_with_their_reasons(refined: Path, shard: Hostile):
    rows = pq.read_table(refined / "_manifest" / "clips.parquet").to_pylist()
    rows = [row for row in rows if row["shard"] == shard.name]
    through = [row["key"] for row in rows if row["outcome"] != "failed"]
    assert through == list(shard.good)
    assert all(row["outcome"] == "improved" for row in rows if row["key"] in shard.good), (
        "they were decoded and written"
    )
    found = letters(refined, shard.name)
    assert Counter(letter["reason"] for letter in found) == Counter(reason for reason, _ in shard.bad)
    for reason, why in shard.bad:
        assert any(letter["reason"] == reason and why in letter["message"] for letter in found), (reason, why, found)
    assert len(rows) == len(shard.good) + len(shard.bad)


def test_counts_add_up(refined: Path):
    expected = sum(len(shard.good) + len(shard.bad) for shard in SHARDS.values())
    clips_in = json.loads((refined / "_manifest" / "run.json").read_text("utf-8"))["counts"]["clips"]
    index = json.loads((refined / "index.json").read_text("utf-8"))["shardlist"]
    assert clips_in == expected
    assert sum(shard["nsamples"] for shard in index) + sum(len(letters(refined, name)) for name in SHARDS) == expected
    assert (refined / "_SUCCESS").exists()


def test_no_hostile_name_is_used_as_a_path(refined: Path):
    for shard in sorted(refined.rglob("*.tar")):
        assert not [name for name in members(shard) if name.startswith(("/", "\\")) or ".." in name.split("/")]
