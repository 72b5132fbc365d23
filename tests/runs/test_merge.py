"""Merging decided-again clips into a refined shard gives, byte for byte, what rewriting the input would give."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewrite_tools import loud, options
from shard_tools import PROVENANCE, failed, improved, tar_bytes, unchanged
from tfrecord_tools import example, records

from avagent import storage
from avagent.core.errors import AVAgentError, FailureReason
from avagent.runs import dead_letters
from avagent.runs.merge import MergeOptions, merge_shard
from avagent.runs.repaired_clips import read_repairs
from avagent.runs.rewrite import rewrite_shard
from avagent.shards.formats import DEFAULT_OPTIONS, read_shard

KEYS = "abcde"
ENTRIES = [
    ("README", b"first"),
    ("a.mp4", b"video a"),
    ("NOTES", b"between" * 200),
    ("b.mp4", b"video b" * 90),
    ("c.mp4", b"video c"),
    ("MORE", b"x"),
    ("EVEN-MORE", b"y" * 700),
    ("d.mp4", b"video d"),
    ("e.mp4", b"video e"),
    ("END", b""),
]
HEAD = b"\x00\x00\x00\x18ftypmp42"
RECORDS = records(example({"key": key.encode(), "video": HEAD + key.encode() * 9, "label": 3}) for key in KEYS)
SHARDS = {
    "s.tar": tar_bytes(ENTRIES),
    "joined.tar": tar_bytes(ENTRIES[:2]) + tar_bytes(ENTRIES[3:6]) + tar_bytes(ENTRIES[6:]),
    "s.tar.gz": gzip.compress(tar_bytes(ENTRIES), mtime=0),
    "s.tfrecord": RECORDS,
    "s.tfrecord.gz": gzip.compress(RECORDS, mtime=0),
}
OUTCOMES = {
    "failed": failed,
    "failed otherwise": lambda ref: failed(ref, FailureReason.MODEL_FAILED),
    "improved": improved,
    "unchanged": unchanged,
}


def decided(shard, chosen):
    return [OUTCOMES[chosen[item.ref.key]](item.ref) for item in read_shard(shard)]


def state(folder, name):
    """All that a rewritten shard is: its bytes, its dead letters with reasons, and where its repaired clips lie."""
    urls = [storage.join(folder, name), *(storage.join(folder, "_errors", name + end) for end in ("", ".errors.jsonl"))]
    return [storage.read_bytes(url) if storage.exists(url) else None for url in urls], read_repairs(folder, name)


def merged(root, name, before, after):
    """(the merged shard's state, that of a fresh rewrite)."""
    shard = storage.join(root, "in", name)
    storage.write_bytes(shard, SHARDS[name])
    out, new, fresh = (storage.join(root, folder) for folder in ("out", "new", "fresh"))
    for folder in (out, new, fresh):
        storage.remove(folder, recursive=True)
    old, wanted = decided(shard, before), decided(shard, after)
    report = rewrite_shard(shard, old, options(out))
    merging = MergeOptions(output=out, folder=new, edit=loud, provenance=PROVENANCE, reading=DEFAULT_OPTIONS)
    found = merge_shard(report, old, wanted, merging)
    expected = rewrite_shard(shard, wanted, options(fresh))
    assert (found.outcomes, found.nsamples, found.errors, found.md5) == (
        expected.outcomes,
        expected.nsamples,
        expected.errors,
        expected.md5,
    )
    return state(new, name), state(fresh, name)


@pytest.mark.parametrize("name", SHARDS)
def test_all_letters_that_are_well_now(root, name):
    new, fresh = merged(root, name, dict.fromkeys(KEYS, "failed"), dict.fromkeys(KEYS, "improved"))
    assert new == fresh
    compressed = name.endswith(".gz")
    assert [repair.key for repair in new[1]] == ([] if compressed else list(KEYS))


@pytest.mark.parametrize("name", SHARDS)
@given(data=st.data())
def test_any_clips_that_failed_and_are_decided_again(name, data, tmp_path_factory):
    root = str(tmp_path_factory.mktemp("merge"))
    before = {key: data.draw(st.sampled_from(list(OUTCOMES)), label=f"{key} before") for key in KEYS}
    after = {
        key: data.draw(st.sampled_from(list(OUTCOMES)), label=f"{key} after") if old.startswith("failed") else old
        for key, old in before.items()
    }
    new, fresh = merged(root, name, before, after)
    assert new == fresh


def test_letters_of_an_earlier_version_are_placed_by_the_room_before_them(root, monkeypatch):
    monkeypatch.setattr(dead_letters, "_loose_before", lambda _: None)
    before = dict.fromkeys(KEYS, "unchanged") | {"b": "failed", "c": "failed"}
    new, fresh = merged(root, "s.tar", before, dict.fromkeys(KEYS, "unchanged"))
    assert new == fresh


def test_a_shard_that_is_not_that_of_its_decisions_is_not_merged(root):
    shard = storage.join(root, "in", "s.tar")
    storage.write_bytes(shard, SHARDS["s.tar"])
    out = storage.join(root, "out")
    old = decided(shard, dict.fromkeys(KEYS, "unchanged") | {"a": "failed"})
    report = rewrite_shard(shard, old, options(out))
    storage.write_bytes(storage.join(out, "s.tar"), tar_bytes([("z.mp4", b"another")]))
    merging = MergeOptions(
        output=out, folder=storage.join(root, "new"), edit=loud, provenance=PROVENANCE, reading=DEFAULT_OPTIONS
    )
    with pytest.raises(AVAgentError, match="not where it should be"):
        merge_shard(report, old, old, merging)
