"""`avagent inspect`: a shard as JSON, and all of one clip as text, JSON and picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media_samples import Recipe, build, tone_bursts
from runs import refined, run
from scripted_runs import scripted_ports, write_corpus, write_recipe
from shard_tools import tar_bytes


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "a.tar"
    film = build(Recipe(sound=tone_bursts(), audio_start=0.25))
    files = [("bell.mp4", film), ("bell.txt", b"a bell"), ("bad.mp4", b"nothing"), ("dup.mp4", film), ("dup.mp4", film)]
    path.write_bytes(tar_bytes(files))
    return path


def as_json(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_shards_are_told_as_json(shard: Path, capsys: pytest.CaptureFixture[str]):
    assert run("inspect", shard, "--json") == 1
    (found,) = as_json(capsys)
    assert found["shard"] == str(shard)
    assert {m["suffix"]: m["members"] for m in found["members"]}["txt"] == 1
    assert [bad["reason"] for bad in found["bad"]] == ["duplicate_member"]
    first = {clip["key"]: clip for clip in found["first"]}
    assert first["bell"]["streams"]["audio_codec"] == "aac"
    assert first["bad"]["streams"]["reason"] == "corrupt_media"


def test_one_clip_is_told_whole(shard: Path, capsys: pytest.CaptureFixture[str]):
    assert run("inspect", shard, "--key", "bell") == 0
    text = capsys.readouterr().out
    for part in (
        "bell.mp4",
        "container mov,mp4",
        "audio aac, 48000 Hz stereo",
        "[carried]",
        "[made anew]",
        "edit list:",
    ):
        assert part in text
    assert "measured: " in text
    assert run("inspect", shard, "--key", "bell", "--json") == 0
    found = as_json(capsys)
    assert found["members"][0]["media"]["streams"]
    assert found["repair"]["possible"]
    assert found["facts"]["rate"] == 48_000
    assert found["record"] is None


def test_a_clip_that_cannot_be_decoded_is_told_as_far_as_it_goes(shard: Path, capsys: pytest.CaptureFixture[str]):
    assert run("inspect", shard, "--key", "bad", "--json") == 0
    found = as_json(capsys)
    assert found["members"][0]["media"]["reason"] == "corrupt_media"
    assert found["facts"]["reason"] == "corrupt_media"


@pytest.mark.parametrize(("key", "message"), [("bel", "no clip 'bel'"), ("dup", "cannot be used")])
def test_a_clip_that_is_not_there_is_named(shard: Path, key: str, message: str, capsys: pytest.CaptureFixture[str]):
    assert run("inspect", shard, "--key", key) == 2
    assert message in capsys.readouterr().err


def test_the_picture_shows_pictures_waveform_and_spectrogram(shard: Path, tmp_path: Path):
    assert run("inspect", shard, "--key", "bell", "--png", tmp_path / "bell.png") == 0
    data = (tmp_path / "bell.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    with av.open(str(tmp_path / "bell.png")) as picture:
        pixels = next(picture.decode(video=0)).to_ndarray(format="rgb24")
    assert pixels.shape[1] == 1100
    # The waveform's blue, and the spectrogram's night.
    assert (np.abs(pixels.astype(int) - (31, 119, 180)).sum(axis=2) < 20).any()
    assert (np.abs(pixels.astype(int) - (8, 9, 22)).sum(axis=2) < 20).sum() > 1000
    assert run("inspect", shard, "--png", tmp_path / "x.png") == 2


def test_the_record_of_a_refined_clip_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_corpus(tmp_path / "in", tars=1, records_files=1)
    with scripted_ports():
        output = refined(tmp_path / "in", tmp_path / "out", "--recipe", write_recipe(tmp_path))
        for name, key in (("part-000000.tar", "fixable-0-1"), ("part-000001.tfrecord", "fixable-1-1")):
            capsys.readouterr()
            assert run("inspect", output / name, "--key", key, "--json") == 0
            record = as_json(capsys)["record"]
            assert (record["outcome"], record["key"]) == ("improved", key)
        assert run("inspect", output / "part-000000.tar", "--key", "fixable-0-1") == 0
    text = capsys.readouterr().out
    assert "outcome: improved" in text
    assert "round 1: wiener_filter, kept" in text


def test_models_are_asked_where_there_is_no_record(shard: Path, capsys: pytest.CaptureFixture[str]):
    assert run("inspect", shard, "--key", "bell", "--models", "--json") == 0
    found = as_json(capsys)
    assert "heard" in found["captions"]["audio"]["text"]
    assert {"alignment", "synchronization"} <= set(found["scores"])
