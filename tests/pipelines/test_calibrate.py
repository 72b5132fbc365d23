"""`avagent calibrate`, its file in `avagent refine`, and a held-out scorer, on tiny weights of real architectures."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import tarfile
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from media_samples import Recipe, build, tone_bursts
from runs import clips, counts_add_up, refined, run
from tiny_scorers import save_all

from avagent.core.calibration_fit import PairKind
from avagent.core.clip import ClipRef
from avagent.media.pair_views import CHANGES, examples
from avagent.media.store import MediaStore
from avagent.records.calibration_files import read_calibrations, read_pairs, write_pairs
from avagent.shards.formats import read_clip, read_shard
from avagent.transforms.calibrate import Sampling, pair_up, shuffled

CLIPS = 11
SECONDS = 3.2


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_all(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    """Two shards of moving squares with bursts of noise, no two sounds alike."""
    folder = tmp_path_factory.mktemp("shards")
    for number, part in enumerate((range(6), range(6, CLIPS))):
        with tarfile.open(folder / f"clips-{number:06d}.tar", "w") as archive:
            for seed in part:
                sound = tone_bursts(SECONDS, rate=16_000, channels=1, seed=seed)
                video = Recipe(muxer="mp4", sound=sound, frames=round(SECONDS * 10) + seed, frame_rate=10)
                data = build(video)
                info = tarfile.TarInfo(f"clip{seed:02d}.mp4")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return folder


def recipe(folder: Path, scorer: dict, **more: object) -> Path:
    """A recipe file: embedded models but for the scorer."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "name": "tiny",
        "captioner": {"name": "embedded"},
        "planner": {"name": "embedded"},
        "scorer": scorer,
        "policy": {"max_rounds": 1, "threshold": 1.0},
        **more,
    }
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


UNCALIBRATED = {"uncalibrated": True, "margin_alignment": 1e-6, "margin_synchronization": 1e-6}


@pytest.mark.parametrize("name", ["imagebind", "pe_av", "clap_clip", "clap_xclip", "caption_xclip"])
def test_refine_runs_with_every_scorer(tiny, shards: Path, tmp_path: Path, name: str):
    scorer = {"name": name.replace("clap_xclip", "clap_clip"), "options": {**tiny[name], **UNCALIBRATED}}
    output = refined(shards, tmp_path / "out", "--recipe", recipe(tmp_path, scorer), "--limit", 1)
    counts_add_up(output, 1)
    rows = clips(output).values()
    assert all(0.0 <= row["alignment_before"] <= 1.0 for row in rows)
    if name == "caption_xclip":
        assert all(row["synchronization_before"] is None for row in rows)
    else:
        assert all(0.0 <= row["synchronization_before"] <= 1.0 for row in rows)
    models = json.loads((output / "_manifest" / "run.json").read_text())["models"]
    assert models["scorer"].startswith(scorer["name"])


@pytest.fixture(scope="module")
def calibrated(tiny, shards: Path, tmp_path_factory) -> Path:
    """A folder with a recipe and its scorer's calibration, made by the command that the refusal names."""
    folder = tmp_path_factory.mktemp("calibrated")
    scorer = {"name": "imagebind", "options": tiny["imagebind"]}
    with contextlib.chdir(folder), contextlib.redirect_stderr(io.StringIO()) as said:
        assert run("refine", "--input", shards, "--output", "out", "--recipe", recipe(folder, scorer)) == 2
        command = re.search(r"avagent (calibrate .*)", said.getvalue())
        assert command is not None, said.getvalue()
        assert run(*shlex.split(command[1])) == 0
    assert "--set scorer.calibration=calibration.json" in said.getvalue()
    recipe(folder, {**scorer, "calibration": "calibration.json"})
    return folder


def test_the_calibration_holds_what_it_was_made_of(calibrated: Path):
    found = read_calibrations(str(calibrated / "calibration.json"))
    assert found.scorer == "imagebind"
    for curve in (found.alignment, found.synchronization):
        assert curve.matched == CLIPS
        assert curve.auc_low <= curve.auc <= curve.auc_high
        assert len(curve.data_sha256) == 64
    assert (calibrated / "calibration.png").read_bytes().startswith(b"\x89PNG")
    pairs = list(read_pairs(str(calibrated / "calibration.pairs.jsonl")))
    kinds = {kind: sum(p.kind is kind for p in pairs) for kind in PairKind}
    assert kinds[PairKind.MATCHED] == CLIPS
    assert kinds[PairKind.MISMATCHED] == 3 * CLIPS
    assert kinds[PairKind.SHIFTED] == 3 * CLIPS
    assert kinds[PairKind.HARMLESS] == CLIPS * len(CHANGES[PairKind.HARMLESS])
    assert all(p.detail != p.key for p in pairs if p.kind is PairKind.MISMATCHED)


def test_the_file_is_found_beside_the_recipe(calibrated: Path, shards: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = refined(shards, tmp_path / "out", "--recipe", calibrated / "tiny.yaml", "--limit", 1)
    counts_add_up(output, 1)
    found = read_calibrations(str(calibrated / "calibration.json"))
    run_json = json.loads((output / "_manifest" / "run.json").read_text())
    assert f"calibration={found.fingerprint}" in run_json["models"]["scorer"]
    policy = run_json["policy"]
    assert (policy["min_gain_alignment"], policy["min_gain_synchronization"]) == found.margins


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("scorer.options.window_s=1.5", "another model or other options"),
        ("scorer.calibration=nowhere.json", "no calibration file nowhere.json"),
        ("scorer.calibration=tiny.yaml", "cannot be used"),
    ],
)
def test_an_unfit_calibration_is_refused(calibrated: Path, shards: Path, capsys, setting, said):
    with contextlib.chdir(calibrated):
        assert run("refine", "--input", shards, "--output", "o", "--recipe", "tiny.yaml", "--set", setting) == 2
    message = capsys.readouterr().err
    assert said in message
    assert f"--set {setting}" in message.replace("\n", "")


def test_a_held_out_scorer_is_on_record_and_decides_nothing(
    calibrated: Path, tiny, shards: Path, tmp_path: Path, capsys
):
    plain = yaml.safe_load((calibrated / "tiny.yaml").read_text())
    plain["scorer"]["calibration"] = str(calibrated / "calibration.json")
    held_out = {"name": "clap_clip", "options": {**tiny["clap_clip"], **UNCALIBRATED}}
    one = recipe(tmp_path / "a", plain["scorer"])
    two = recipe(tmp_path / "b", plain["scorer"], evaluation_scorer=held_out)
    without = clips(refined(shards, tmp_path / "without", "--recipe", one, "--limit", 3))
    output = refined(shards, tmp_path / "with", "--recipe", two, "--limit", 3)
    found = clips(output)
    extra = set(next(iter(found.values()))) - set(next(iter(without.values())))
    assert extra == {f"evaluation_{s}_{t}" for s in ("alignment", "synchronization") for t in ("before", "after")}
    for key, row in found.items():
        assert {n: v for n, v in row.items() if n not in extra | {"fingerprint"}} == {
            n: v for n, v in without[key].items() if n != "fingerprint"
        }
        changed = row["evaluation_alignment_before"] != row["evaluation_alignment_after"]
        assert changed == (row["outcome"] == "improved")
    if any(row["outcome"] == "improved" for row in found.values()):
        assert "held-out alignment" in capsys.readouterr().out
    assert pq.read_table(output / "_manifest" / "clips.parquet").num_rows == 3


def test_a_port_that_the_recipe_does_not_name_is_refused(calibrated: Path, shards: Path, tmp_path: Path, capsys):
    arguments = ("--recipe", calibrated / "tiny.yaml", "--port", "evaluation_scorer", "--output", tmp_path / "c.json")
    assert run("calibrate", "--input", shards, *arguments) == 2
    assert "names no evaluation_scorer" in capsys.readouterr().err


def test_too_few_clips_are_refused(calibrated: Path, shards: Path, tmp_path: Path, capsys):
    one = shards / "clips-000000.tar"
    arguments = ("--recipe", calibrated / "tiny.yaml", "--output", tmp_path / "c.json")
    assert run("calibrate", "--input", one, *arguments) == 2
    assert "6 clips were scored" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("extra", [["--output", "curve.txt"], ["--output", "c.json", "--pairs", "3"]])
def test_arguments_that_cannot_be_are_refused(shards: Path, extra: list[str]):
    assert run("calibrate", "--input", shards, *extra) == 2


def test_pairs_follow_the_content_alone():
    refs = [ClipRef(key=f"k{i}", shard="s", offset=0, length=1, content_sha256=f"{i:064x}") for i in range(9)]
    tasks = list(pair_up(refs, Sampling()))
    assert tasks == list(pair_up(refs[::-1], Sampling()))
    assert [t.ref for t in tasks] == sorted(refs, key=shuffled)
    assert all(len({t.ref.content_sha256, *(o.content_sha256 for o in t.others)}) == 4 for t in tasks)
    assert [t.others for t in pair_up(refs[:1] * 2, Sampling())] == [()]


def test_every_example_is_another_clip_to_caches(shards: Path):
    store = MediaStore(64 << 20, partial(read_clip))
    refs = []
    for item in read_shard(str(shards / "clips-000000.tar")):
        store.put(item.ref, item.clip)
        refs.append(item.ref)
    made = list(examples(store.view(refs[0]), [store.view(refs[1])], [-500.0, 500.0], changes=True))
    assert len({example.view.ref.content_sha256 for example in made}) == len(made)
    sounds = {example.detail: example.view.audio() for example in made}
    own, late = sounds[""].mono(), sounds["500 ms"].mono()
    assert (late[8000:] == own[:-8000]).all()
    assert sounds[refs[1].key] is store.view(refs[1]).audio()
    assert all(example.view.frames() is store.view(refs[0]).frames() for example in made)


def test_scored_pairs_through_their_file(calibrated: Path, tmp_path: Path):
    pairs = list(read_pairs(str(calibrated / "calibration.pairs.jsonl")))
    write_pairs(str(tmp_path / "again.jsonl"), pairs[::-1])
    assert (tmp_path / "again.jsonl").read_bytes() == (calibrated / "calibration.pairs.jsonl").read_bytes()
