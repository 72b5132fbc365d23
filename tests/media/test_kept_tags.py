"""What recorders and players note in a file of sound is there after a repair, and nothing that is no longer true."""

from __future__ import annotations

import base64
import io
import struct

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_samples import Recipe, build, song_with_cover, tone_bursts

from avagent.core.media import Waveform
from avagent.media.container import decode_audio, encode_audio, remux
from avagent.media.kept_tags import keep_tags
from avagent.media.pyav import ogg_picture

SOUND = tone_bursts(1.0)
BEXT = b"\0" * 256 + b"Recorder".ljust(32, b"\0") + b"\1" * 320
CUE = struct.pack("<I", 1) + bytes(24)


def wav(*chunks: tuple[bytes, bytes], after: tuple[tuple[bytes, bytes], ...] = (), codec: str = "pcm_s16le") -> bytes:
    """A WAV with chunks before the samples and after them."""
    plain = build(Recipe(muxer="wav", video_codec=None, audio_codec=codec, sound=SOUND))
    place = plain.find(b"data")
    size = 8 + int.from_bytes(plain[place + 4 : place + 8], "little")
    pack = [b"".join(struct.pack("<4sI", k, len(v)) + v + b"\0" * (len(v) % 2) for k, v in c) for c in (chunks, after)]
    body = plain[12:place] + pack[0] + plain[place : place + size] + pack[1]
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body


HEADS = {"wav": b"RIFF\0\0\0\0WAVE", "flac": b"fLaC", "mp3": b"ID3"}


def repaired(data: bytes, suffix: str) -> bytes:
    sound = decode_audio(data)
    assert sound is not None
    result = encode_audio(Waveform(-sound.samples, sound.rate), suffix, data)
    again = decode_audio(result)
    assert again is not None
    assert again.samples.shape == sound.samples.shape
    return result


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le", "pcm_s24le"])
def test_wav_keeps_its_chunks(codec: str):
    data = wav((b"bext", BEXT), (b"iXML", b"<odd/>x"), after=((b"cue ", CUE), (b"LIST", b"adtlx")), codec=codec)
    result = repaired(data, "wav")
    for kind, body in ((b"bext", BEXT), (b"iXML", b"<odd/>x"), (b"cue ", CUE), (b"LIST", b"adtlx")):
        assert result.count(struct.pack("<4sI", kind, len(body)) + body) == 1
    assert result[4:8] == struct.pack("<I", len(result) - 8)
    assert result.index(b"bext") < result.index(b"data") < result.index(b"cue ")


def test_what_describes_the_old_samples_does_not_stay():
    result = repaired(wav((b"PEAK", bytes(24)), (b"levl", b"old peaks"), after=((b"MD5 ", bytes(16)),)), "wav")
    assert not any(kind in result for kind in (b"PEAK", b"levl", b"MD5 "))


def test_a_chunk_that_the_file_cuts_off_is_no_chunk():
    data = wav((b"bext", BEXT)) + struct.pack("<4sI", b"cue ", 999) + b"short"
    result = repaired(data, "wav")
    assert BEXT in result
    assert b"cue " not in result


def flac(*blocks: tuple[int, bytes]) -> bytes:
    plain = build(Recipe(muxer="flac", video_codec=None, audio_codec="flac", sound=SOUND))
    info = plain[8:42]
    rest = plain[4:]
    while True:
        head = int.from_bytes(rest[:4], "big")
        rest = rest[4 + (head & 0xFFFFFF) :]
        if head >> 31:
            break
    parts = [(0, info), *blocks]
    heads = [(kind | (128 if part is parts[-1] else 0)) << 24 | len(body) for part in parts for kind, body in [part]]
    head = b"".join(struct.pack(">I", head) + body for head, (_, body) in zip(heads, parts, strict=True))
    return b"fLaC" + head + rest


def test_flac_keeps_its_blocks():
    comments = struct.pack("<I", 4) + b"odd!" + struct.pack("<II", 1, 9) + b"TAKE=7/7b"
    cover = base64.b64decode(a_cover())
    data = flac((2, b"riff" + BEXT), (4, comments), (6, cover), (3, bytes(18)), (1, bytes(64)))
    result = repaired(data, "flac")
    for body in (BEXT, comments, cover):
        assert result.count(body) == 1
    assert len(result) < len(data) + 100


NEW = {"wav": wav(), "flac": flac(), "mp3": song_with_cover()}


def a_cover() -> str:
    with av.open(io.BytesIO(song_with_cover())) as container:
        packet = next(p for p in container.demux(video=0) if p.size)
        return ogg_picture(container.streams.video[0], packet)


@pytest.mark.parametrize("codec", ["libopus", "flac"])
def test_ogg_keeps_its_cover(codec: str):
    buffer = io.BytesIO()
    plain = build(Recipe(muxer="ogg", video_codec=None, audio_codec=codec, sound=SOUND))
    with av.open(io.BytesIO(plain)) as given, av.open(buffer, "w", format="ogg") as out:
        out.metadata.update({"METADATA_BLOCK_PICTURE": a_cover(), "TITLE": "Meow"})
        copy = out.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux():
            if packet.size:
                packet.stream = copy
                out.mux(packet)
    data = buffer.getvalue()
    result = repaired(data, "ogg")
    with av.open(io.BytesIO(data)) as before, av.open(io.BytesIO(result)) as after:
        covers = [[bytes(p) for p in c.demux(video=0) if p.size] for c in (before, after)]
        assert covers[0] == covers[1] != []


def test_mp3_keeps_its_tag_as_it_is():
    private = b"PRIV" + struct.pack(">IH", 20, 0) + b"me\0" + b"seventeen bytes!!"
    plain = build(Recipe(muxer="mp3", video_codec=None, audio_codec="libmp3lame", sound=SOUND))
    tag = b"ID3\4\0\0" + bytes([0, 0, 0, len(private)]) + private
    ending = b"TAG" + b"Meow".ljust(125, b"\0")
    data = tag + plain[10 + int.from_bytes(plain[9:10], "big") + (plain[8] << 7) :] + ending
    result = repaired(data, "mp3")
    assert result.startswith(tag)
    assert result.count(b"ID3") == 1
    assert result.endswith(ending)


def test_the_delay_that_itunes_notes_does_not_stay():
    note = b"COMM" + struct.pack(">IH", 24, 0) + b"\0engiTunSMPB\0 00000000 0"
    plain = build(Recipe(muxer="mp3", video_codec=None, audio_codec="libmp3lame", sound=SOUND))
    data = b"ID3\4\0\0" + bytes([0, 0, 0, len(note)]) + note + plain[10 + plain[9] + (plain[8] << 7) :]
    assert not repaired(data, "mp3").startswith(data[: 10 + len(note)])


@given(st.binary(max_size=300), st.sampled_from(sorted(HEADS)))
@settings(max_examples=200, deadline=None)
def test_broken_heads_break_nothing(junk: bytes, muxer: str):
    sound = NEW[muxer][-200:]
    assert sound in keep_tags(HEADS[muxer] + junk, NEW[muxer], muxer)


def test_metadata_of_matroska_and_avi_stay():
    for muxer, key in (("matroska", "LOCATION"), ("avi", "title")):
        data = build(Recipe(muxer=muxer, metadata={key: "+48.1+011.5/"}, video_options={"g": "10"}))
        result = remux(data, tone_bursts(2.0))
        with av.open(io.BytesIO(result)) as container:
            assert container.metadata.get(key) == "+48.1+011.5/"
