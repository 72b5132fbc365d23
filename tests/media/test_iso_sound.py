"""Another sound in an ISO media file: every other track, every edit list and all metadata stay as they were."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from iso_tools import insert_in_moov, own_boxes, samples_of, set_track_edits
from media_samples import Recipe, build, faststart, lag_in_samples, reason_of, tone_bursts

from avagent.core.errors import FailureReason
from avagent.core.media import Waveform
from avagent.media.container import decode_audio, probe, remux
from avagent.media.iso_boxes import Box, movie, read_edits, track_id
from avagent.media.iso_chunks import _Sizes
from avagent.media.iso_sound import SoundTrack, replace_sound

BRANDS = [b"isom", b"qt  ", b"M4A "]


def shown(data: bytes) -> list[tuple[float, int]]:
    """Time and a digest of every picture that a player shows."""
    with av.open(io.BytesIO(data)) as container:
        return [(float(f.pts * f.time_base), hash(f.to_ndarray().tobytes())) for f in container.decode(video=0)]


def repaired(data: bytes, **options: str) -> bytes:
    """Through remux, the sound turned upside down: no codec mistakes that for the old one."""
    sound = decode_audio(data)
    assert sound is not None
    edited = Waveform(-sound.samples, sound.rate)
    result = remux(data, edited, **options)
    again = decode_audio(result)
    assert again is not None
    assert (again.rate, again.samples.shape) == (edited.rate, edited.samples.shape)
    assert lag_in_samples(edited.samples, again.samples) == 0
    assert probe(result).audio_start == pytest.approx(probe(data).audio_start, abs=1e-4)
    return result


def branded(data: bytes, brand: bytes) -> bytes:
    """The same file under another brand: which muxer it is for."""
    return data[:8] + brand + data[12:]


def with_data_track() -> bytes:
    """A clip with telemetry beside sound and picture, as action cameras write it."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(build(Recipe()))) as given, av.open(buffer, "w", format="mp4") as out:
        copies = [out.add_stream_from_template(s, opaque=True) for s in given.streams]
        data = out.add_data_stream("bin_data")
        data.time_base = Fraction(1, 1000)
        packets = [p for p in given.demux() if p.size]
        for p in packets:
            p.stream = copies[p.stream_index]
        for k in range(4):
            p = av.Packet(b"DEVC" + bytes([k]) * 40)
            p.stream, p.time_base = data, Fraction(1, 1000)
            p.pts = p.dts = k * 400
            p.duration = 400
            packets.append(p)
        for p in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            out.mux(p)
    return buffer.getvalue()


@pytest.mark.parametrize("brand", BRANDS)
@pytest.mark.parametrize("front", [False, True])
def test_other_tracks_stay_byte_by_byte(brand: bytes, front: bool):
    data = branded(faststart(with_data_track()) if front else with_data_track(), brand)
    result = repaired(data)
    for track in (1, 3):
        assert samples_of(result, track) == samples_of(data, track) != []
        assert own_boxes(result, track) == own_boxes(data, track)


def test_a_track_of_a_codec_that_nobody_knows_stays():
    """The second sound track of phones; here one whose codec is renamed to something unheard of."""
    data = bytearray(with_second_sound())
    place = data.rfind(b"mp4a")
    data[place : place + 4] = b"apzz"
    result = repaired(bytes(data))
    assert samples_of(result, 3) == samples_of(bytes(data), 3) != []
    assert b"apzz" in result


def with_second_sound() -> bytes:
    buffer = io.BytesIO()
    first, second = build(Recipe()), build(Recipe(video_codec=None, sound=tone_bursts(2.0, seed=9)))
    with av.open(io.BytesIO(first)) as a, av.open(io.BytesIO(second)) as b, av.open(buffer, "w", format="mp4") as out:
        copies = [out.add_stream_from_template(s, opaque=True) for s in (*a.streams, b.streams.audio[0])]
        packets = [(p, p.stream_index) for p in a.demux() if p.size] + [(p, 2) for p in b.demux() if p.size]
        for packet, index in sorted(packets, key=lambda pair: pair[0].dts * pair[0].time_base):
            packet.stream = copies[index]
            out.mux(packet)
    return buffer.getvalue()


@pytest.mark.parametrize("muxer", ["mp4", "mov"])
@pytest.mark.parametrize(
    "edits",
    [
        pytest.param([(1200, 0)], id="end hidden"),
        pytest.param([(1000, 5120)], id="start and end hidden"),
        pytest.param([(240, -1), (1000, 0)], id="late and end hidden"),
        pytest.param([(400, 0), (600, 12800)], id="a piece taken out of the picture alone"),
    ],
)
def test_what_the_pictures_edit_list_hides_stays_hidden(muxer: str, edits: list[tuple[int, int]]):
    data = set_track_edits(build(Recipe(muxer=muxer, audio_codec="aac")), 1, edits)
    before = shown(data)
    assert 0 < len(before) < 50
    assert shown(repaired(data)) == before


@pytest.mark.parametrize("edits", [[(500, 1024), (500, 49152)], [(500, 1024), (200, -1), (500, 49152)]])
def test_sound_in_several_pieces_is_refused_by_name(edits: list[tuple[int, int]]):
    data = set_track_edits(build(Recipe()), 2, edits)
    assert reason_of(remux, data, tone_bursts(1.0)) == FailureReason.UNSUPPORTED_EDIT_LIST


def test_sound_that_ends_before_its_last_packet_ends_there_again():
    data = set_track_edits(build(Recipe()), 2, [(1300, 1024)])
    sound = decode_audio(data)
    assert sound is not None
    assert sound.length == 62_400
    repaired(data)


@pytest.mark.parametrize("codec", ["png", "mjpeg"])
@pytest.mark.parametrize(("brand", "video"), [(b"isom", "mpeg4"), (b"isom", None), (b"M4A ", None)])
def test_cover_pictures_stay_and_move_no_edit_list(brand: bytes, video: str | None, codec: str):
    """A cover is no track, but FFmpeg counts it among the streams, before or behind the tracks."""
    data = branded(with_cover(video, codec), brand)
    for covered in (data, udta_first(data)):
        result = repaired(covered)
        with av.open(io.BytesIO(covered)) as before, av.open(io.BytesIO(result)) as after:
            kept = [[bytes(p) for p in c.demux() if p.size and is_cover(p.stream)] for c in (before, after)]
        assert kept[0] == kept[1] != []


def is_cover(stream: av.stream.Stream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def with_cover(video: str | None, codec: str) -> bytes:
    buffer = io.BytesIO()
    source = build(Recipe(video_codec=video))
    with av.open(io.BytesIO(source)) as given, av.open(buffer, "w", format="mp4") as out:
        copies = [out.add_stream_from_template(s, opaque=True) for s in given.streams]
        cover = out.add_stream(codec, rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "rgb24" if codec == "png" else "yuvj420p"
        cover.disposition = 1 << 10
        frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8)).reformat(format=cover.pix_fmt)
        for packet in [*cover.encode(frame), *cover.encode(None)]:
            out.mux(packet)
        for packet in given.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                out.mux(packet)
    return buffer.getvalue()


def udta_first(data: bytes) -> bytes:
    """The user data with the cover before the tracks; no offset changes."""
    index = movie(data)
    assert index is not None
    index.children.sort(key=lambda box: {b"mvhd": 0, b"udta": 1}.get(box.kind, 2))
    start = data.rfind(b"moov") - 4
    assert data[start + int.from_bytes(data[start : start + 4], "big") :] == b""
    return data[:start] + index.to_bytes()


def test_metadata_that_no_muxer_writes_stays():
    """What phones note by keys of their own, and boxes that nobody knows."""
    private = Box(b"priv", b"whatever it is").to_bytes()
    data = insert_in_moov(build(Recipe(muxer="mov", metadata={"title": "Meow"})), private)
    assert private in repaired(data)


def test_the_old_encoders_gapless_note_does_not_stay():
    note = Box(b"udta", Box(b"----", b"\0" * 12 + b"iTunSMPB 00000000 00000840 000001CA").to_bytes()).to_bytes()
    data = insert_in_moov(build(Recipe(muxer="ipod", video_codec=None)), note)
    result = repaired(data)
    assert b"----" not in result
    assert len(result) > 0


def test_fragments_are_written_by_the_muxer():
    data = build(Recipe(options={"movflags": "frag_keyframe+empty_moov"}))
    result = repaired(data)
    assert shown(result) == shown(data)


def test_samples_in_another_file_are_not_followed():
    data = bytearray(build(Recipe()))
    place = data.find(b"url \0\0\0\1")
    data[place + 7] = 0
    assert replace_sound(bytes(data), 2, a_track()) is None


def a_track() -> SoundTrack:
    alone = build(Recipe(video_codec=None))
    return SoundTrack(file=alone, rate=48_000, start=0, priming=1024, length=96_000, lists_channels=False)


@pytest.mark.parametrize("order", [(114 << 16) | 3, (126 << 16) | 8, (127 << 16) | 8, (125 << 16) | 7])
def test_the_order_of_quicktimes_channels_stays(order: int):
    """Orders that are not FFmpeg's: C L R; L R C LFE Ls Rs Lc Rc; C Lc Rc L R Ls Rs LFE; L R C LFE Ls Rs Cs."""
    channels = order & 0xFFFF
    sound = tone_bursts(1.0, channels=channels)
    layout = {3: "2.1", 7: "6.1", 8: "7.1"}[channels]
    data = bytearray(pcm_movie(sound, layout))
    place = data.find(b"chan") + 8
    data[place : place + 4] = struct.pack(">I", order)
    decoded = decode_audio(bytes(data))
    assert decoded is not None
    assert np.array_equal(decoded.samples, sound.samples)
    result = repaired(bytes(data))
    again = decode_audio(result)
    assert again is not None
    assert np.array_equal(again.samples, -sound.samples)
    assert struct.pack(">I", order) in result[result.find(b"chan") :][:16]


def pcm_movie(sound: Waveform, layout: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mov") as out:
        stream = out.add_stream("pcm_s16le", rate=sound.rate, layout=layout)
        values = np.round(sound.samples * 32768).astype(np.int16).T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(values, format="s16", layout=layout)
        frame.sample_rate = sound.rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return buffer.getvalue()


@pytest.mark.parametrize("clock", [600, 1000, 90_000, 1_000_003])
def test_the_clock_of_the_movie_counts_samples(clock: int):
    """Edit lists count in it: at 600 ticks a second sound of 44.1 kHz could end 70 samples too early."""
    sound = tone_bursts(1.9873, rate=44_100)
    data = build(Recipe(sound=sound, frames=50, options={"movie_timescale": str(clock)}))
    result = repaired(data)
    for track in (1, 2):
        before, after = (next(t for t in movie(d).all(b"trak") if track_id(t) == track) for d in (data, result))
        spans = [sum(e.duration for e in read_edits(t)) for t in (before, after)]
        clocks = [int.from_bytes(movie(d).find(b"mvhd").body[12:16], "big") for d in (data, result)]
        if track == 1:
            assert Fraction(spans[0], clocks[0]) == Fraction(spans[1], clocks[1])


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_broken_files_are_left_to_the_muxer(draw: st.DataObject):
    data = bytearray(CLIP)
    start = data.rfind(b"moov")
    for _ in range(draw.draw(st.integers(1, 6))):
        data[draw.draw(st.integers(start, len(data) - 1))] = draw.draw(st.integers(0, 255))
    result = replace_sound(bytes(data), 2, TRACK)
    assert result is None or len(result) > 0


CLIP = build(Recipe(frames=12))
TRACK = a_track()


@pytest.mark.parametrize(
    ("width", "body"),
    [(4, bytes([0x51, 0x70])), (8, bytes([5, 1, 7])), (16, bytes([0, 5, 0, 1, 0, 7]))],
)
def test_compact_tables_of_sizes(width: int, body: bytes):
    """Three samples of 5, 1 and 7 bytes (ISO/IEC 14496-12, section 8.7.3.3): of 4 bits, two share a byte."""
    table = Box(b"stz2", bytes(7) + bytes([width]) + struct.pack(">I", 3) + body)
    track = Box(b"trak", children=[Box(b"mdia", children=[Box(b"minf", children=[Box(b"stbl", children=[table])])])])
    sizes = _Sizes.of(track)
    assert sizes.count == 3
    assert sizes.before(np.arange(4)).tolist() == [0, 5, 6, 13]
