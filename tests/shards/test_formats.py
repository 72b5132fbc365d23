"""Which format a shard has, and that the rest need not know."""

from __future__ import annotations

import pytest
from shard_tools import tar_bytes
from tfrecord_tools import MP4, example, record

from avagent import storage
from avagent.core.errors import ParameterError
from avagent.shards.formats import (
    TFRECORD,
    WEBDATASET,
    count_clips,
    format_of,
    inspect_shard,
    is_shard,
    read_clip,
    read_shard,
)
from avagent.shards.listing import list_shards
from avagent.shards.media_names import SuffixMapping
from avagent.shards.samples import shard_stem

TFRECORDS = [
    "x.tfrecord",
    "x.tfrecords",
    "x.tfrec",
    "x.tfrecord.gz",
    "x.tfrecord-00000-of-00010",
    "x.tfrecord-00000-of-00010.gz",
    "x-00000-of-00010.tfrecord",
]
OTHERS = ["x.mp4", "x.tfrecord.errors.jsonl", ".x.tfrecord.0f.tmp", ".x.tar", "tfrecord", "x.tar.zst", "x.tgz.txt"]


@pytest.mark.parametrize("name", TFRECORDS)
def test_names_of_tfrecord_shards(name):
    assert format_of(f"memory://a/{name}") is TFRECORD
    assert is_shard(f"/data/{name}")


@pytest.mark.parametrize("name", OTHERS)
def test_names_of_other_files(name):
    assert not is_shard(f"/data/{name}")


def test_what_has_no_known_name_is_read_as_webdataset():
    assert format_of("/data.tfrecord/x.tar") is format_of("/data/x") is WEBDATASET


def test_a_folder_lists_both(root):
    tars = ["a.tar", "B.TAR", "c.tar.gz", "d.tgz"]
    for name in (*TFRECORDS, *OTHERS, *tars):
        storage.write_bytes(storage.join(root, name), b"")
    assert [storage.basename(url) for url in list_shards(root)] == sorted([*TFRECORDS, *tars])


def test_shards_of_one_set_have_stems_of_their_own():
    stems = [shard_stem(f"s3://b/x.tfrecord-0000{n}-of-00010.gz") for n in range(3)]
    assert stems == ["x-00000-of-00010", "x-00001-of-00010", "x-00002-of-00010"]
    assert shard_stem("a/x-000001.tar") == "x-000001"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.tar", tar_bytes([("LICENCE", b"free"), ("a.mp4", MP4), ("b.mp4", MP4)])),
        ("a.tfrecord", record(example({"key": b"a", "mp4": MP4})) + record(example({"key": b"b", "mp4": MP4}))),
    ],
)
def test_both_are_used_in_the_same_way(root, name, data):
    url = storage.join(root, name)
    storage.write_bytes(url, data)
    items = list(read_shard(url))
    assert [item.ref.key for item in items] == ["a", "b"]
    assert [read_clip(item.ref) for item in items] == [item.clip for item in items]
    assert [item.clip.sound().data for item in items] == [MP4, MP4]
    assert inspect_shard(url).clips == 2
    assert [count_clips(url, most) for most in (1, 2, 9)] == [1, 2, 2]
    storage.write_bytes(url, data[:-20] if name == "a.tfrecord" else b"")
    assert count_clips(url, 9) == (2 if name == "a.tfrecord" else 1)
    storage.remove(url)
    assert count_clips(url, 9) == 1


@pytest.mark.parametrize(
    ("media", "audio"),
    [(("mp4", "mp4"), ()), (("mp4",), ("mp4",)), (("MP4",), ()), ((), ()), (("",), ("wav",)), (("avagent.json",), ())],
)
def test_suffixes_that_mean_two_things_or_nothing_are_refused(media, audio):
    with pytest.raises(ParameterError, match="suffix"):
        SuffixMapping(media=media, audio=audio)
