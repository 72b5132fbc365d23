"""Reading lips: a drawn mouth is followed, a talker is in time with no other voice, who cannot be read says so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from drawn_face import draw_face
from views import ArrayView
from views import sound as read_sound

from avagent.core.actions import Shift, Speed
from avagent.core.clip import Clip, ClipRef, Member, content_hash
from avagent.core.media import Frames, Motion, StreamInfo, Waveform
from avagent.core.scores import RawScores
from avagent.core.time_judgement import TimeJudgement
from avagent.dsp.actions.edit import DspEditor
from avagent.dsp.measures.lips import Mouth, lip_cue
from avagent.media.pair_views import PairView
from avagent.media.store import MediaStore
from avagent.models.embedded.lip_timing import lips_of
from avagent.models.embedded.lips import SIDE, Square, cut
from avagent.models.embedded.runtime import Tagger, process_tagger
from avagent.models.embedded.scorer import EmbeddedScorer, shipped_calibrations
from avagent.models.embedded.synchronization import synchronization

FPS = 25


@dataclass(frozen=True)
class DrawnView(ArrayView):
    """All pictures of a drawn film; eight of them are what captioners see."""

    def frames(self) -> Frames | None:
        step = max(1, self.pictures.count // 8)
        return Frames(self.pictures.pixels[::step][:8], self.pictures.times[::step][:8])

    def streams(self) -> StreamInfo:
        high, wide = self.pictures.pixels.shape[1:3]
        return replace(super().streams(), width=wide, height=high, frame_rate=float(FPS))


def film(pictures: list[np.ndarray]) -> DrawnView:
    times = np.arange(len(pictures)) / FPS
    return DrawnView(
        sound=Waveform(np.zeros((1, 16_000), np.float32), 16_000),
        pictures=Frames(np.stack(pictures), times),
        movement=Motion(np.ones(len(pictures), np.float32), times),
    )


@pytest.fixture(scope="module")
def reader():
    tagger = Tagger()

    class Reader:
        def mouth(self, view):
            return tagger.mouth(view, 8)

    return Reader()


@cache
def opening(seconds: float = 6.0) -> np.ndarray:
    clock = np.arange(round(seconds * FPS)) / FPS
    return 0.05 + 0.1 * (1.0 + np.sin(2 * np.pi * 1.7 * clock)) * (1.0 + 0.5 * np.sin(2 * np.pi * 0.4 * clock)) / 2


def test_the_mouth_that_is_drawn_is_the_mouth_that_is_measured(reader):
    drawn = opening()
    shown = [
        draw_face(240, 320, 150 + 20 * np.sin(i / 40), 120, 55 + 5 * np.sin(i / 60), mouth)
        for i, mouth in enumerate(drawn)
    ]
    mouth = reader.mouth(film(shown))
    assert isinstance(mouth, Mouth)
    assert mouth.times.size > 0.9 * drawn.size
    wanted = np.interp(mouth.times, np.arange(drawn.size) / FPS, drawn)
    found = np.isfinite(mouth.outer)
    assert found.mean() > 0.95
    assert np.corrcoef(mouth.outer[found], wanted[found])[0, 1] > 0.85


def test_repeated_pictures_are_left_out(reader):
    shown = [draw_face(240, 320, 160, 120, 60, mouth) for mouth in opening()[::2] for _ in range(2)]
    mouth = reader.mouth(film(shown))
    assert isinstance(mouth, Mouth)
    assert float(np.median(np.diff(mouth.times))) == pytest.approx(2 / FPS)


def test_a_cut_to_another_face_is_noted_and_the_face_is_found_at_once(reader):
    first = [draw_face(240, 320, 100, 110, 55, mouth) for mouth in opening()[:75]]
    second = [draw_face(240, 320, 215, 130, 60, mouth) for mouth in opening()[75:]]
    mouth = reader.mouth(film(first + second))
    assert isinstance(mouth, Mouth)
    assert mouth.cuts.tolist() == [75 / FPS]
    assert np.isfinite(mouth.inner[mouth.times >= 75 / FPS]).mean() > 0.9


def test_a_face_that_is_not_shown_long_enough_is_not_followed_to_the_end(reader):
    face, none = draw_face(240, 320, 160, 120, 60, 0.1), np.full((240, 320, 3), 90, np.uint8)
    empty = [none + np.uint8(20 * (i % 2)) for i in range(8 * FPS)]
    moving = [np.roll(face, i % 7, axis=1) for i in range(round(4.1 * FPS))]
    mouth = reader.mouth(film([*moving, *empty[len(moving) :]]))
    assert isinstance(mouth, Mouth)
    assert float(mouth.times[-1]) == pytest.approx(7.1, abs=0.15), "3 of 8 s without a face, where 5 s are needed"
    assert lip_cue(mouth, Waveform(np.ones((1, 8 * 16000), np.float32), 16000)).reason == "face_too_short"
    assert reader.mouth(film([*moving[:FPS], *empty[FPS:]])) == "face_too_short"


def test_who_cannot_be_read_says_why(reader):
    count = round(6 * FPS)
    assert reader.mouth(film([np.full((240, 320, 3), 90, np.uint8)] * count)) == "no_face"
    assert reader.mouth(film([draw_face(240, 320, 160, 120, 60)] * FPS)) == "face_too_short"
    assert reader.mouth(film([draw_face(240, 320, 160, 120, 20)] * count)) == "face_too_small"
    pair = np.concatenate([draw_face(240, 200, 100, 120, 55), draw_face(240, 200, 100, 120, 60)], axis=1)
    assert reader.mouth(film([pair] * count)) == "several_faces"


def test_a_part_is_cut_by_linear_interpolation_and_its_edge_goes_on():
    picture = np.repeat(np.arange(100, dtype=np.uint8)[None, :, None], 60, axis=0).repeat(3, axis=2)
    shown = cut(picture, Square(10.25, 5.0, SIDE / 4))
    assert np.allclose(shown[0, 0], np.clip(10.25 + (np.arange(SIDE) + 0.5) / 4 - 0.5, 0, 99), atol=1e-4)
    beyond = cut(picture, Square(-20.0, -20.0, 40.0))
    assert not beyond[:, :, : SIDE // 2].any()


def test_what_is_judged_needs_no_calibration():
    timing = TimeJudgement(in_time=0.97, cues=("lips",))
    raw = RawScores(alignment=None, synchronization=0.97, timing=timing)
    scores = EmbeddedScorer().calibrated(raw, shipped_calibrations())
    assert (scores.synchronization, scores.timing, scores.synchronization_note) == (0.97, timing, None)


def stored(path, **edits):
    data = path.read_bytes()
    held = (Member(name=f"clip{path.suffix}", suffix=path.suffix[1:], data=data),)
    clip = Clip(key="clip", members=held)
    ref = ClipRef(key="clip", shard="memory://t", offset=0, length=1, content_sha256=content_hash(held))
    return MediaStore(256 << 20, lambda _: clip).view(ref, **edits)


@pytest.fixture(scope="module")
def talk(media_dir):
    return stored(media_dir / "psychopy/tests/data/testMovie.mp4")


def judge(view):
    """The lips' cue, and all that is told of the clip's time."""
    return lips_of(view, view.audio()), synchronization(view)


def test_a_film_of_a_man_who_talks_is_in_time_and_is_brought_back_when_moved(talk):
    cue, found = judge(talk)
    assert found.in_time > 0.95
    assert abs(found.lag_ms) <= 60.0
    assert not found.calls_for_an_edit
    assert cue.surrogates <= 0.02
    for moved in (-400.0, 400.0):
        _, late = judge(talk.store.view(talk.ref, (Shift(milliseconds=moved),)))
        assert late.in_time < 0.1
        assert late.lag_ms == pytest.approx(moved, abs=80)
        assert late.calls_for_an_edit


@pytest.mark.parametrize("gain", [1.0, 10.0])
def test_another_voice_however_loud_never_moves_the_film(talk, media_dir, gain):
    for path in sorted((media_dir / "speech").glob("*.g722")):
        voice = read_sound(path)
        repeated = np.tile(voice.samples, 1 + int(9 * voice.rate / voice.length))[:, : 8 * voice.rate]
        other = ArrayView(key=path.stem, sound=Waveform(repeated * np.float32(gain), voice.rate))
        assert not synchronization(PairView(talk, other, f"gain {gain}")).calls_for_an_edit, path.name


@pytest.mark.parametrize("factor", [0.93, 1.08])
def test_a_talker_at_another_tempo_is_not_moved_but_brought_back_to_tempo(talk, factor):
    found = synchronization(talk.store.view(talk.ref, (Speed(factor=factor, mode="resample"),)))
    assert found.calls_for_an_edit
    assert found.tempo == pytest.approx(factor, rel=0.01)


def test_no_network_is_loaded_for_a_clip_without_speech(media_dir, monkeypatch):
    alone = Tagger()
    monkeypatch.setattr("avagent.models.embedded.lip_timing.process_tagger", lambda: alone)
    monkeypatch.setattr(alone, "lip_reader", lambda: pytest.fail("nobody talks"))
    film_view = stored(media_dir / "video/bigbuckbunny.mp4")
    assert lips_of(film_view, film_view.audio()).reason == "no_speech"


def test_the_mouth_is_read_once_for_all_sounds(talk):
    tagger = process_tagger()
    quiet = PairView(talk, talk, "softer", lambda sound: DspEditor().edit(sound, [Shift(milliseconds=50.0)]))
    assert tagger.mouth(quiet, 8) is tagger.mouth(talk, 8)
