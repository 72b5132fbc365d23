"""More streams than two: what a container can carry is carried, and what it cannot is named."""

from __future__ import annotations

import io

import av
import pytest
from media_samples import Recipe, build, image, picture, tone_bursts

from avagent.core.errors import FailureReason, MediaError
from avagent.media.container import decode_audio, remux

FONT = b"\0\1\0\0" + bytes(range(200))


@pytest.mark.parametrize(
    ("muxer", "codec"),
    [("mp4", "aac"), ("mov", "pcm_s16le"), ("webm", "libopus"), ("matroska", "flac"), ("avi", "pcm_s16le")],
)
def test_a_container_of_pictures_that_holds_sound_only(muxer: str, codec: str):
    data = build(Recipe(muxer=muxer, video_codec=None, audio_codec=codec))
    sound = decode_audio(data)
    assert sound is not None
    again = decode_audio(remux(data, sound))
    assert again is not None
    assert again.samples.shape == sound.samples.shape


def with_attachments(source: bytes, muxer: str, *attachments: tuple[str, str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with av.open(io.BytesIO(source)) as given, av.open(buffer, "w", format=muxer) as out:
        copies = [out.add_stream_from_template(s, opaque=True) for s in given.streams]
        for attachment in attachments:
            out.add_attachment(*attachment)
        for packet in given.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                out.mux(packet)
    return buffer.getvalue()


def attached(data: bytes) -> list[tuple[str, dict[str, str], bytes]]:
    with av.open(io.BytesIO(data)) as container:
        covers = {p.stream_index: bytes(p) for p in container.demux() if p.size and p.stream.type == "video"}
        return [
            (s.type, dict(s.metadata), s.data if s.type == "attachment" else covers[s.index])
            for s in container.streams
            if s.type == "attachment" or s.disposition & av.stream.Disposition.attached_pic
        ]


@pytest.mark.parametrize("muxer", ["matroska"])
@pytest.mark.parametrize("codec", ["png", "mjpeg"])
def test_attached_covers_and_fonts_stay(muxer: str, codec: str):
    cover = image(picture(0, (32, 32)), codec)
    kind = "image/png" if codec == "png" else "image/jpeg"
    files = ("cover.x", kind, cover), ("small_cover.x", kind, cover), ("a.ttf", "font/ttf", FONT)
    data = with_attachments(build(Recipe(muxer=muxer, audio_codec="flac")), muxer, *files)
    result = remux(data, tone_bursts(2.0))
    assert attached(data) == attached(result)
    assert sorted(payload for _, _, payload in attached(result)) == sorted([cover, cover, FONT])


@pytest.mark.parametrize("named", [b"A_FLAC", b"V_MPEG4/ISO/ASP"])
def test_a_track_that_matroska_cannot_carry_is_named_and_nothing_is_written(named: bytes):
    """A second track in a codec that FFmpeg does not know."""
    data = bytearray(two_of_each())
    place = data.rfind(named, 0, data.find(b"\x1f\x43\xb6\x75"))
    data[place : place + len(named)] = named[:2] + b"X" * (len(named) - 2)
    with pytest.raises(MediaError, match=r"stream \d \((audio|video), a codec that is not known here") as caught:
        remux(bytes(data), tone_bursts(2.0))
    assert caught.value.reason == FailureReason.UNSUPPORTED_STREAM


def two_of_each() -> bytes:
    buffer = io.BytesIO()
    sources = [build(Recipe(audio_codec="aac")), build(Recipe(audio_codec="flac", sound=tone_bursts(2.0, seed=4)))]
    opened = [av.open(io.BytesIO(source)) for source in sources]
    with av.open(buffer, "w", format="matroska") as out:
        copies = [[out.add_stream_from_template(s, opaque=True) for s in source.streams] for source in opened]
        packets = [(p, copies[i][p.stream_index]) for i, source in enumerate(opened) for p in source.demux() if p.size]
        for packet, copy in sorted(packets, key=lambda pair: pair[0].dts * pair[0].time_base):
            packet.stream = copy
            out.mux(packet)
    for source in opened:
        source.close()
    return buffer.getvalue()


def test_second_streams_stay_in_matroska_as_well():
    data = two_of_each()
    result = remux(data, tone_bursts(2.0))
    with av.open(io.BytesIO(data)) as before, av.open(io.BytesIO(result)) as after:
        assert [s.codec_context.name for s in before.streams] == [s.codec_context.name for s in after.streams]
    with av.open(io.BytesIO(data)) as before, av.open(io.BytesIO(result)) as after:
        for index in (0, 2, 3):
            kept = []
            for container in (before, after):
                container.seek(0)
                kept.append([bytes(p) for p in container.demux(container.streams[index]) if p.size])
            assert kept[0] == kept[1] != []
