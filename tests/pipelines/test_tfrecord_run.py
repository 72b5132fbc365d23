"""`avagent refine` on TFRecord shards of real clips, as a user runs it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from runs import clips, contents, members, refined, run, video_packets
from tfrecord_tools import example, read_reasons, read_records, record, records, sequence

from avagent.shards.tfrecord.examples import bytes_values, parse_example

MEDIA = "clip/encoded_media_bytes"
PLAIN, COMPRESSED = "clips.tfrecord-00000-of-00002", "clips.tfrecord-00001-of-00002.gz"


def feature(data: bytes, name: str) -> bytes:
    """The value of a feature of a record."""
    found = parse_example(data).get(name)
    assert found is not None
    (value,) = bytes_values(found)
    return value


@pytest.fixture(scope="module")
def media(corpus: Path, truth: Mapping[str, Mapping[str, Any]]) -> dict[str, bytes]:
    """Three clips of the corpus, clean and faulty."""
    clean = [key for key, clip in truth.items() if clip["fault"] is None]
    faulty = [key for key, clip in truth.items() if clip["fault"] is not None]
    chosen = sorted([*clean[:1], *faulty[:2]])
    return {key: members(corpus / "shards" / truth[key]["shard"])[f"{key}.mp4"] for key in chosen}


@pytest.fixture(scope="module")
def shards(media: Mapping[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain shard of three records, and a compressed one of two, a broken one between."""
    folder = tmp_path_factory.mktemp("tfrecords")
    first, second, third = media.items()
    whole = [
        sequence({"example/id": first[0].encode(), MEDIA: first[1], "clip/label/string": [b"a", b"b"]}, {}),
        example({"label": 7, "example/id": second[0].encode(), MEDIA: second[1], "score": 0.5}),
        example({"example/id": b"broken", MEDIA: b"no media at all"}),
    ]
    (folder / PLAIN).write_bytes(records(whole))
    last = record(example({"example/id": third[0].encode(), MEDIA: third[1]}))
    (folder / COMPRESSED).write_bytes(gzip.compress(record(b"no example")[:-1] + b"!" + last))
    return folder


@pytest.fixture(scope="module")
def output(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return refined(shards, tmp_path_factory.mktemp("refined") / "out", "--set", "max_failure_ratio=1")


def test_counts_add_up(shards: Path, output: Path):
    rows = clips(output)
    names = [PLAIN, COMPRESSED]
    kept = [data for name in names for data in read_records(str(output / name))]
    reasons = [reason for name in names for reason in read_reasons(str(output), name)]
    letters = [data for name in names for data in read_records(str(output / "_errors" / name))]
    assert len(rows) == 5 == len(kept) + len(reasons)
    assert sum(reason["records"] for reason in reasons) == len(letters)
    counts = json.loads((output / "_manifest" / "run.json").read_text("utf-8"))["counts"]
    assert (counts["clips"], counts["clips_in_shards"], counts["clips_in_errors"]) == (5, 3, 2)
    index = json.loads((output / "index.json").read_text("utf-8"))
    assert [(shard["url"], shard["nsamples"]) for shard in index["shardlist"]] == [(PLAIN, 2), (COMPRESSED, 1)]
    assert (output / "_SUCCESS").exists()


def test_clips_leave_as_from_webdataset(
    media: Mapping[str, bytes], truth: Mapping[str, Mapping[str, Any]], shards: Path, output: Path
):
    rows = clips(output)
    outcomes = {key: rows[key]["outcome"] for key in media}
    assert "improved" in outcomes.values()
    before = {
        feature(data, "example/id").decode(): data for name in (PLAIN, COMPRESSED) for data in _readable(shards, name)
    }
    for name in (PLAIN, COMPRESSED):
        for data in read_records(str(output / name)):
            key = feature(data, "example/id").decode()
            assert json.loads(feature(data, "avagent/record"))["outcome"] == outcomes[key]
            after = feature(data, MEDIA)
            if outcomes[key] == "improved":
                assert truth[key]["fault"] is not None
                assert after != media[key]
                assert video_packets(after) == video_packets(media[key])
            else:
                assert data.startswith(before[key])
            kept = [f for f in parse_example(data).features if f.name not in (MEDIA, "avagent/record")]
            assert kept == [f for f in parse_example(before[key]).features if f.name != MEDIA]


def _readable(folder: Path, name: str) -> list[bytes]:
    if name == PLAIN:
        return read_records(str(folder / name))[:2]
    data = gzip.decompress((folder / name).read_bytes())
    return [data[len(record(b"no example")) :][12:-4]]


def test_failed_clips_are_dead_letters_with_reasons(shards: Path, output: Path):
    (broken,) = read_reasons(str(output), PLAIN)
    assert (broken["key"], broken["reason"], broken["stage"]) == ("broken", "corrupt_media", "decode")
    assert read_records(str(output / "_errors" / PLAIN)) == read_records(str(shards / PLAIN))[2:]
    (corrupt,) = read_reasons(str(output), COMPRESSED)
    assert (corrupt["index"], corrupt["reason"], corrupt["quarantined"]) == (0, "corrupt_record", True)
    assert clips(output)["clips-00001-of-00002-000000"]["reason"] == "corrupt_record"


def test_two_runs_give_the_same_bytes(shards: Path, output: Path, tmp_path: Path):
    assert contents(refined(shards, tmp_path / "again", "--set", "max_failure_ratio=1")) == contents(output)


def test_deciding_then_applying_is_the_same(shards: Path, output: Path, tmp_path: Path):
    decided = refined(shards, tmp_path / "decided", "--set", "max_failure_ratio=1", "--decide-only")
    assert run("apply", "--decisions", decided) == 0
    for name in (PLAIN, COMPRESSED, f"_errors/{PLAIN}", f"_errors/{PLAIN}.errors.jsonl"):
        assert (decided / name).read_bytes() == (output / name).read_bytes()


def test_the_recipe_names_the_fields_in_every_step(media: Mapping[str, bytes], tmp_path: Path):
    key, data = next(iter(media.items()))
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.tfrecord").write_bytes(record(example({"id": key.encode(), "bytes": data})))
    fields = ("--set", "tfrecord.media=bytes", "--set", "tfrecord.key=[id]")
    # A store of 16 MiB or less keeps nothing for long: clips are read again, by range, with the same fields.
    output = refined(source, tmp_path / "out", *fields, "--max-rounds", 1, "--set", "worker.cache_mib=16")
    assert clips(output)[key]["outcome"] in ("unchanged", "improved")
    assert run("refine", "--input", source, "--output", tmp_path / "none", "--max-rounds", 0) == 3
    assert read_reasons(str(tmp_path / "none"), "a.tfrecord")[0]["reason"] == "no_media"
    refined(source, tmp_path / "none", *fields, "--max-rounds", 0, "--overwrite")
    assert not list((tmp_path / "none").rglob("*.errors.jsonl"))


def test_an_empty_shard_and_a_limit(media: Mapping[str, bytes], tmp_path: Path):
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.tfrecord").write_bytes(b"")
    (source / "b.tfrecord").write_bytes(records([example({"mp4": data}) for data in media.values()]))
    output = refined(source, tmp_path / "out", "--max-rounds", 0, "--limit", 2)
    assert list(clips(output)) == ["b-000000", "b-000001"]
    assert (output / "a.tfrecord").read_bytes() == b""
    assert len(read_records(str(output / "b.tfrecord"))) == 2


def test_inspecting(shards: Path, capsys: pytest.CaptureFixture[str]):
    assert run("inspect", shards, "--clips", 2) == 1
    shown = capsys.readouterr().out
    assert f"{MEDIA} (mp4): 3 members" in shown
    assert "corrupt_record" in shown
    assert "h264" in shown or "mpeg4" in shown
    assert run("inspect", shards / PLAIN, "--set", "tfrecord.media=[other]", "--clips", 0) == 1
    assert "no_media" in capsys.readouterr().out
