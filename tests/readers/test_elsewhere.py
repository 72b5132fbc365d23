"""Refined shards where people already are, as docs/python.md shows: Hugging Face datasets, webdataset, torchcodec."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from media_samples import Recipe, build, tone_bursts
from shard_tools import tar_bytes

from avagent.media.container import decode_audio, probe

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipelines"))
from runs import clips, members, refined
from scripted_runs import scripted_ports, write_recipe

KEYS = ("threshold-a", "fixable-b", "second-c", "silent-d")
REASON = "an optional package, or a library of its own, is not installed: pip install 'avagent[dev]'"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two refined shards of films, repaired ones among them."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "in").mkdir()
    for shard in range(2):
        files = [
            file
            for number, key in enumerate(KEYS)
            for file in (
                (f"{key}-{shard}.mp4", build(Recipe(sound=tone_bursts(seed=number + 10 * shard)))),
                (f"{key}-{shard}.txt", key.encode()),
            )
        ]
        (folder / "in" / f"a-00000{shard}.tar").write_bytes(tar_bytes(files))
    with scripted_ports():
        return refined(folder / "in", folder / "out", "--recipe", write_recipe(folder))


def shards(output: Path) -> list[str]:
    return [str(path) for path in sorted(output.glob("*.tar"))]


def film(output: Path, key: str) -> bytes:
    return next(data for s in shards(output) for name, data in members(Path(s)).items() if name == f"{key}.mp4")


JOINED = """
import hashlib, json, sys
import datasets
output, shards, cache = sys.argv[1], sys.argv[2].split(","), sys.argv[3]
clips = datasets.load_dataset("webdataset", data_files={"train": shards}, split="train", streaming=True)
clips = clips.cast_column("mp4", datasets.Video(decode=False))
table = f"{output}/_manifest/clips.parquet"
rows = {row["key"]: row for row in datasets.load_dataset("parquet", data_files=table, split="train", cache_dir=cache)}
print(json.dumps([
    [clip["__key__"], clip["avagent.json"]["outcome"], rows[clip["__key__"]]["outcome"],
     hashlib.sha256(clip["mp4"]["bytes"]).hexdigest()] for clip in clips
]))
"""


PLAIN = """
import hashlib, json, sys
import webdataset
clips = webdataset.WebDataset(sys.argv[2].split(","), shardshuffle=False).decode()
print(json.dumps([
    [clip["__key__"], clip["avagent.json"]["outcome"], clip["avagent.json"]["outcome"],
     hashlib.sha256(clip["mp4"]).hexdigest()] for clip in clips
]))
"""


@pytest.mark.parametrize("package", ["datasets", "webdataset"])
def test_media_record_and_manifest_are_read_and_joined(output: Path, tmp_path: Path, package: str):
    """In a process of its own: both packages leave shards open."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(REASON)
    script = {"datasets": JOINED, "webdataset": PLAIN}[package]
    words = [sys.executable, "-c", script, output, ",".join(shards(output)), tmp_path]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True, env=environment)
    rows = clips(output)
    found = json.loads(done.stdout)
    assert sorted(key for key, *_ in found) == sorted(rows)
    for key, in_shard, in_manifest, digest in found:
        assert in_shard == in_manifest == rows[key]["outcome"]
        assert digest == hashlib.sha256(film(output, key)).hexdigest()
    assert {"improved", "unchanged", "not_evaluable"} == {outcome for _, outcome, *_ in found}


def test_torchcodec_decodes_repaired_films(output: Path):
    codec = pytest.importorskip("torchcodec.decoders", reason=REASON, exc_type=(ImportError, RuntimeError))
    row = next(row for row in clips(output).values() if row["outcome"] == "improved")
    data = film(output, row["key"])
    sound = codec.AudioDecoder(data).get_all_samples()
    ours = decode_audio(data)
    assert ours is not None
    assert sound.sample_rate == ours.rate
    both = min(sound.data.shape[1], ours.length)
    assert both / ours.rate == pytest.approx(2.0, abs=0.05)
    np.testing.assert_allclose(sound.data[:, :both].numpy(), ours.samples[:, :both], atol=1e-3)
    pictures = codec.VideoDecoder(data)
    streams = probe(data)
    assert len(pictures) == 50
    assert tuple(pictures[0].shape) == (3, streams.height, streams.width)
    assert json.loads(row["actions"])
