"""`avagent ingest` as a user runs it: recordings and clip lists in, shards out, and what becomes of them."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import uuid
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset
from media_samples import Recipe, build, tone_bursts
from runs import clips, contents, counts_add_up, members, refined, run

from avagent import storage
from avagent.core.media import Waveform
from avagent.pipelines.commands import ingest as command
from avagent.shards.formats import inspect_shard
from avagent.transforms import ingest as stage

SMALL = ("--shard-clips", 4)


def recording(seed: int, **more: Any) -> bytes:
    return build(Recipe(**{"frames": 30, "sound": tone_bursts(1.2, seed=seed), **more}))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten good recordings."""
    folder = tmp_path_factory.mktemp("good")
    for seed in range(10):
        (folder / f"clip{seed}.mp4").write_bytes(recording(seed))
    return folder


@pytest.fixture(scope="module")
def shards(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ingested(good, tmp_path_factory.mktemp("shards") / "out", *SMALL)


def ingested(source: object, output: Path, *more: object) -> Path:
    assert run("ingest", "--input", source, "--output", output, *more) == 0
    return output


def table(output: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(output / "_ingest" / f"{name}.parquet").to_pylist()


def reasons(output: Path) -> dict[str, tuple[str, bool]]:
    return {row["key"]: (row["reason"], row["dropped"]) for row in table(output, "unusable")}


def digests(output: Path) -> dict[str, str]:
    return {name: digest for name, digest in contents(output).items() if name.endswith((".tar", ".tfrecord"))}


def grown(good: Path, folder: Path) -> Path:
    """A copy with the same times: storage tells whether a file changed by its size and time."""
    shutil.copytree(good, folder)
    return folder


def test_every_recording_is_in_one_shard_with_its_bytes(good: Path, shards: Path):
    found: dict[str, bytes] = {}
    for shard in sorted(shards.glob("*.tar")):
        found |= members(shard)
    assert found == {path.name: path.read_bytes() for path in good.iterdir()}
    assert [len(members(shard)) for shard in sorted(shards.glob("*.tar"))] == [4, 4, 2]
    assert {row["key"]: row["shard"] for row in table(shards, "files")} == {
        name.split(".")[0]: shard.name for shard in shards.glob("*.tar") for name in members(shard)
    }
    assert table(shards, "unusable") == []


def test_the_index_and_the_marker_of_success(shards: Path):
    index = json.loads((shards / "index.json").read_text("utf-8"))
    assert [entry["nsamples"] for entry in index["shardlist"]] == [4, 4, 2]
    assert all((shards / e["url"]).stat().st_size == e["filesize"] for e in index["shardlist"])
    assert (shards / "_SUCCESS").exists()
    assert not (shards / "_ingest" / "work").exists()


def test_two_folders_of_the_same_recordings_give_the_same_bytes(good: Path, shards: Path, tmp_path: Path):
    again = ingested(grown(good, tmp_path / "copy"), tmp_path / "out", *SMALL)
    assert digests(again) == digests(shards)


def test_the_webdataset_package_reads_the_shards(good: Path, shards: Path):
    found: dict[str, bytes] = {}
    for path in sorted(shards.glob("*.tar")):
        # Its reader of files leaves them open: it is given one of ours.
        with path.open("rb") as stream:
            files = ({**f, "__url__": path.name} for f in webdataset.tariterators.tar_file_iterator(stream))
            found |= {s["__key__"]: s["mp4"] for s in webdataset.tariterators.group_by_keys(files)}
    assert found == {path.stem: path.read_bytes() for path in good.iterdir()}


def test_tfrecord_shards_hold_the_same(good: Path, tmp_path: Path):
    output = ingested(good, tmp_path / "out", *SMALL, "--format", "tfrecord")
    keys: list[str] = []
    for shard in sorted(output.glob("*.tfrecord")):
        summary = inspect_shard(str(shard))
        assert summary.bad == ()
        keys += summary.first_keys
    assert sorted(keys) == sorted(path.stem for path in good.iterdir())


def test_a_second_run_reads_and_writes_nothing(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = ingested(good, tmp_path / "out", *SMALL)
    times = {path: path.stat().st_mtime_ns for path in output.glob("*.tar")}
    ingested(good, output, *SMALL)
    assert "looked at 0 recordings, wrote 0 shards" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in output.glob("*.tar")} == times


def test_new_gone_and_changed_recordings_change_their_shards_only(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = grown(good, tmp_path / "in")
    output = ingested(source, tmp_path / "out", *SMALL)
    before = {row["key"]: row["shard"] for row in table(output, "files")}
    old = digests(output)
    first, second, last = sorted(old)
    gone = next(key for key, shard in before.items() if shard == first)
    (source / f"{gone}.mp4").unlink()
    for seed in (20, 21):
        (source / f"new{seed}.mp4").write_bytes(recording(seed))
    capsys.readouterr()
    ingested(source, output, *SMALL)
    assert "looked at 2 recordings, wrote 2 shards" in capsys.readouterr().out
    after = {row["key"]: row["shard"] for row in table(output, "files")}
    assert after == {**{k: s for k, s in before.items() if k != gone}, "new20": last, "new21": last}
    assert digests(output)[second] == old[second]
    assert (output / "_SUCCESS").exists()


def test_an_interrupted_run_goes_on_where_it_was(good: Path, shards: Path, tmp_path: Path, monkeypatch: Any):
    output, real = tmp_path / "out", stage.write_shard

    def breaks(folder: str, name: str, settings: Any) -> Any:
        if name.endswith("000001.tar"):
            raise OSError("the machine went away")
        return real(folder, name, settings)

    monkeypatch.setattr(stage, "write_shard", breaks)
    assert run("ingest", "--input", good, "--output", output, *SMALL) == 1
    assert not (output / "_SUCCESS").exists()
    monkeypatch.undo()
    monkeypatch.setattr(stage, "check_candidate", lambda *_: pytest.fail("looked at a recording again"))
    ingested(good, output, *SMALL)
    assert digests(output) == digests(shards)


def test_what_cannot_be_used_is_listed_with_the_reason(tmp_path: Path):
    source = tmp_path / "in"
    source.mkdir()
    files = {
        "good.mp4": recording(1),
        "twin.mp4": recording(1),
        "still.mp4": recording(2, still=True),
        "muted.mp4": recording(3, sound=Waveform(np.zeros((2, 57_600), np.float32), 48_000)),
        "mute.mp4": recording(4, audio_codec=None),
        "song.ogg": build(Recipe(muxer="ogg", video_codec=None, audio_codec="libopus", sound=tone_bursts(2.0))),
        "short.mp4": recording(5, frames=10, sound=tone_bursts(0.4)),
        "broken.mp4": recording(6)[:3000],
        "page.mp4": b"<html>video unavailable</html>",
        "empty.mp4": b"",
        "notes.md": b"hello",
    }
    for name, data in files.items():
        (source / name).write_bytes(data)
    output = ingested(source, tmp_path / "out")
    assert reasons(output) == {
        "twin": ("duplicate_content", True),
        "still": ("still", False),
        "muted": ("muted", False),
        "mute": ("no_audio", True),
        "song": ("no_video", True),
        "short": ("too_short", True),
        "broken": ("broken", True),
        "page": ("not_media", True),
        "empty": ("not_media", True),
        "notes": ("not_media", True),
    }
    assert all(row["message"] for row in table(output, "unusable"))
    assert {row["key"] for row in table(output, "files")} == {"good", "still", "muted"}
    dropping = ingested(source, tmp_path / "dropping", "--drop", "still,muted,no_video")
    assert {row["key"] for row in table(dropping, "files")} == {"good"}
    keeping = ingested(source, tmp_path / "keeping", "--drop", "nothing")
    assert {row["key"] for row in table(keeping, "files")} == {"good", "still", "muted", "song"}


def test_labels_beside_a_recording_are_carried_as_they_are(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(recording(1))
    labels = {"a.json": b'{"x":  1}', "a.txt": b"a caption\n", "a.cls": b"7"}
    for name, data in labels.items():
        (tmp_path / "in" / name).write_bytes(data)
    output = ingested(tmp_path / "in", tmp_path / "out")
    assert {n: d for n, d in members(output / "clips-000000.tar").items() if n != "a.mp4"} == labels


def test_real_pictures_with_their_sounds(media_dir: Path, tmp_path: Path):
    source = tmp_path / "in" / "birds"
    source.mkdir(parents=True)
    sounds = sorted((media_dir / "stamps" / "animals" / "birds").rglob("*.ogg"))[:3]
    for sound in sounds:
        shutil.copy(sound, source)
        shutil.copy(sound.with_suffix(".png"), source)
    output = ingested(tmp_path / "in", tmp_path / "out", "--min-seconds", "0.1")
    assert sorted(members(output / "clips-000000.tar")) == sorted(
        f"birds/{sound.stem}.{suffix}" for sound in sounds for suffix in ("ogg", "png")
    )
    assert {reason for reason, _ in reasons(output).values()} == {"still"}


@pytest.fixture
def video(media_dir: Path, tmp_path: Path) -> Path:
    """A folder with a real whole video, and one that is cut already."""
    folder = tmp_path / "videos"
    folder.mkdir()
    shutil.copy(media_dir / "video" / "bigbuckbunny.mp4", folder / "-bunny.mp4")
    (folder / "_cut_30_40.mp4").write_bytes(recording(1, frames=50, sound=tone_bursts(2.0)))
    return folder


def test_an_audioset_list_is_cut_labelled_and_refined(video: Path, tmp_path: Path):
    rows = ["# 1", "# 2", "# 3", '-bunny, 1.000, 3.500, "/m/068hy,/m/0jbk"', '_cut, 30.000, 40.000, "/m/09x0r"']
    (tmp_path / "list.csv").write_text("\n".join([*rows, 'gone, 0.000, 10.000, "/m/09x0r"']), "utf-8")
    output = ingested(video, tmp_path / "shards", "--csv", tmp_path / "list.csv")
    found = members(output / "clips-000000.tar")
    assert sorted(found) == sorted(f"{k}.{s}" for k in ("-bunny_000001", "_cut_000030") for s in ("mp4", "json", "txt"))
    about = json.loads(found["-bunny_000001.json"])
    assert (about["labels"], about["cut"], about["cut_start_seconds"]) == (["/m/068hy", "/m/0jbk"], "exact", 1.0)
    with av.open(io.BytesIO(found["-bunny_000001.mp4"])) as container:
        assert container.duration / 1e6 == pytest.approx(2.5, abs=0.05)
    assert json.loads(found["_cut_000030.json"])["cut"] == "already_cut"
    assert reasons(output) == {"gone_000000": ("missing", True)}
    again = refined(output, tmp_path / "refined")
    counts_add_up(again, 2)
    assert {row["outcome"] for row in clips(again).values()} <= {"improved", "unchanged", "not_evaluable"}
    assert run("inspect", output) == 0


def test_a_vggsound_list_gives_classes(video: Path, tmp_path: Path):
    (tmp_path / "list.csv").write_text('_cut,30,"waterfall, burbling",train\ngone,1,ape,test\n', "utf-8")
    output = ingested(video, tmp_path / "out", "--csv", tmp_path / "list.csv", "--layout", "vggsound")
    found = members(output / "clips-000000.tar")
    assert (found["_cut_000030.txt"], found["_cut_000030.cls"]) == (b"waterfall, burbling", b"1")
    assert json.loads(found["_cut_000030.json"])["split"] == "train"
    assert json.loads((output / "_ingest" / "classes.json").read_text("utf-8")) == ["ape", "waterfall, burbling"]
    assert json.loads((output / "_ingest" / "run.json").read_text("utf-8"))["files_not_listed"] == 1


def test_other_storage(good: Path):
    folder = f"memory://ingest-{uuid.uuid4().hex}"
    for path in sorted(good.iterdir())[:3]:
        storage.write_bytes(f"{folder}/in/{path.name}", path.read_bytes())
    assert run("ingest", "--input", f"{folder}/in", "--output", f"{folder}/out") == 0
    with tarfile.open(fileobj=io.BytesIO(storage.read_bytes(f"{folder}/out/clips-000000.tar"))) as archive:
        assert sorted(archive.getnames()) == [path.name for path in sorted(good.iterdir())[:3]]
    assert run("ingest", "--input", f"{folder}/in", "--output", f"{folder}/out") == 0


def test_a_file_that_changes_while_it_is_taken_in_is_left_out(good: Path, tmp_path: Path, monkeypatch: Any):
    source, real = grown(good, tmp_path / "in"), command.write_plans

    def meanwhile(*arguments: Any) -> Any:
        (source / "clip3.mp4").write_bytes(recording(33))
        os.utime(source / "clip3.mp4", (0, 0))
        return real(*arguments)

    monkeypatch.setattr(command, "write_plans", meanwhile)
    output = ingested(source, tmp_path / "out")
    assert reasons(output) == {"clip3": ("changed", True)}
    assert len(table(output, "files")) == 9
    monkeypatch.undo()
    ingested(source, output)
    assert reasons(output) == {}
    assert sum(len(members(shard)) for shard in output.glob("*.tar")) == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--drop", "everything"), "--drop takes"),
        (("--csv", "none.csv"), "cannot be read"),
        (("--shard-clips", "3"), "other settings"),
    ],
)
def test_unusable_arguments(
    good: Path, shards: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
):
    assert run("ingest", "--input", good, "--output", shards, *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_not_ours_is_left_alone(good: Path, tmp_path: Path):
    (tmp_path / "mine.txt").write_text("x", "utf-8")
    assert run("ingest", "--input", good, "--output", tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_overwrite_replaces_other_settings(good: Path, shards: Path, tmp_path: Path):
    output = ingested(good, tmp_path / "out", "--shard-clips", 2)
    ingested(good, output, *SMALL, "--overwrite")
    assert digests(output) == digests(shards)
