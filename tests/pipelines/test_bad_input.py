"""Whatever is wrong with the input: a clear message, nothing lost, the run goes on."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_samples import Recipe, build, tone_bursts
from runs import clips, counts_add_up, members, run
from scipy.io import wavfile

from avagent.core.media import Waveform

BLOCK = 512
Entry = tarfile.TarInfo | tuple[str, bytes]


def tar(entries: Sequence[Entry]) -> bytes:
    """A tar archive; a `TarInfo` is written as it is, without data."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for entry in entries:
            info = entry if isinstance(entry, tarfile.TarInfo) else tarfile.TarInfo(entry[0])
            if isinstance(entry, tuple):
                info.size = len(entry[1])
                archive.addfile(info, io.BytesIO(entry[1]))
            else:
                archive.addfile(info)
    return buffer.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def wav(samples: np.ndarray, rate: int = 16_000) -> bytes:
    buffer = io.BytesIO()
    wavfile.write(buffer, rate, samples)
    return buffer.getvalue()


def quiet(seconds: float, rate: int = 48_000) -> Waveform:
    return Waveform(np.zeros((1, round(seconds * rate)), np.float32), rate)


@pytest.fixture(scope="module")
def good() -> bytes:
    return build(Recipe())


class Refined:
    """A run over shards given as bytes."""

    def __init__(self, folder: Path, shards: Mapping[str, bytes]) -> None:
        source = folder / "in"
        source.mkdir()
        for name, data in shards.items():
            (source / name).write_bytes(data)
        self.output = folder / "out"
        self.code = run(
            "refine", "--input", source, "--output", self.output, "--max-rounds", 1, "--set", "max_failure_ratio=1"
        )

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        return clips(self.output)

    def letter(self, shard: str, key: str) -> dict[str, str]:
        """`KEY.error.json` of a dead letter."""
        return json.loads(members(self.output / "_errors" / shard)[f"{key}.error.json"])


# A clip's media, and what becomes of it: (outcome, reason).
ODD_MEDIA = {
    "zero-byte": (b"", ("failed", "corrupt_media")),
    "corrupt": (b"\x00\x00\x00\x18ftypmp42" + b"\x13" * 4000, ("failed", "corrupt_media")),
    "no-audio": (build(Recipe(audio_codec=None)), ("not_evaluable", "no_audio")),
    "muted": (build(Recipe(sound=quiet(2.0))), ("not_evaluable", "muted")),
    "no-video": (build(Recipe(video_codec=None)), ("not_evaluable", "no_video")),
}


@pytest.mark.parametrize("name", ODD_MEDIA)
def test_odd_media(tmp_path: Path, good: bytes, name: str):
    data, expected = ODD_MEDIA[name]
    found = Refined(tmp_path, {"a.tar": tar([("good.mp4", good), (f"{name}.mp4", data), ("last.mp4", good)])})
    assert found.code == 0
    counts_add_up(found.output, 3)
    row = found.rows[name]
    assert (row["outcome"], row["reason"]) == expected
    assert {found.rows[k]["outcome"] for k in ("good", "last")} <= {"unchanged", "improved", "not_evaluable"}
    if expected[0] == "failed":
        letter = found.letter("a.tar", name)
        assert set(letter) == {"key", "shard", "offset", "length", "loose_before", "stage", "type", "reason", "message"}
        assert name in letter["message"] or letter["message"]
        assert members(found.output / "_errors" / "a.tar")[f"{name}.mp4"] == data
    else:
        assert members(found.output / "a.tar")[f"{name}.mp4"] == data


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("one-frame", Recipe(frames=1, sound=tone_bursts(2.0))),
        ("still", Recipe(still=True)),
        ("short", Recipe(frames=2, sound=tone_bursts(0.05))),
    ],
)
def test_clips_without_anything_to_synchronize(tmp_path: Path, name: str, recipe: Recipe):
    data = build(recipe)
    found = Refined(tmp_path, {"a.tar": tar([(f"{name}.mp4", data)])})
    assert found.code == 0
    counts_add_up(found.output, 1)
    row = found.rows[name]
    assert row["outcome"] in ("unchanged", "improved", "not_evaluable")
    assert row["synchronization_before"] is None
    record = json.loads(members(found.output / "a.tar")[f"{name}.avagent.json"])
    assert record["scores"]["before"]["synchronization_note"]


def test_samples_that_are_not_numbers(tmp_path: Path):
    samples = np.sin(np.arange(16_000) / 20).astype(np.float32)
    samples[4000:4100] = np.nan
    found = Refined(tmp_path, {"a.tar": tar([("nan.wav", wav(samples)), ("fine.wav", wav(samples[5000:]))])})
    assert found.code == 0
    counts_add_up(found.output, 2)
    assert found.rows["nan"]["outcome"] == "failed"
    assert found.letter("a.tar", "nan")["reason"] == "non_finite_samples"


def test_a_sample_without_media(tmp_path: Path, good: bytes):
    found = Refined(tmp_path, {"a.tar": tar([("notes.txt", b"nothing to see"), ("good.mp4", good)])})
    counts_add_up(found.output, 2)
    assert found.letter("a.tar", "notes")["reason"] == "no_media"


def test_a_truncated_shard(tmp_path: Path, good: bytes):
    whole = tar([("first.mp4", good), ("second.mp4", good)])
    second = whole.index(b"second.mp4")
    found = Refined(tmp_path, {"a.tar": whole[: second + BLOCK + 2000], "b.tar": tar([("other.mp4", good)])})
    assert found.code == 0
    counts_add_up(found.output, 3)
    assert found.rows["second"]["reason"] == "truncated_shard"
    assert found.rows["first"]["outcome"] != "failed"
    assert found.letter("a.tar", "second")["stage"] == "read"


@pytest.mark.parametrize("data", [b"", b"this is no tar archive" * 100, b"\x1f\x8b" + b"\x00" * 2000])
def test_an_unreadable_shard(tmp_path: Path, good: bytes, data: bytes):
    found = Refined(tmp_path, {"bad.tar": data, "good.tar": tar([("good.mp4", good)])})
    assert found.code == 0
    counts_add_up(found.output, 2)
    assert found.rows["bad"]["reason"] == "unreadable_shard"
    assert found.letter("bad.tar", "bad")["message"]


def test_a_duplicate_key(tmp_path: Path, good: bytes):
    found = Refined(tmp_path, {"a.tar": tar([("x.mp4", good), ("y.mp4", good), ("x.mp4", good)])})
    assert found.code == 0
    letters = members(found.output / "_errors" / "a.tar")
    assert good in letters["a-sample-000002.quarantine"]
    assert json.loads(letters["a-sample-000002.error.json"])["reason"] == "duplicate_key"
    assert list(members(found.output / "a.tar")) == ["x.mp4", "x.avagent.json", "y.mp4", "y.avagent.json"]


@pytest.mark.parametrize(
    "entry",
    [
        ("../../escaped.mp4", b"x"),
        ("/escaped.mp4", b"x"),
        ("a/../../escaped.mp4", b"x"),
        link("escaped.mp4", "/etc/passwd"),
        link("escaped.mp4", "good.mp4", tarfile.LNKTYPE),
        link("escaped.mp4", "", tarfile.CHRTYPE),
    ],
    ids=["traversal", "absolute", "inner-traversal", "symbolic-link", "hard-link", "device"],
)
def test_an_unsafe_member(tmp_path: Path, good: bytes, entry: Entry):
    found = Refined(tmp_path, {"a.tar": tar([("good.mp4", good), entry, ("last.mp4", good)])})
    assert found.code == 0
    assert not list(tmp_path.rglob("*escaped*"))
    rows = found.rows
    assert len(rows) == 3
    assert [row["reason"] for row in rows.values() if row["outcome"] == "failed"] == ["unsafe_member"]
    with tarfile.open(found.output / "_errors" / "a.tar") as letters:
        for member in letters.getmembers():
            assert member.isreg()
            assert ".." not in member.name.split("/")
            assert not member.name.startswith("/")


def test_too_many_failures_have_an_exit_code_of_their_own(tmp_path: Path, good: bytes):
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.tar").write_bytes(tar([("good.mp4", good), ("bad.mp4", b"")]))
    assert run("refine", "--input", source, "--output", tmp_path / "out", "--max-rounds", 0) == 3
    counts_add_up(tmp_path / "out", 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--input", "{tmp}/nothing/*.tar"], "no shard matches"),
        (["--input", "{tmp}"], "no *.tar"),
        (["--input", "{tmp}/absent"], "does not exist"),
        (["--input", "{tmp}/in", "--recipe", "embeded"], "shipped recipes: embedded"),
        (["--input", "{tmp}/in", "--set", "policy.treshold=0.9"], "did you mean 'threshold'"),
        (["--input", "{tmp}/in", "--set", "actions=[shft]"], "did you mean 'shift'"),
        (["--input", "{tmp}/in", "--set", "planner.name=oracle"], "unknown planner 'oracle'"),
        (["--input", "{tmp}/in", "--set", "policy.threshold=7"], "policy.threshold"),
        (["--input", "{tmp}/in", "--audio-codec", "flaac"], "did you mean 'flac'"),
        (["--input", "{tmp}/in", "--max-round", "3"], "did you mean --max-rounds"),
        (["--input", "{tmp}/in", "--output", "{tmp}/in"], "holds the input"),
        (["--input", "{tmp}/in", "--output", "{tmp}/foreign"], "not empty"),
        (["--input", "{tmp}/in", "--max-rounds", "many"], "--max-rounds"),
    ],
)
def test_unusable_arguments(
    tmp_path: Path, good: bytes, arguments: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]
):
    for folder in ("in", "foreign"):
        (tmp_path / folder).mkdir()
    (tmp_path / "in" / "a.tar").write_bytes(tar([("good.mp4", good)]))
    (tmp_path / "foreign" / "precious.txt").write_text("mine", "utf-8")
    given = [a.format(tmp=tmp_path) for a in arguments]
    if "--output" not in given:
        given += ["--output", str(tmp_path / "out")]
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert run("refine", *given) == 2
    assert said in capsys.readouterr().err.replace("\n", " ")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_two_shards_of_one_name(tmp_path: Path, good: bytes, capsys: pytest.CaptureFixture[str]):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.tar").write_bytes(tar([("good.mp4", good)]))
    assert run("refine", "--input", f"{tmp_path}/*/x.tar", "--output", tmp_path / "out") == 2
    assert "same name" in capsys.readouterr().err


def test_applying_without_decisions(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("apply", "--decisions", tmp_path) == 2
    assert "--decide-only" in capsys.readouterr().err
