"""TFRecord shards read: golden bytes, every bad input, plain and gzip."""

from __future__ import annotations

import gzip
import struct

import pytest
from hypothesis import example as pinned
from hypothesis import given
from hypothesis import strategies as st
from tfrecord_tools import MP4, chunk, example, masked, record, records, sequence

from avagent import storage
from avagent.core.errors import FailureReason, ParameterError, ShardError
from avagent.shards.limits import ShardLimits
from avagent.shards.samples import BadSample, LoadedClip
from avagent.shards.tfrecord.frames import frame, read_frames
from avagent.shards.tfrecord.records import FieldMapping, inspect_shard, media_suffix, read_clip, read_shard

# b"123456789" in a frame. The CRC-32C of these nine bytes is the check value 0xE3069283; masked, as defined:
# rotated right by 15 it is 0x2507C60D, plus 0xA282EAD8 is 0xC78AB0E5.
GOLDEN = bytes.fromhex("0900000000000000") + masked(struct.pack("<Q", 9)) + b"123456789" + bytes.fromhex("e5b08ac7")

CLIPS = [example({"example/id": b"clip-%d" % n, "mp4": MP4 + bytes([n]) * 100, "label": n}) for n in range(4)]
WHOLE = records(CLIPS)
SIZE = len(record(CLIPS[0]))
GZIP = b"\x1f\x8b\x08"


@pytest.fixture(params=["plain", "gzip"])
def put(request, root):
    """Writes a shard; its name does not tell whether it is compressed."""

    def write(data: bytes) -> str:
        url = storage.join(root, "x.tfrecord-00003-of-00010")
        storage.write_bytes(url, gzip.compress(data) if request.param == "gzip" else data)
        return url

    return write


def test_golden_bytes(root):
    assert b"".join(frame(b"123456789")) == record(b"123456789") == GOLDEN
    url = storage.join(root, "a.tfrecord")
    storage.write_bytes(url, GOLDEN)
    (found,) = read_frames(url, ShardLimits())
    assert (found.data, found.offset, found.length, found.defect) == (b"123456789", 0, 25, None)


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_a_frame_is_that_of_the_definition(items):
    assert b"".join(b"".join(frame(item)) for item in items) == records(items)


def test_clips_with_their_references(put):
    shard = put(WHOLE)
    items = list(read_shard(shard))
    assert [item.ref.key for item in items] == ["clip-0", "clip-1", "clip-2", "clip-3"]
    assert [(i.ref.index, i.ref.offset, i.ref.length) for i in items] == [(n, n * SIZE, SIZE) for n in range(4)]
    assert len({i.ref.content_sha256 for i in items}) == 4
    assert [m.suffix for m in items[1].clip.members] == ["example/id:feature", "label:feature", "mp4"]
    assert items[1].clip.sound().data == MP4 + b"\x01" * 100
    for item in reversed(items):
        assert read_clip(item.ref) == item.clip


def test_the_order_of_features_does_not_change_the_content(put):
    values = {"mp4": MP4, "label": 1, "__key__": b"k"}
    (one,), (other,) = (list(read_shard(put(record(example(v))))) for v in (values, dict(reversed(values.items()))))
    assert one.ref.content_sha256 == other.ref.content_sha256
    (changed,) = read_shard(put(record(example({**values, "label": 2}))))
    assert changed.ref.content_sha256 != one.ref.content_sha256


def test_a_sequence_example(put):
    context = {"clip/media_id": b"m", "clip/encoded_media_bytes": b"\x1a\x45\xdf\xa3 webm", "clip/start/timestamp": 7}
    steps = {"image/encoded": [b"\xff\xd8 1", b"\x89PNG 2"], "image/timestamp": [0, 40_000]}
    (item,) = read_shard(put(record(sequence(context, steps))))
    assert item.ref.key == "m"
    assert item.clip.video().suffix == "webm"
    assert [picture.data for picture in item.clip.images()] == [b"\xff\xd8 1", b"\x89PNG 2"]
    assert item.clip.get("image/timestamp:feature_list") is not None


def test_fields_can_be_named(put):
    shard = put(record(example({"vid": MP4, "snd": b"fLaC", "pics": [b"\xff\xd8"], "n": 12, "mp4": b"other"})))
    fields = FieldMapping(key=("n",), media=("vid",), audio=("snd",), frames=("pics",))
    (item,) = read_shard(shard, fields=fields)
    assert item.ref.key == "12"
    assert (item.clip.video().data, item.clip.audio().data) == (MP4, b"fLaC")
    assert item.clip.audio().suffix == "flac"
    assert [picture.data for picture in item.clip.images()] == [b"\xff\xd8"]
    assert read_clip(item.ref, fields=fields) == item.clip


@pytest.mark.parametrize(
    "fields",
    [
        {"media": (), "audio": ()},
        {"media": ("a",), "audio": ("a",)},
        {"media": ("",)},
        {"media": ("avagent/record",)},
    ],
)
def test_fields_that_cannot_be(fields):
    with pytest.raises(ParameterError):
        FieldMapping(**fields)


def test_features_that_hold_numbers_or_file_names_are_not_media(put):
    shard = put(record(example({"video": 1.5, "audio": 3, "wav": [], "mp4": MP4, "x.png": b"p", "jpg": b"j"})))
    (item,) = read_shard(shard)
    assert item.clip.sound().suffix == "mp4"
    assert item.clip.images() == ()


def test_a_record_without_a_key_is_numbered(put):
    shard = put(records([example({"mp4": MP4}), example({"mp4": MP4, "example/id": b""})]))
    assert [item.ref.key for item in read_shard(shard)] == ["x-00003-of-00010-000000", "x-00003-of-00010-000001"]


def test_a_file_without_records(put):
    assert list(read_shard(put(b""))) == []


# What is wrong, and then: reasons by position, None for a good clip.
BROKEN = {
    "cut in a header": (WHOLE[: SIZE + 5], [None, "truncated_shard"]),
    "cut in the data": (WHOLE[: SIZE + 50], [None, "truncated_shard"]),
    "cut in the last checksum": (WHOLE[:-1], [None, None, None, "truncated_shard"]),
    "length checksum": (
        WHOLE[: SIZE + 8] + b"\0\0\0\0" + WHOLE[SIZE + 12 :],
        [None, "corrupt_record"],
    ),
    "data checksum": (WHOLE[: SIZE + 40] + b"!" + WHOLE[SIZE + 41 :], [None, "corrupt_record", None, None]),
    "absurd length": (
        WHOLE[:SIZE] + (head := struct.pack("<Q", 1 << 62)) + masked(head) + WHOLE[SIZE:],
        [None, "truncated_shard"],
    ),
    "no TFRecord file": (b"this is no TFRecord file" * 20, ["unreadable_shard"]),
    "no example": (
        records([CLIPS[0], b"hello, world", chunk(9, b"x"), CLIPS[1]]),
        [None, "unsupported_record", "unsupported_record", None],
    ),
    "no media": (
        records([example({"example/id": b"k", "label": 1}), b"", CLIPS[1]]),
        ["no_media", "no_media", None],
    ),
    "several media": (record(example({"mp4": [MP4, MP4]})), ["unsupported_record"]),
    "one key twice": (records([CLIPS[0], CLIPS[1], CLIPS[0]]), [None, None, "duplicate_key"]),
    "one feature twice": (record(CLIPS[0] + example({"mp4": b"x"})), ["duplicate_member"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_said_and_the_rest_is_read(put, name):
    data, reasons = BROKEN[name]
    items = list(read_shard(put(data)))
    assert [None if isinstance(i, LoadedClip) else i.failure.reason for i in items] == reasons
    assert [item.ref.index for item in items] == list(range(len(items)))
    for item in (i for i in items if isinstance(i, BadSample)):
        assert "x.tfrecord-00003-of-00010" in item.failure.message
    covered = sum(item.ref.length for item in items)
    assert covered == len(data)


def test_what_would_help_is_said(put):
    (bad,) = read_shard(put(record(example({"clip": MP4, "n": 1}))))
    assert "clip, n" in bad.failure.message
    assert "tfrecord.media=" in bad.failure.message


def test_limits(put):
    shard = put(WHOLE)
    reasons = [getattr(i, "failure", None) for i in read_shard(shard, ShardLimits(sample_bytes=SIZE - 17))]
    assert [f.reason for f in reasons] == [FailureReason.LIMIT_EXCEEDED] * 4
    items = list(read_shard(shard, ShardLimits(entries=2)))
    assert [type(i) for i in items] == [LoadedClip, LoadedClip, BadSample]
    reasons = [getattr(i, "failure", None) for i in read_shard(shard, ShardLimits(members=2))]
    assert [f.reason for f in reasons] == [FailureReason.LIMIT_EXCEEDED] * 4
    assert all(isinstance(i, LoadedClip) for i in read_shard(shard, ShardLimits(members=3)))
    wrong = WHOLE[:40] + b"!" + WHOLE[41:]
    first, *_ = read_shard(put(wrong), ShardLimits(sample_bytes=SIZE - 17))
    assert (first.failure.reason, first.copyable) == (FailureReason.CORRUPT_RECORD, False)


def test_a_compressed_record_that_claims_too_much_is_not_believed(root):
    length = struct.pack("<Q", 1 << 30)
    url = storage.join(root, "x.tfrecord.gz")
    storage.write_bytes(url, gzip.compress(length + masked(length) + b"only this"))
    (bad,) = read_shard(url)
    assert (bad.failure.reason, bad.length) == (FailureReason.TRUNCATED_SHARD, 21)


@pytest.mark.parametrize("cut", [1, 8, 30, 200])
def test_compressed_data_that_break_off(root, cut):
    # Without matches to refer to, a broken stream still gives what came before the break.
    compressed = gzip.compress(WHOLE, compresslevel=0)
    url = storage.join(root, "x.tfrecord.gz")
    storage.write_bytes(url, compressed[:-cut])
    *good, bad = read_shard(url)
    assert [i.ref.key for i in good] == [f"clip-{n}" for n in range(len(good))]
    assert len(good) == (4 if cut <= 8 else (len(WHOLE) + 8 - cut) // SIZE)
    assert bad.failure.reason == FailureReason.TRUNCATED_SHARD


def test_a_wrong_gzip_checksum_is_noticed(root):
    compressed = bytearray(gzip.compress(WHOLE))
    compressed[-6] ^= 1
    url = storage.join(root, "x.tfrecord.gz")
    storage.write_bytes(url, bytes(compressed))
    items = list(read_shard(url))
    assert [type(i) for i in items] == [LoadedClip] * 4 + [BadSample]


def test_a_shard_that_is_not_there(root):
    (bad,) = read_shard(storage.join(root, "absent.tfrecord"))
    assert bad.failure.reason == FailureReason.UNREADABLE_SHARD


@pytest.mark.parametrize("data", [WHOLE[SIZE:], WHOLE[:20], records([CLIPS[1]]), b"", record(b"hello") * 9])
def test_a_clip_that_changed_is_not_handed_out(put, data):
    ref = next(iter(read_shard(put(WHOLE)))).ref
    put(data)
    with pytest.raises(ShardError, match="run again") as caught:
        read_clip(ref)
    assert caught.value.reason == FailureReason.CHANGED_SINCE_LISTED


def test_a_clip_of_a_shard_that_is_gone(root, put):
    shard = put(WHOLE)
    ref = next(iter(read_shard(shard))).ref
    storage.remove(shard)
    with pytest.raises(ShardError, match="clip-0"):
        read_clip(ref)


@given(
    data=st.one_of(st.binary(max_size=400), st.binary(max_size=40).map(GZIP.__add__)),
    at=st.integers(0, len(WHOLE)),
    cut=st.integers(0, 40),
)
@pinned(data=GZIP, at=0, cut=0)
@pinned(data=GZIP + b"\x00", at=0, cut=0)
def test_no_damage_crashes_or_loses_bytes(tmp_path_factory, data, at, cut):
    damaged = WHOLE[:at] + data + WHOLE[at + cut :]
    url = str(tmp_path_factory.getbasetemp() / "damaged.tfrecord")
    storage.write_bytes(url, damaged)
    items = list(read_shard(url))
    if damaged.startswith(GZIP) and damaged[3] < 0x20:  # RFC 1952: a gzip file, though a broken one
        assert isinstance(items[-1], BadSample)
    else:
        assert sum(item.ref.length for item in items) == len(damaged)
    assert [item.ref.index for item in items] == list(range(len(items)))


@pytest.mark.parametrize(
    ("head", "audio", "suffix"),
    [
        (MP4, False, "mp4"),
        (MP4, True, "m4a"),
        (b"\0\0\0\x14ftypqt  ", False, "mov"),
        (b"\0\0\0\x14ftypM4A ", False, "m4a"),
        (b"\x1a\x45\xdf\xa3....matroska", False, "mkv"),
        (b"\x1a\x45\xdf\xa3....webm", False, "webm"),
        (b"RIFF....WAVE", True, "wav"),
        (b"OggS", True, "ogg"),
        (b"fLaC", False, "flac"),
        (b"ID3\x04", True, "mp3"),
        (b"\xff\xfb\x90", True, "mp3"),
        (b"", True, "wav"),
        (b"\xff", False, "mp4"),
    ],
)
def test_media_are_known_by_their_first_bytes(head, audio, suffix):
    assert media_suffix(head, audio=audio) == suffix


def test_what_is_in_a_shard(put):
    steps = {"image/encoded": [b"\xff\xd8 1", b"\xff\xd8 2"]}
    more = sequence({"clip/encoded_media_bytes": b"\x1a\x45\xdf\xa3 webm", "example/id": b"s"}, steps)
    summary = inspect_shard(put(records([CLIPS[0], CLIPS[1], more, b"nothing"])), keys=2)
    assert (summary.clips, summary.first_keys, len(summary.bad)) == (3, ("clip-0", "clip-1"), 1)
    assert ("mp4 (mp4)", 2, 2 * (len(MP4) + 100)) in summary.suffixes
    assert ("image/encoded (jpg)", 2, 8) in summary.suffixes
    assert ("clip/encoded_media_bytes (webm)", 1, 9) in summary.suffixes
    assert "example/id (feature)" in [label for label, _, _ in summary.suffixes]
