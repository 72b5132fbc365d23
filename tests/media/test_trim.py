"""Cutting by copying packets: what comes out is what was between the two moments."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from media_samples import VP8, Recipe, build, faststart, lag_in_samples, snr_db, tone_bursts

from avagent.core.errors import FailureReason, MediaError, ParameterError
from avagent.media.container import decode_audio, decode_motion, probe, remux, sample_frames
from avagent.media.pyav import fill_decoding_times
from avagent.media.trim import CutKind, trim

START, END = 3.3, 5.3
MOV = [
    pytest.param(Recipe(frames=200, video_options={"bf": "2", "g": "30"}), id="mp4-b-frames-aac"),
    pytest.param(Recipe(frames=200, video_options={"g": "12"}, audio_codec="libopus"), id="mp4-opus"),
    pytest.param(Recipe(frames=200, muxer="mov", audio_codec="pcm_s16le"), id="mov-pcm"),
    pytest.param(Recipe(frames=200, audio_start=0.2), id="mp4-late-sound"),
]
MATROSKA = [
    pytest.param(Recipe(frames=200, muxer="matroska", video_options={"g": "30"}), id="mkv-aac"),
    pytest.param(
        Recipe(frames=200, muxer="webm", video_codec="libvpx", audio_codec="libopus", video_options=VP8), id="webm-opus"
    ),
]


def shown(data: bytes) -> list[tuple[float, int]]:
    """Time and a digest of every picture that a player shows."""
    with av.open(io.BytesIO(data)) as container:
        return [
            (float(f.pts * f.time_base), hash(f.to_ndarray(format="gray").tobytes())) for f in container.decode(video=0)
        ]


def common_lag(whole: bytes, cut: bytes, start: float) -> int:
    """By how many samples the cut's sound comes late, on the clocks of the containers."""
    before, after = decode_audio(whole), decode_audio(cut)
    assert before is not None
    assert after is not None
    first = round((start + probe(cut).audio_start - probe(whole).audio_start) * before.rate)
    wanted = before.samples[:, first : first + after.length]
    return lag_in_samples(wanted, after.samples[:, : wanted.shape[1]])


@pytest.mark.parametrize("recipe", MOV)
def test_mp4_is_cut_where_it_was_asked_to(recipe: Recipe):
    whole = build(recipe)
    cut = trim(whole, START, END)
    info = probe(cut.data)
    # Pictures begin at 3.28 and 3.32 s.
    assert (cut.kind, cut.start) == (CutKind.EXACT, 3.32)
    assert info.audio_duration == pytest.approx(END - 3.32, abs=0.001)
    assert info.video_duration == pytest.approx(END - 3.32, abs=0.001)
    assert abs(common_lag(whole, cut.data, 3.32)) <= 1
    wanted = [picture for time, picture in shown(whole) if START <= time < END]
    assert [picture for _, picture in shown(cut.data)] == wanted


@pytest.mark.parametrize("recipe", [*MOV, pytest.param(Recipe(frames=200, frame_rate=30), id="30 pictures a second")])
@pytest.mark.parametrize("start", [0.0, 0.001, 1.28, 1.285, 1.3, 1.315, 2.0, 3.999])
def test_picture_and_sound_of_a_cut_begin_together(recipe: Recipe, start: float):
    """Cut between two pictures, the first was shown up to one of its lengths early against the sound."""
    whole = build(recipe)
    cut = trim(whole, start, start + 2.0)
    every = [time for time, _ in shown(whole)]
    assert start <= cut.start < start + 1 / recipe.frame_rate + 1e-9
    assert min(abs(time - cut.start) for time in every) < 1e-4
    assert shown(cut.data)[0][0] == 0.0
    assert shown(cut.data) == [
        (pytest.approx(time - cut.start, abs=1e-4), picture)
        for time, picture in shown(whole)
        if cut.start - 1e-6 <= time < start + 2.0 - 1e-6
    ]
    assert abs(common_lag(whole, cut.data, cut.start)) <= 1


def test_a_slide_show_is_cut_at_the_picture_that_is_shown():
    whole = build(Recipe(frames=6, frame_rate=1, sound=tone_bursts(6.0), video_options={"g": "1"}))
    cut = trim(whole, 2.4, 4.4)
    assert cut.start == 2.0
    assert [round(time, 3) for time, _ in shown(cut.data)] == [0.0, 1.0, 2.0]
    assert abs(common_lag(whole, cut.data, 2.0)) <= 1


@pytest.mark.parametrize("muxer", ["matroska", "avi"])
@pytest.mark.parametrize("codec", ["aac", "libmp3lame", "pcm_s16le"])
@pytest.mark.parametrize("start", [0.0, 0.7, 1.3])
def test_sound_of_other_containers_stays_in_time(muxer: str, codec: str, start: float):
    options = {"g": "10"} if muxer == "avi" else {"bf": "2", "g": "10"}
    whole = build(Recipe(frames=100, muxer=muxer, audio_codec=codec, video_options=options))
    cut = trim(whole, start, start + 2.0).data
    first, picture = shown(cut)[0]
    before, after = decode_audio(whole), decode_audio(cut)
    assert before is not None
    assert after is not None
    # Sample of the sound at the first picture, in the whole and in the cut.
    then = round((next(t for t, p in shown(whole) if p == picture) - probe(whole).audio_start) * before.rate)
    now = round((first - probe(cut).audio_start) * after.rate)
    offset = max(0, then - now)
    count = min(before.length - offset, after.length)
    moved = lag_in_samples(before.samples[:, offset : offset + count], after.samples[:, :count]) + now - then + offset
    assert abs(moved) <= 48


def test_decoding_times_that_matroska_does_not_keep_are_made():
    """FFmpeg works them out, but not for the first pictures of H.264 that are out of order."""
    with av.open(io.BytesIO(build(Recipe(video_options={"bf": "2", "g": "50"})))) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    shown = [p.pts for p in packets]
    assert shown != sorted(shown)
    for packet in packets[:3]:
        packet.dts = None
    fill_decoding_times(packets)
    decoded = [p.dts for p in packets]
    assert decoded == sorted(set(decoded))
    assert all(p.dts <= p.pts for p in packets)


@pytest.mark.parametrize("recipe", MATROSKA)
def test_matroska_is_cut_at_the_keyframe_before_and_says_so(recipe: Recipe):
    whole = build(recipe)
    cut = trim(whole, START, END)
    assert cut.kind is CutKind.KEYFRAME
    assert START - 1.3 < cut.start <= START
    wanted = [picture for time, picture in shown(whole) if cut.start - 1e-6 <= time < END]
    assert [picture for _, picture in shown(cut.data)] == wanted
    assert abs(common_lag(whole, cut.data, cut.start)) <= 48


def test_a_cut_from_the_beginning_keeps_the_sound_bit_by_bit():
    whole = build(Recipe(frames=100, muxer="mov", audio_codec="pcm_s16le"))
    before, after = decode_audio(whole), decode_audio(trim(whole, 0.0, 2.0).data)
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(after.samples, before.samples[:, : 2 * before.rate])


def test_packets_are_copied_not_encoded():
    whole = build(Recipe(frames=200, video_options={"g": "12"}))
    cut = trim(whole, START, END)
    with av.open(io.BytesIO(whole)) as container:
        originals = {bytes(p) for p in container.demux() if p.size}
    with av.open(io.BytesIO(cut.data)) as container:
        assert all(bytes(p) in originals for p in container.demux() if p.size)


@pytest.mark.parametrize(("muxer", "codec"), [("wav", "pcm_s16le"), ("flac", "flac")])
def test_lossless_sound_is_cut_at_the_sample(muxer: str, codec: str):
    sound = tone_bursts(4.0)
    whole = build(Recipe(muxer=muxer, video_codec=None, audio_codec=codec, sound=sound))
    cut = trim(whole, 1.0001, 2.5)
    after = decode_audio(cut.data)
    assert after is not None
    assert cut.kind is CutKind.EXACT
    np.testing.assert_array_equal(after.samples, sound.samples[:, 48005:120000])


def test_lossy_sound_alone_is_cut_at_a_packet_and_says_where():
    sound = tone_bursts(4.0)
    whole = build(Recipe(muxer="ogg", video_codec=None, audio_codec="libopus", sound=sound))
    cut = trim(whole, 1.0, 2.5)
    assert cut.kind in (CutKind.PACKET, CutKind.EXACT)
    assert cut.start == pytest.approx(1.0, abs=0.03)
    assert probe(cut.data).audio_duration == pytest.approx(1.5, abs=0.06)


def test_a_recording_that_ends_before_gives_what_there_is():
    cut = trim(build(Recipe(frames=100)), 3.0, 9.0)
    assert probe(cut.data).audio_duration == pytest.approx(1.0, abs=0.05)


def test_nothing_there_is_an_error_that_says_so():
    with pytest.raises(MediaError, match="nothing at 7 s") as caught:
        trim(build(Recipe(frames=50)), 7.0, 9.0)
    assert caught.value.reason is FailureReason.CORRUPT_MEDIA


@pytest.mark.parametrize(("start", "end"), [(-1.0, 2.0), (2.0, 2.0), (3.0, 1.0), (float("nan"), 2.0)])
def test_moments_in_the_wrong_order_are_refused(start: float, end: float):
    with pytest.raises(ParameterError):
        trim(build(Recipe(frames=5)), start, end)


def test_the_same_cut_gives_the_same_bytes():
    whole = faststart(build(Recipe(frames=100)))
    assert trim(whole, 1.0, 3.0).data == trim(whole, 1.0, 3.0).data


def test_motion_of_a_cut_clip_is_that_of_its_stretch():
    whole = build(Recipe(frames=200, video_options={"bf": "2", "g": "30"}))
    cut = trim(whole, START, END)
    motion = decode_motion(cut.data)
    assert motion is not None
    assert motion.energy.size == sum(START <= time < END for time, _ in shown(whole))


def test_pictures_of_a_clip_whose_only_keyframe_is_hidden_can_be_looked_at():
    cut = trim(build(Recipe(frames=60, video_options={"g": "100"})), 1.0, 2.0).data
    frames = sample_frames(cut, 4)
    assert frames is not None
    assert frames.count == 4


def test_a_cut_clip_can_be_repaired():
    cut = trim(build(Recipe(frames=200, video_options={"bf": "2", "g": "30"})), START, END).data
    sound = decode_audio(cut)
    assert sound is not None
    again = remux(cut, sound, audio_codec="flac")
    assert [picture for _, picture in shown(again)] == [picture for _, picture in shown(cut)]
    repaired = decode_audio(again)
    assert repaired is not None
    assert snr_db(sound.samples, repaired.samples) > 80
