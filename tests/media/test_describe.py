"""What a container says of itself, and what a repair would carry, told as plain values."""

from __future__ import annotations

import json

import pytest
from media_samples import Recipe, build, song_with_cover, tone_bursts

from avagent.core.errors import MediaError
from avagent.media.decoder_process import process_decoder
from avagent.media.describe import describe_media, try_repair
from avagent.media.limits import DEFAULT_DECODING

SOUND = tone_bursts(1.0)


def film(**options: object) -> bytes:
    return build(Recipe(sound=SOUND, **options))  # type: ignore[arg-type]


def test_streams_are_told_with_their_packets_and_times():
    found = describe_media(film(metadata={"title": "A bell"}))
    assert found["container"].startswith("mov,mp4")
    assert found["tags"]["title"] == "A bell"
    video, audio = sorted(found["streams"], key=lambda stream: stream["type"], reverse=True)
    assert (video["type"], video["codec"], video["width"], video["height"]) == ("video", "mpeg4", 64, 48)
    assert (video["packets"], video["frame_rate"]) == (50, 25.0)
    assert (audio["codec"], audio["rate"], audio["channels"], audio["layout"]) == ("aac", 48_000, 2, "stereo")
    assert audio["duration"] == pytest.approx(1.0, abs=0.05)
    json.dumps(found)


def test_the_container_is_what_the_bytes_are():
    assert "matroska" in describe_media(film(muxer="matroska"))["container"]
    assert describe_media(film(muxer="ogg", video_codec=None, audio_codec="libopus"))["container"] == "ogg"


def test_edit_lists_are_told_in_seconds():
    late = describe_media(film(audio_start=0.5))
    (sound,) = [stream for stream in late["streams"] if stream["type"] == "audio"]
    edits = late["edit_lists"][str(sound["id"])]
    assert edits[0]["from"] is None
    assert edits[0]["for"] == pytest.approx(0.5, abs=0.03)
    assert edits[-1]["from"] is not None
    assert describe_media(film(muxer="matroska"))["edit_lists"] == {}


def test_a_repair_is_tried_and_each_stream_followed():
    data = film(subtitles=True, muxer="matroska")
    kinds = {str(stream["index"]): stream["type"] for stream in describe_media(data)["streams"]}
    found = try_repair(data, suffix="mkv")
    assert found["possible"]
    fates = {kinds[number]: fate for number, fate in found["streams"].items()}
    assert fates == {"video": "carried", "audio": "made_anew", "subtitle": "carried"}
    song = try_repair(song_with_cover(), suffix="mp3")
    assert song["possible"]
    assert "left_out" not in song["streams"].values()


def test_what_cannot_be_repaired_says_why():
    silent = try_repair(film(audio_codec=None), suffix="mp4")
    assert (silent["possible"], silent["reason"]) == (False, "no_media")
    with pytest.raises(MediaError):
        describe_media(b"nothing")


def test_it_is_told_by_the_process_that_decodes():
    data = film()
    told = process_decoder(DEFAULT_DECODING).run(describe_media, data)
    assert json.dumps(told) == json.dumps(describe_media(data))
