"""Clips in a notebook: found by key, looked at, edited, scored, refined as a run would."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import avagent as av
from avagent.core.errors import RecipeError, UsageError
from avagent.core.state import Outcome
from avagent.media.container import decode_audio
from avagent.records.decisions import read_decisions

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipelines"))
from media_samples import Recipe, build, tone_bursts
from runs import members, refined
from scripted_runs import scripted_ports, wav, write_corpus, write_recipe
from shard_tools import tar_bytes


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_corpus(folder / "in", tars=1, records_files=1)
    return folder / "in"


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_recipe(tmp_path_factory.mktemp("recipe")))


def test_clips_are_a_mapping_over_all_shards(corpus: Path):
    clips = av.open(str(corpus))
    assert len(clips.shards) == 2
    assert clips["fixable-1-1"].key == "fixable-1-1"
    assert list(clips) == list(clips)
    assert len(clips) == len(list(clips)) == len(list(clips.values()))
    assert "hopeless-0-3" in clips
    assert [clip.key for clip in clips.values()] == list(clips)


def test_an_absent_key_names_those_near_it_and_a_bad_clip_its_fault(tmp_path: Path):
    (tmp_path / "a.tar").write_bytes(tar_bytes([("dog.wav", b"x"), ("cat.mp4", b"a"), ("cat.mp4", b"b")]))
    clips = av.open(str(tmp_path))
    with pytest.raises(KeyError, match="near are dog"):
        _ = clips["dogs"]
    with pytest.raises(KeyError, match="cannot be used"):
        _ = clips["cat"]


def test_what_cannot_be_opened_says_why(tmp_path: Path, corpus: Path):
    with pytest.raises(UsageError, match="does not exist"):
        av.open(str(tmp_path / "nowhere"))
    with pytest.raises(RecipeError, match="embedded"):
        av.open(str(corpus), recipe="embeded")


def test_an_edit_is_another_clip_with_that_sound(corpus: Path):
    clip = av.open(str(corpus))["threshold-0-0"]
    moved = clip.edit(av.Shift(milliseconds=50))
    assert (clip.actions, moved.actions) == ((), (av.Shift(milliseconds=50),))
    before, after = clip.audio, moved.audio
    assert before is not None
    assert after is not None
    lag = round(0.05 * before.rate)
    np.testing.assert_allclose(after.samples[:, lag + 200 : -200], before.samples[:, 200 : -lag - 200], atol=1e-3)
    assert moved.edit(av.Volume(target_lufs=-30)).facts.loudness == pytest.approx(-30, abs=0.5)
    assert moved.original.audio is before
    whole = clip.edit(av.Plan(coordination=av.Shift(milliseconds=50)))
    assert whole.actions == moved.actions


def test_media_is_what_a_run_would_write_but_for_the_tag(corpus: Path):
    clip = av.open(str(corpus))["threshold-0-0"]
    assert clip.media() == clip.members[0]
    edited = clip.edit(av.Volume(target_lufs=-30))
    written = decode_audio(edited.media().data)
    assert written is not None
    np.testing.assert_allclose(written.samples, edited.audio.samples, atol=1e-4)


def test_a_clip_shows_itself_and_nothing_of_a_shard_is_taken_for_html(tmp_path: Path):
    film = build(Recipe(sound=tone_bursts()))
    silent = build(Recipe(audio_codec=None))
    files = [("<b>x&.mp4", film), ("silent.mp4", silent), ("bad.mp4", b"nothing"), ("sound.wav", wav(1))]
    (tmp_path / "a.tar").write_bytes(tar_bytes(files))
    clips = av.open(str(tmp_path))
    html = clips["<b>x&"].edit(av.Shift(milliseconds=100))._repr_html_()
    assert "<b>x&" not in html
    assert "&lt;b&gt;x&amp;" in html
    assert (html.count("<video"), html.count('class="spectrum"'), html.count("Picture at")) == (2, 2, 6)
    assert 'src="data:video/webm;base64,' in html
    assert film[:40] not in html.encode()
    assert "There is no sound" in clips["silent"]._repr_html_()
    assert "cannot be shown" in clips["bad"]._repr_html_()
    assert clips["sound"]._repr_html_().count("<audio") == 1
    assert "&lt;b&gt;x&amp;" in clips._repr_html_()


def test_refining_decides_as_a_run_does(corpus: Path, scripted: str, tmp_path: Path):
    with scripted_ports():
        output = refined(corpus, tmp_path / "out", "--recipe", scripted)
        clips = av.open(str(corpus), recipe=scripted)
        decided = [d for f in sorted((output / "_manifest" / "decisions").iterdir()) for d in read_decisions(str(f))]
        for decision in decided:
            if decision.outcome is not Outcome.FAILED:
                assert clips[decision.ref.key].refine().decision == decision
        assert {d.outcome for d in decided} >= {Outcome.IMPROVED, Outcome.UNCHANGED, Outcome.NOT_EVALUABLE}
        improved = next(d for d in decided if d.outcome is Outcome.IMPROVED)
        clip = clips[improved.ref.key].refine()
        assert clip.actions == improved.actions
        assert "improved" in repr(clip)
        again = av.open(str(output))[improved.ref.key]
        assert again.record["outcome"] == "improved"
        assert clip.record is None
        assert len(members(output / "part-000000.tar")) > 0


def test_scores_and_plans_are_the_recipes(corpus: Path, scripted: str):
    with scripted_ports():
        clips = av.open(str(corpus), recipe=scripted)
        clip = clips["fixable-0-1"]
        plan = clip.plan()
        assert plan.rationale == "first"
        before, after = clip.score(), clip.edit(plan).score()
        assert after.alignment > before.alignment
        assert clip.captions().audio.text == "the sound of fixable-0-1"
        assert clips["silent-0-4"].score().alignment is None
