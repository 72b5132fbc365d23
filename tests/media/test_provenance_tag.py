"""What a repaired file says of its repair: readable everywhere, the same bytes every time, and at nobody's cost."""

from __future__ import annotations

import io
import json

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_samples import Recipe, build, faststart, song_with_cover, tone_bursts

from avagent.core.actions import Volume
from avagent.core.media import Waveform
from avagent.media.container import decode_audio, remux
from avagent.media.provenance_tag import add_tag, free_number, retagged
from avagent.records.decisions import Provenance, container_tag

SOUND = tone_bursts(1.0)
PROVENANCE = Provenance(recipe="embedded", fingerprint="f" * 64, models={}, version="0.1.0")
TAG = container_tag((Volume(target_lufs=-23.0),), PROVENANCE)
KINDS = {
    "mp4": ("mp4", "mpeg4", "aac"),
    "mp4-index-first": ("mp4", "mpeg4", "aac"),
    "mov": ("mov", "mpeg4", "pcm_s16le"),
    "m4a": ("ipod", None, "aac"),
    "mkv": ("matroska", "mpeg4", "aac"),
    "webm": ("webm", "libvpx", "libopus"),
    "opus": ("ogg", None, "libopus"),
    "flac": ("flac", None, "flac"),
    "mp3": ("mp3", None, "libmp3lame"),
    "wav": ("wav", None, "pcm_s16le"),
}
WITHOUT_NAMES = ("wav",)
"""Formats whose tags have names of four letters."""


def sample(kind: str) -> bytes:
    muxer, video, audio = KINDS[kind]
    noted = {"title": "A bell", "comment": "by hand"}
    made = build(Recipe(muxer=muxer, video_codec=video, audio_codec=audio, sound=SOUND, metadata=noted))
    return faststart(made) if kind.endswith("first") else made


def repaired(data: bytes, tag: str = TAG) -> bytes:
    sound = decode_audio(data)
    assert sound is not None
    return remux(data, Waveform(-sound.samples, sound.rate), tag=tag)


def notes(data: bytes) -> dict[str, str]:
    """All tags, of the file and of its streams."""
    with av.open(io.BytesIO(data)) as container:
        found = dict(container.metadata)
        for stream in container.streams:
            found |= dict(stream.metadata)
    return found


def packets(data: bytes) -> list[tuple[str, bytes, int | None, int | None]]:
    with av.open(io.BytesIO(data)) as container:
        return [(p.stream.type, bytes(p), p.pts, p.dts) for p in container.demux() if p.size]


@pytest.mark.parametrize("kind", KINDS)
def test_the_tag_is_there_and_nothing_else_has_changed(kind: str):
    data = sample(kind)
    plain, tagged = repaired(data, ""), repaired(data)
    assert packets(tagged) == packets(plain)
    before, after = notes(plain), notes(tagged)
    assert before.items() <= after.items()
    assert before.get("title") == notes(data).get("title")
    (name,) = after.keys() - before.keys()
    assert name == ("IAV1" if kind in WITHOUT_NAMES else "AVAGENT")
    told = json.loads(after[name])
    assert told["tool"] == "avagent"
    assert (told["version"], told["recipe"]) == (PROVENANCE.version, PROVENANCE.fingerprint)
    assert [action["kind"] for action in told["actions"]] == ["volume"]
    assert repaired(data) == tagged


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_repair_keeps_what_the_first_one_noted(kind: str):
    once = repaired(sample(kind))
    twice = repaired(once, TAG.replace("volume", "second"))
    told = {name: value for name, value in notes(once).items() if name not in ("encoder", "DURATION")}
    assert told.items() <= notes(twice).items()
    added = notes(twice).keys() - notes(once).keys()
    assert added == {"IAV2" if kind in WITHOUT_NAMES else "AVAGENT_2"}


def test_cover_and_tags_of_a_song_stay():
    song = song_with_cover()
    plain, tagged = repaired(song, ""), repaired(song)
    assert packets(plain) == packets(tagged)
    assert notes(plain).items() <= notes(tagged).items()
    assert "AVAGENT" in notes(tagged)


@pytest.mark.parametrize("kind", KINDS)
def test_another_text_of_the_same_length_gives_the_bytes_of_a_run_afresh(kind: str):
    data = sample(kind)
    other = TAG.replace("f" * 64, "e" * 64)
    renewed = retagged(repaired(data), TAG, other)
    assert renewed == (None if kind in ("mkv", "webm", "opus") else repaired(data, other))
    assert retagged(repaired(data), TAG, TAG + " ") is None
    assert retagged(data, TAG, other) is None


def test_a_file_has_room_for_nine():
    assert free_number(["title"]) == 1
    assert free_number(["avagent", "IAV2"]) == 3
    assert free_number(["AVAGENT", *(f"AVAGENT_{n}" for n in range(2, 10))]) is None


@given(st.data())
def test_a_damaged_file_is_left_or_tagged_and_never_fails(data: st.DataObject):
    kind = data.draw(st.sampled_from(["mp4", "flac", "mp3", "wav"]))
    good = bytearray(SAMPLES[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        good[data.draw(st.integers(0, min(len(good), 4000) - 1))] = data.draw(st.integers(0, 255))
    result = add_tag(bytes(good), KINDS[kind][0], 1, TAG)
    assert len(result) >= len(good)


SAMPLES = {kind: sample(kind) for kind in ("mp4", "flac", "mp3", "wav")}
