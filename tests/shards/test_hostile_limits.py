"""Limits of shards and media: each is named by the message that it causes, and what is refused costs little."""

from __future__ import annotations

import gzip
import io
from fractions import Fraction
from functools import partial

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_samples import VP8, Recipe, build, image, picture
from tfrecord_tools import MP4, chunk, example, feature, record, sequence, varint

from avagent import storage
from avagent.core.errors import FailureReason, MediaError, ShardError
from avagent.core.media import Waveform
from avagent.media.container import (
    DEFAULT_LIMITS,
    MediaLimits,
    PictureChoice,
    decode_audio,
    decode_images,
    decode_member,
    decode_motion,
    decode_picture,
    probe,
    sample_frames,
)
from avagent.media.decoder_process import DecoderPool
from avagent.media.limits import DecodeLimits
from avagent.shards import compression
from avagent.shards.limits import ShardLimits
from avagent.shards.samples import BadSample, LoadedClip
from avagent.shards.tfrecord import examples
from avagent.shards.tfrecord.examples import bytes_values, list_values, parse_example, text_value
from avagent.shards.tfrecord.records import read_shard
from avagent.shards.tfrecord.wire_fields import count_fields

PICTURES = PictureChoice(count=3, max_side=360, least_keyframes=4)
NOTHING = chunk(1, b"")


# --- records


def test_fields_are_counted_at_each_level():
    data = example({"a": b"1", "b": 2, "c": [b"1", b"2"]})
    assert count_fields(data, 99, 1) == 1
    assert count_fields(data, 99, 2) == 1 + 3
    assert count_fields(data, 99, 3) == 1 + 3 + 6
    assert count_fields(b"\x08\x96\x01" + b"\x0d" + bytes(4) + b"\x09" + bytes(8) + b"\x0b\x08\x01\x0c", 99, 1) == 6


@given(st.binary(max_size=400), st.integers(0, 50), st.integers(1, 4))
def test_counting_ends_whatever_it_is_given(data, most, depth):
    assert count_fields(data, most, depth) <= most + depth


@given(st.lists(st.binary(max_size=5), max_size=30))
def test_counting_finds_all_that_parsing_finds(values):
    data = feature(values)
    assert count_fields(data, 10_000, 2) == 1 + len(values)


@pytest.mark.parametrize(
    ("read", "data"),
    [
        (lambda data: parse_example(data, 100), chunk(1, NOTHING * 100_000)),
        (lambda data: parse_example(data, 100), NOTHING * 100_000),
        (lambda data: parse_example(data, 100), b"\x38\x01" * 100_000),
        (lambda data: bytes_values(examples.Feature(name="x", value=data), 100), chunk(1, NOTHING * 100_000)),
        (lambda data: list_values(examples.Feature(name="x", value=data), 100), chunk(1, chunk(1, b"")) * 100_000),
    ],
)
def test_tiny_values_are_refused_before_they_are_parsed(monkeypatch, read, data):
    monkeypatch.setattr(examples, "_parse", lambda *_: pytest.fail("was parsed"))
    with pytest.raises(ShardError, match=r"limits\.members") as caught:
        read(data)
    assert caught.value.reason == FailureReason.LIMIT_EXCEEDED


def test_as_many_as_there_may_be_are_read():
    data = sequence({f"c{n}": b"x" for n in range(60)}, {f"l{n}": [b"1", b"2"] for n in range(40)})
    assert len(parse_example(data, 100).features) == 60
    with pytest.raises(ShardError, match=r"limits\.members"):
        parse_example(data, 99)
    many = examples.Feature(name="x", value=feature([b"%d" % n for n in range(100)]))
    assert len(bytes_values(many, 100)) == 100


def test_numbers_where_bytes_are_expected_are_not_expanded():
    """Packed numbers grow eightfold when they are parsed; of media they are not wanted at all."""
    numbers = chunk(3, chunk(1, bytes(1000)))
    assert bytes_values(examples.Feature(name="mp4", value=numbers)) == ()


def test_a_key_has_a_limit():
    key = examples.Feature(name="key", value=feature(b"k" * 100))
    assert text_value(key, len(key.value)) == "k" * 100
    with pytest.raises(ShardError, match=r"limits\.header_bytes"):
        text_value(key, len(key.value) - 1)


# --- compressed shards


def put(data: bytes, name: str = "s.tfrecord.gz") -> str:
    url = f"memory://hostile-limits/{name}"
    storage.write_bytes(url, data)
    return url


@pytest.fixture
def no_free_expansion(monkeypatch):
    monkeypatch.setattr(compression, "_FREE_EXPANSION", 0)


def clips(count: int, size: int) -> bytes:
    return b"".join(record(example({"key": f"{n}".encode(), "mp4": MP4 + bytes(size)})) for n in range(count))


@pytest.mark.usefixtures("no_free_expansion")
def test_a_shard_that_expands_beyond_belief_is_left():
    url = put(gzip.compress(clips(40, 500_000), 9))
    *good, last = read_shard(url, ShardLimits(expansion=100))
    assert isinstance(last, BadSample)
    assert last.failure.reason == FailureReason.LIMIT_EXCEEDED
    assert "limits.expansion" in last.failure.message
    assert last.offset + last.length <= 100 * storage.size(url) + (8 << 20), "the rest was not expanded"
    assert all(isinstance(item, LoadedClip) for item in good)
    assert len(good) < 40
    assert len(list(read_shard(url, ShardLimits(expansion=2000)))) == 40


def test_some_silence_at_the_head_of_a_shard_is_no_bomb():
    url = put(gzip.compress(clips(40, 500_000), 9))
    assert len(list(read_shard(url, ShardLimits(expansion=10)))) == 40


@pytest.mark.usefixtures("no_free_expansion")
def test_an_honest_compressed_shard_is_read_under_the_default():
    noise = np.random.default_rng(1).bytes(100_000)
    shard = b"".join(record(example({"key": f"{n}".encode(), "mp4": MP4 + noise})) for n in range(3))
    assert len(list(read_shard(put(gzip.compress(shard))))) == 3


def test_a_record_that_claims_much_costs_nothing():
    claimed = varint(1 << 40)
    with pytest.raises(ShardError):
        parse_example(b"\x0a" + claimed, 10)


# --- media

CLIP = build(Recipe(frames=30))


def flac(seconds: float) -> bytes:
    quiet = Waveform(np.zeros((1, round(seconds * 48_000)), np.float32), 48_000)
    return build(Recipe(muxer="flac", video_codec=None, audio_codec="flac", sound=quiet))


@pytest.mark.parametrize(
    ("limits", "call"),
    [
        ({"media_seconds": 1.0}, lambda limits: probe(CLIP, limits=limits)),
        ({"media_seconds": 1.0}, lambda limits: decode_audio(CLIP, limits=limits)),
        ({"picture_side": 63}, lambda limits: sample_frames(CLIP, limits=limits)),
        ({"picture_pixels": 64 * 48 - 1}, lambda limits: decode_motion(CLIP, limits=limits)),
        ({"pictures": 29}, lambda limits: probe(CLIP, limits=limits)),
        ({"channels": 1}, lambda limits: decode_audio(CLIP, limits=limits)),
        ({"sample_rate": 44_100}, lambda limits: decode_audio(CLIP, limits=limits)),
        ({"streams": 1}, lambda limits: decode_member(CLIP, limits=limits)),
        ({"sound_bytes": 400_000}, lambda limits: decode_audio(CLIP, limits=limits)),
        ({"picture_pixels": 99}, lambda limits: decode_images((image(picture(0, (10, 10))),), limits=limits)),
        ({"picture_side": 9}, lambda limits: decode_images((image(picture(0, (10, 10))),), limits=limits)),
    ],
)
def test_the_message_names_the_limit(limits, call):
    (name,) = limits
    with pytest.raises(MediaError, match=rf"limits\.{name}") as caught:
        call(MediaLimits(**limits))
    assert caught.value.reason == FailureReason.LIMIT_EXCEEDED


def test_what_is_just_within_the_limits_is_decoded():
    limits = MediaLimits(
        media_seconds=1.5,
        picture_side=64,
        picture_pixels=1 << 16,
        pictures=30,
        channels=2,
        sample_rate=48_000,
        streams=2,
    )
    assert decode_picture(CLIP, limits=limits).frames.count == 8
    assert decode_audio(CLIP, limits=limits).channels == 2


@pytest.mark.parametrize("call", [sample_frames, decode_motion, partial(decode_member, pictures=PICTURES)])
def test_pictures_are_counted_where_nothing_is_declared(call):
    data = build(Recipe(muxer="matroska", frames=30))
    assert call(data, limits=MediaLimits(pictures=30)) is not None
    with pytest.raises(MediaError, match=r"limits\.pictures"):
        call(data, limits=MediaLimits(pictures=29))


def test_sound_is_counted_while_it_is_decoded():
    """Silence in FLAC is a thousandth of its size; the header says nothing of its length."""
    data = bytearray(flac(60))
    data[21:26] = bytes([data[21] & 0xF0, 0, 0, 0, 0])
    assert len(data) < 20_000
    assert decode_audio(bytes(data)).duration == pytest.approx(60)
    for limits in ({"media_seconds": 59.0}, {"sound_bytes": 11_000_000}):
        with pytest.raises(MediaError, match=rf"limits\.{next(iter(limits))}"):
            decode_audio(bytes(data), limits=MediaLimits(**limits))


def test_a_narrow_picture_does_not_become_a_large_one():
    """Scaled to the width at which motion is measured, 2 x 4000 would be 192,000 lines."""
    data = build(Recipe(size=(16, 4000), frames=3))
    assert decode_motion(data).energy.size == 3


def test_a_small_file_that_takes_long_is_given_up():
    """3,000 pictures of 4 megapixels in which nothing moves: a file of some KB, and half a minute of decoding."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        stream = out.add_stream("libvpx", rate=25, options={**VP8, "g": "600", "auto-alt-ref": "0"})
        stream.width = stream.height = 2048
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame(2048, 2048, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        packets = []
        for index in range(2):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for index in range(3000):
            packet = av.Packet(bytes(packets[min(index, 1)]))
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 25), index, index
            packet.is_keyframe = index == 0
            out.mux(packet)
    data = buffer.getvalue()
    assert len(data) < 1_500_000
    assert probe(data, limits=DEFAULT_LIMITS).video_duration == pytest.approx(120, abs=0.1)
    pool = DecoderPool(DecodeLimits(decode_seconds=0.5))
    with pytest.raises(MediaError, match=r"limits\.decode_seconds") as caught:
        pool.run(decode_motion, data)
    assert caught.value.reason == FailureReason.DECODER_TIMED_OUT
    pool.close()
