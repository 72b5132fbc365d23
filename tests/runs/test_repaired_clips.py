"""Repaired clips are taken from an earlier shard where that is the same, and made again everywhere else."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewrite_tools import decide_all, loud, options
from shard_tools import actions, failed, improved, tar_bytes, texts, unchanged
from tfrecord_tools import example, records

from avagent import storage
from avagent.core.actions import Volume, WienerFilter
from avagent.core.errors import ParameterError
from avagent.runs.repaired_clips import EarlierShard, Repair, read_repairs, repairs_url, write_repairs
from avagent.runs.rewrite import rewrite_shard

MEDIA = {"a": b"video a" * 200, "b": b"video b", "c": b"video c" * 9}


def as_tar(media):
    return tar_bytes([file for key, data in media.items() for file in ((f"{key}.mp4", data), (f"{key}.txt", b"t"))])


def as_records(media):
    head = b"\x00\x00\x00\x18ftypmp42"
    return records(example({"video": head + data, "label": 7, "key": key.encode()}) for key, data in media.items())


FORMATS = {
    "s.tar": as_tar,
    "s.tfrecord": as_records,
    "s.tfrecord.gz": lambda media: gzip.compress(as_records(media), mtime=0),
}


class Counting:
    """An edit that tells for which clips it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, ref, clip, actions):
        self.asked.append(ref.key)
        return loud(ref, clip, actions)


def choose(ref):
    return unchanged(ref) if ref.key == "b" else improved(ref)


def rewritten(shard, output, edit, decide=choose, earlier=None):
    return rewrite_shard(shard, decide_all(shard, decide), options(output, edit, earlier=earlier))


@pytest.fixture(params=FORMATS)
def shard(request, root):
    url = storage.join(root, "in", request.param)
    storage.write_bytes(url, FORMATS[request.param](MEDIA))
    return url


def by_range(shard):
    """A compressed file is not read by range."""
    return not shard.endswith(".gz")


def test_repaired_clips_are_taken_as_they_are(shard, root, output):
    first = rewritten(shard, output, loud)
    again, edit = storage.join(root, "again"), Counting()
    second = rewritten(shard, again, edit, earlier=EarlierShard.of(output, shard))
    assert edit.asked == ([] if by_range(shard) else ["a", "c"])
    assert (second.md5, second.outcomes) == (first.md5, first.outcomes)
    assert read_repairs(again, shard) == read_repairs(output, shard)
    assert [repair.key for repair in read_repairs(output, shard)] == (["a", "c"] if by_range(shard) else [])


def test_a_shard_is_written_anew_from_itself(shard, output):
    """The dead letters of an earlier run come in; what was repaired stays."""

    def first(ref):
        return failed(ref) if ref.key == "b" else improved(ref)

    before = rewritten(shard, output, loud, first)
    assert before.errors == 1
    edit = Counting()
    after = rewritten(shard, output, edit, improved, earlier=EarlierShard.of(output, shard))
    assert edit.asked == (["b"] if by_range(shard) else ["a", "b", "c"])
    assert (after.errors, after.nsamples) == (0, 3)
    assert after.md5 == rewritten(shard, storage.join(output, "else"), loud, improved).md5


@pytest.mark.parametrize("name", ["s.tar", "s.tfrecord"])
def test_other_bytes_keys_and_actions_are_repaired(root, output, name):
    shard = storage.join(root, "in", name)
    storage.write_bytes(shard, FORMATS[name](MEDIA))
    rewritten(shard, output, loud)
    earlier = EarlierShard.of(output, shard)
    storage.write_bytes(shard, FORMATS[name]({"x": MEDIA["a"], "a": b"other", "c": MEDIA["c"]}))
    edit = Counting()
    again = storage.join(root, "again")
    rewritten(shard, again, edit, improved, earlier=earlier)
    assert edit.asked == ["x", "a"]
    edit = Counting()
    rewritten(shard, again, edit, lambda ref: improved(ref, WienerFilter(), Volume()), earlier=earlier)
    assert edit.asked == ["x", "a", "c"]


@pytest.mark.parametrize("name", ["s.tar", "s.tfrecord"])
def test_a_shard_that_is_no_longer_what_was_written_is_not_trusted(root, output, name):
    shard = storage.join(root, "in", name)
    storage.write_bytes(shard, FORMATS[name](MEDIA))
    first = rewritten(shard, output, loud)
    written = storage.read_bytes(first.url)
    for damaged in (written.replace(b"video a+", b"video!!+"), written[:300], b""):
        storage.write_bytes(first.url, damaged)
        edit = Counting()
        again = rewritten(shard, storage.join(root, "again"), edit, earlier=EarlierShard.of(output, shard))
        assert "a" in edit.asked
        assert again.md5 == first.md5
    storage.remove(first.url)
    edit = Counting()
    rewritten(shard, storage.join(root, "again"), edit, earlier=EarlierShard.of(output, shard))
    assert edit.asked == ["a", "c"]


hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
repairs = st.builds(
    Repair,
    key=texts,
    source_sha256=hashes,
    actions=actions,
    members=st.lists(texts, max_size=2).map(tuple),
    offset=st.integers(0, 1 << 50),
    length=st.integers(0, 1 << 40),
    content_sha256=hashes,
)


@given(found=st.lists(repairs, max_size=3).map(tuple))
def test_the_list_survives_a_round_trip(found, tmp_path_factory):
    output = str(tmp_path_factory.mktemp("out"))
    write_repairs(output, "in/s.tar", found)
    assert read_repairs(output, "s.tar") == found
    assert storage.exists(repairs_url(output, "s.tar")) == bool(found)


def test_anything_else_is_refused_with_its_place(output):
    storage.write_bytes(repairs_url(output, "s.tar"), b'{"key": "a"}\n')
    with pytest.raises(ParameterError, match=r"s\.tar\.repairs\.jsonl does not list repaired clips"):
        read_repairs(output, "s.tar")
