"""Samples as records and back: nothing is lost, whatever they hold."""

import io
import tarfile

import pytest
from hypothesis import example as pinned
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_tools import tar_bytes
from tfrecord_tools import MP4, example, record, sequence

from avagent import storage
from avagent.core.clip import content_hash
from avagent.runs.convert import convert_shard, converted_name
from avagent.shards.exchange import REST_SUFFIX
from avagent.shards.formats import DEFAULT_OPTIONS, read_shard
from avagent.shards.samples import BadSample
from avagent.shards.tfrecord.examples import bytes_values
from avagent.shards.tfrecord.records import DEFAULT_FIELDS, iter_records

SUFFIXES = st.sampled_from(
    [
        "json",
        "txt",
        "cls",
        "JSON",
        "caption.txt",
        "0001.jpg",
        "avagent.json",
        "WAV",
        "id",
        "key",
        "two words",
        "é",
        "a..b",
        "",
    ]
)


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


def convert(folder, name, data, to, out):
    url = f"{folder}/{name}"
    storage.write_bytes(url, data)
    return convert_shard(url, f"{folder}/{out}", to, DEFAULT_OPTIONS)


def there_and_back(folder, name, data):
    """(the shard in the other format, the shard after both ways) as bytes."""
    forms = ("tfrecord", "webdataset") if name.endswith(".tar") else ("webdataset", "tfrecord")
    first = convert(folder, name, data, forms[0], "there")
    assert first.errors == 0
    other = storage.read_bytes(f"{folder}/there/{first.name}")
    second = convert(folder, first.name, other, forms[1], "back")
    assert (second.nsamples, second.errors) == (first.nsamples, 0)
    return other, storage.read_bytes(f"{folder}/back/{second.name}")


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [(m.name, archive.extractfile(m).read()) for m in archive.getmembers()]


@settings(max_examples=60, deadline=None)
@given(
    samples=st.lists(
        st.dictionaries(SUFFIXES, st.binary(max_size=40), max_size=5).filter(
            lambda sample: len({suffix.lower() for suffix in sample}) == len(sample)
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_tar_shard_comes_back_with_the_same_members(tmp_path_factory, samples):
    folder = str(tmp_path_factory.mktemp("shards"))
    files = [
        (f"dir/clip{number}.{suffix}", data)
        for number, sample in enumerate(samples)
        for suffix, data in {"mp4": MP4, **sample}.items()
    ]
    _, back = there_and_back(folder, "a-000000.tar", tar_bytes(files))
    assert members(back) == files


VALUES = st.one_of(
    st.binary(max_size=20),
    st.integers(0, 1 << 40),
    st.floats(width=32, allow_nan=False),
    st.lists(st.binary(max_size=9)),
)


NAMES = st.one_of(
    st.text(min_size=1, max_size=8).filter(lambda name: max(name) < "\ud800"), st.sampled_from(DEFAULT_FIELDS.audio)
)


def ambiguous(rest):
    """Whether the sound, of the features that may hold it the first that has any bytes, is several byte strings.

    A feature of one empty byte string stands for "none".
    """
    values = [
        [rest[name]] if isinstance(rest[name], bytes) else rest[name] for name in DEFAULT_FIELDS.audio if name in rest
    ]
    return next((len(v) > 1 for v in values if isinstance(v, list) and v and v != [b""]), False)


@settings(max_examples=60, deadline=None)
@given(
    rest=st.dictionaries(NAMES, VALUES, max_size=5),
    key=st.one_of(st.just(b"clip"), st.just(b"a.b/c d"), st.just("é".encode()), st.just(b"../x")),
    pictures=st.lists(st.sampled_from([b"\xff\xd8jpg", b"\x89PNG"]), max_size=3),
    listed=st.booleans(),
)
@pinned(rest={"ogg": [b"", b""]}, key=b"clip", pictures=[], listed=False)
@pinned(rest={"audio/encoded": b"", "audio": [b"", b""]}, key=b"clip", pictures=[], listed=False)
def test_a_record_comes_back_byte_for_byte(tmp_path_factory, rest, key, pictures, listed):
    folder = str(tmp_path_factory.mktemp("shards"))
    values = {"clip/media_id": key, "clip/encoded_media_bytes": MP4 + b"media", **rest}
    if not listed and pictures:
        values["image/encoded"] = pictures
    data = record(sequence(values, {"image/encoded": pictures}) if listed else example(values))
    if ambiguous(rest):
        assert convert(folder, "a.tfrecord", data, "webdataset", "out").errors == 1
        assert storage.read_bytes(f"{folder}/out/_errors/a.tfrecord") == data
        return
    middle, back = there_and_back(folder, "a.tfrecord", data)
    assert back == data
    found = dict(members(middle))
    assert MP4 + b"media" in found.values()
    if pictures:
        assert set(pictures) <= set(found.values())
    assert all(data not in REST_SUFFIX for data in found)


def test_what_was_repaired_in_between_is_put_in_its_place(folder):
    data = record(example({"video_id": b"x", "clip/encoded_media_bytes": MP4 + b"old", "label": 7}))
    convert(folder, "a.tfrecord", data, "webdataset", "there")
    files = dict(members(storage.read_bytes(f"{folder}/there/a.tar")))
    files["x.mp4"] = MP4 + b"new"
    files["x.avagent.json"] = b"{}"
    report = convert(folder, "b.tar", tar_bytes(files.items()), "tfrecord", "back")
    assert report.errors == 0
    (found,) = iter_records(f"{folder}/back/b.tfrecord")
    assert found.key == "x"
    assert bytes_values(found.example.get("clip/encoded_media_bytes")) == (MP4 + b"new",)
    assert [feature.name for feature in found.example.features] == [
        "video_id",
        "clip/encoded_media_bytes",
        "label",
        "avagent/record",
    ]


@pytest.mark.parametrize("suffix", ["__key__", "TFRecord.pb"])
def test_a_name_with_another_meaning_in_a_record_is_refused_before_anything_is_written(folder, suffix):
    files = [("a.mp4", MP4), (f"a.{suffix}", b"x"), ("b.mp4", MP4)]
    report = convert(folder, "a.tar", tar_bytes(files), "tfrecord", "out")
    assert (report.nsamples, report.errors) == (1, 1)
    letters = dict(members(storage.read_bytes(f"{folder}/out/_errors/a.tar")))
    assert letters["a.mp4"] == MP4
    assert b"rename it" in letters["a.error.json"]


@pytest.mark.parametrize("suffix", ["MP4", "Mov", "WAV", "mkv"])
def test_media_under_a_suffix_in_other_letters_are_media_in_a_record_too(folder, suffix):
    files = [(f"a.{suffix}", MP4), ("a.json", b"{}")]
    middle, back = there_and_back(folder, "a.tar", tar_bytes(files))
    assert members(back) == files
    storage.write_bytes(f"{folder}/again.tfrecord", middle)
    (item,) = read_shard(f"{folder}/again.tfrecord")
    assert not isinstance(item, BadSample)
    assert item.clip.sound().data == MP4


def test_a_member_called_key_is_not_the_key_of_the_record(folder):
    files = [("a.mp4", MP4), ("a.key", b"another"), ("a.video_id", b"x")]
    middle, back = there_and_back(folder, "a.tar", tar_bytes(files))
    assert members(back) == files
    storage.write_bytes(f"{folder}/again.tfrecord", middle)
    assert [item.ref.key for item in read_shard(f"{folder}/again.tfrecord")] == ["a"]


def test_an_empty_string_for_the_sound_is_no_sound(folder):
    data = record(example({"__key__": b"a", "mp4": MP4, "audio/encoded": b""}))
    storage.write_bytes(f"{folder}/a.tfrecord", data)
    (item,) = read_shard(f"{folder}/a.tfrecord")
    assert item.clip.audio() is None
    assert item.clip.sound().data == MP4
    assert there_and_back(folder, "b.tfrecord", data)[1] == data


def test_bad_clips_go_to_the_dead_letters_and_the_rest_comes_through(folder):
    good = record(example({"key": b"good", "mp4": MP4}))
    none = record(example({"key": b"none"}))
    report = convert(folder, "a.tfrecord", none + good, "webdataset", "out")
    assert (report.nsamples, report.errors) == (1, 1)
    assert storage.read_bytes(f"{folder}/out/_errors/a.tfrecord") == none
    assert b"no_media" in storage.read_bytes(f"{folder}/out/_errors/a.tfrecord.errors.jsonl")
    assert [name for name, _ in members(storage.read_bytes(f"{folder}/out/a.tar"))] == ["good.mp4", "good.tfrecord.pb"]


@pytest.mark.parametrize("rest", [b"", b"\xff\xff", example({"avagent/members": b"no json"}), example({"x": 1})])
def test_a_forged_rest_is_a_dead_letter(folder, rest):
    report = convert(folder, "a.tar", tar_bytes([("x.mp4", MP4), ("x.tfrecord.pb", rest)]), "tfrecord", "out")
    assert (report.nsamples, report.errors) == (0, 1)


@pytest.mark.parametrize(
    "places",
    [
        b"[1]",
        b'[{"name": "mp4"}]',
        b'[{"name": "mp4", "suffixes": 3, "in_list": false}]',
        b'[{"name": "mp4", "suffixes": ["absent"], "in_list": false}]',
    ],
)
def test_forged_places_are_a_dead_letter(folder, places):
    rest = example({"mp4": b"", "avagent/members": places})
    report = convert(folder, "a.tar", tar_bytes([("x.mp4", MP4), ("x.tfrecord.pb", rest)]), "tfrecord", "out")
    assert (report.nsamples, report.errors) == (0, 1)


def test_converted_clips_can_be_worked_on(folder):
    convert(folder, "a.tar", tar_bytes([("x.mp4", MP4), ("x.wav", b"RIFF"), ("x.json", b"{}")]), "tfrecord", "out")
    (item,) = read_shard(f"{folder}/out/a.tfrecord")
    assert not isinstance(item, BadSample)
    assert (item.clip.key, item.clip.video().data, item.clip.audio().data) == ("x", MP4, b"RIFF")
    assert item.ref.content_sha256 == content_hash(item.clip.members)


def test_names():
    assert converted_name("s3://b/a-000001.tar", "tfrecord") == "a-000001.tfrecord"
    assert converted_name("x/a.tfrecord-00001-of-00002.gz", "webdataset") == "a-00001-of-00002.tar"
    assert converted_name("x/a.b.tfrec", "webdataset") == "a.b.tar"
