"""A member decoded in one pass gives what the parts decoded one by one do."""

from __future__ import annotations

import numpy as np
import pytest
from media_samples import VP8, Recipe, build, song_with_cover, spoil, tone_bursts

from avagent.core.errors import Failure, FailureReason, MediaError
from avagent.media.container import (
    MediaLimits,
    PictureChoice,
    decode_audio,
    decode_member,
    decode_motion,
    encode_audio,
    probe,
    sample_frames,
)

PICTURES = PictureChoice(count=8, max_side=360, least_keyframes=4)
MEMBERS = {
    "mp4, few keyframes": (build(Recipe(video_options={"g": "99", "bf": "2"})), True),
    "mp4, many keyframes": (build(Recipe(frames=100, video_options={"g": "5"})), False),
    "mp4, sound late": (build(Recipe(audio_start=0.5)), False),
    "matroska, no declared durations": (build(Recipe(muxer="matroska", audio_codec="flac", subtitles=True)), False),
    "webm": (build(Recipe(muxer="webm", video_codec="libvpx", audio_codec="libopus", video_options=VP8)), False),
    "mp4, no sound": (build(Recipe(audio_codec=None)), False),
    "mp4, no picture": (build(Recipe(video_codec=None)), False),
    "wav": (build(Recipe(muxer="wav", video_codec=None, audio_codec="pcm_s16le")), False),
    "mp3 with a cover": (song_with_cover(), False),
}


def equal(one: object, other: object) -> bool:
    if one is None or other is None:
        return one is other
    names = type(one).__slots__
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.mark.parametrize("name", MEMBERS)
def test_one_pass_gives_what_the_parts_give(name: str) -> None:
    data, exact = MEMBERS[name]
    found = decode_member(data, pictures=PICTURES)
    assert found.streams == probe(data)
    assert equal(found.sound, decode_audio(data))
    frames, motion = sample_frames(data, 8, exact=exact), decode_motion(data)
    assert (found.picture is None) == (frames is None)
    if found.picture is not None:
        assert equal(found.picture.frames, frames)
        assert equal(found.picture.motion, motion)


def test_a_separate_sound_starts_with_the_picture() -> None:
    data = build(Recipe(muxer="matroska", audio_codec="flac", audio_start=0.5))
    start = probe(data).video_start
    found = decode_member(
        data, sound=False, pictures=PictureChoice(count=8, max_side=360, least_keyframes=4, sound_at_zero=False)
    )
    assert found.sound is None
    assert found.picture is not None
    assert equal(found.picture.motion, decode_motion(data, origin=start))


def test_what_was_not_asked_for_is_not_decoded() -> None:
    data = bytearray(build(Recipe()))
    spoil(data, "video", list(range(10, 40)))
    assert decode_member(bytes(data)).picture is None
    data = bytearray(build(Recipe()))
    spoil(data, "audio", list(range(60)))
    assert decode_member(bytes(data), sound=False).sound is None


@pytest.mark.parametrize("broken", ["video", "audio"])
def test_a_damaged_stream_leaves_the_other(broken: str) -> None:
    data = bytearray(build(Recipe()))
    spoil(data, broken, list(range(10, 40)))
    found = decode_member(bytes(data), pictures=PICTURES)
    bad, good = (found.picture, found.sound) if broken == "video" else (found.sound, found.picture)
    assert isinstance(bad, Failure)
    assert bad.reason == FailureReason.CORRUPT_MEDIA
    assert not isinstance(good, Failure)
    with pytest.raises(MediaError) as alone:
        (decode_motion if broken == "video" else decode_audio)(bytes(data))
    assert bad.message == str(alone.value)


def test_limits_on_one_stream() -> None:
    found = decode_member(build(Recipe()), pictures=PICTURES, limits=MediaLimits(sound_bytes=1000))
    assert isinstance(found.sound, Failure)
    assert "limits.sound_bytes" in found.sound.message
    with pytest.raises(MediaError, match=r"limits\.pictures"):
        decode_member(build(Recipe(muxer="matroska")), pictures=PICTURES, limits=MediaLimits(pictures=20))


def test_a_truncated_member_is_refused() -> None:
    sound = encode_audio(tone_bursts(3.0), "wav")
    found = decode_member(sound[: len(sound) // 2])
    assert isinstance(found.sound, Failure)
    assert found.sound.reason == FailureReason.CORRUPT_MEDIA
