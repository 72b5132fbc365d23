"""Samples out of shards: the rules of WebDataset, ranges, and everything that can be wrong."""

from __future__ import annotations

import io
import tarfile
import uuid
from dataclasses import replace

import pytest
import webdataset
from hypothesis import assume, given
from hypothesis import strategies as st
from shard_tools import bad, end_of, good, special_entry, tar_bytes

from avagent import storage
from avagent.core.clip import content_hash
from avagent.core.errors import FailureReason, ShardError, Stage
from avagent.core.state import Outcome
from avagent.shards.limits import ShardLimits
from avagent.shards.samples import BadSample, LoadedClip, Loose, Sample, safe_key, split_name
from avagent.shards.webdataset.samples import inspect_shard, iter_samples, read_clip, read_shard

FILES = [
    ("x/a.mp4", b"video" * 300),
    ("x/a.json", b"{}"),
    ("b.MP4", b""),
    ("b.seg.0001.png", b"png"),
    ("c.mp4", b"3"),
]


@pytest.fixture(params=["path", "memory"])
def shard(request, tmp_path):
    """Writes a shard, gives its URL."""
    root = str(tmp_path) if request.param == "path" else f"memory://{uuid.uuid4().hex}"

    def put(data: bytes, name: str = "train-000003.tar") -> str:
        url = storage.join(root, name)
        storage.write_bytes(url, data)
        return url

    return put


def keys(url, **kwargs):
    return [i.ref.key if isinstance(i, LoadedClip) else f"!{i.key}" for i in read_shard(url, **kwargs)]


def test_samples_in_order_with_their_members(shard):
    url = shard(tar_bytes(FILES))
    found = good(url)
    assert [(i.ref.key, i.ref.index, i.ref.shard) for i in found] == [("x/a", 0, url), ("b", 1, url), ("c", 2, url)]
    assert [[(m.name, m.suffix, m.data) for m in i.clip.members] for i in found] == [
        [("x/a.mp4", "mp4", b"video" * 300), ("x/a.json", "json", b"{}")],
        [("b.MP4", "mp4", b""), ("b.seg.0001.png", "seg.0001.png", b"png")],
        [("c.mp4", "mp4", b"3")],
    ]
    assert [i.ref.content_sha256 for i in found] == [content_hash(i.clip.members) for i in found]
    assert bad(url) == []


def test_a_clip_is_read_back_by_its_range(shard):
    for item in good(shard(tar_bytes(FILES))):
        assert read_clip(item.ref) == item.clip


@given(
    stems=st.lists(st.text("ab/é-", min_size=1, max_size=8), min_size=1, max_size=5),
    suffixes=st.lists(st.sampled_from(["mp4", "JSON", "a.b", ""]), min_size=1, max_size=4, unique=True),
    loose=st.lists(st.sampled_from(["README", ".hidden.mp4", "__meta__"]), max_size=2),
)
def test_groups_as_the_webdataset_package_does(stems, suffixes, loose):
    names = [f"{stem}.{suffix}" for stem in stems for suffix in suffixes]
    # The package takes `x/.a.mp4` for a member of the key `x/`; to us, hidden files belong to no sample.
    assume(not any(stem.startswith("/") or stem.endswith("/") for stem in stems))
    assume(len({split_name(name)[0] for name in names if split_name(name)}) == len(stems))
    names[1:1] = loose
    data = tar_bytes([(name, name.encode()) for name in names])
    url = f"memory://{uuid.uuid4().hex}/a.tar"
    storage.write_bytes(url, data)
    files = ({**f, "__url__": url} for f in webdataset.tariterators.tar_file_iterator(io.BytesIO(data)))
    expected = list(webdataset.tariterators.group_by_keys(files))
    found = good(url)
    assert [i.ref.key for i in found] == [sample["__key__"] for sample in expected]
    for item, sample in zip(found, expected, strict=True):
        assert {m.suffix: m.data for m in item.clip.members} == {
            suffix: value for suffix, value in sample.items() if not suffix.startswith("__")
        }
    storage.remove(url)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.mp4", ("a", "mp4")),
        ("x.y/a.b.MP4", ("x.y/a", "b.mp4")),
        ("./a.mp4", ("./a", "mp4")),
        ("a.", ("a", "")),
        ("README", None),
        (".a.mp4", None),
        ("x/._a.mp4", None),
        ("x.y/README", None),
    ],
)
def test_split_name(name, expected):
    assert split_name(name) == expected


def test_entries_without_a_key_belong_to_no_sample(shard):
    folder = special_entry("x", tarfile.DIRTYPE)
    files = tar_bytes([("__info__", b"i"), ("a.mp4", b"1"), ("notes", b"n"), ("a.json", b"2"), ("LICENCE", b"l")])
    url = shard(folder + files)
    items = list(iter_samples(url))
    assert [i.entry.name if isinstance(i, Loose) else i.key for i in items] == ["x", "__info__", "a", "LICENCE"]
    assert [e.name for e in items[2].entries] == ["a.mp4", "notes", "a.json"]
    assert [m.name for m in items[2].clip().members] == ["a.mp4", "a.json"]


def test_many_loose_entries_are_not_held_back(shard):
    files = [("a.mp4", b"1"), *[(f"loose{i}", b"") for i in range(50)], ("b.mp4", b"2")]
    items = list(iter_samples(shard(tar_bytes(files)), ShardLimits(members=10)))
    assert [type(i) for i in items] == [Sample, *[Loose] * 50, Sample]


def test_our_own_record_takes_no_part_in_the_content_hash(shard):
    (before,) = good(shard(tar_bytes([("a.mp4", b"1")]), "1.tar"))
    (after,) = good(shard(tar_bytes([("a.mp4", b"1"), ("a.avagent.json", b"{}")]), "2.tar"))
    assert before.ref.content_sha256 == after.ref.content_sha256


BROKEN = {
    "duplicate key": (
        tar_bytes([("a.mp4", b"1"), ("b.mp4", b"2"), ("a.json", b"3"), ("c.mp4", b"4")]),
        ["a", "b", "!a", "c"],
        FailureReason.DUPLICATE_KEY,
    ),
    "duplicate member": (
        tar_bytes([("a.mp4", b"1"), ("a.MP4", b"2"), ("b.mp4", b"3")]),
        ["!a", "b"],
        FailureReason.DUPLICATE_MEMBER,
    ),
    "path traversal": (
        tar_bytes([("a.mp4", b"1"), ("../../evil.mp4", b"2"), ("../../evil.json", b""), ("b.mp4", b"3")]),
        ["a", "!../../evil", "b"],
        FailureReason.UNSAFE_MEMBER,
    ),
    "absolute path": (
        special_entry("/etc/cron.mp4", tarfile.REGTYPE) + tar_bytes([("b.mp4", b"3")]),
        ["!/etc/cron", "b"],
        FailureReason.UNSAFE_MEMBER,
    ),
    "link": (
        special_entry("a.mp4", tarfile.SYMTYPE, "/etc/passwd") + tar_bytes([("a.json", b"{}"), ("b.mp4", b"3")]),
        ["!a", "b"],
        FailureReason.UNSAFE_MEMBER,
    ),
    "link at the end of a sample": (
        tar_bytes([("a.mp4", b"1")])[:1024] + special_entry("a.json", tarfile.LNKTYPE, "b") + bytes(1024),
        ["!a"],
        FailureReason.UNSAFE_MEMBER,
    ),
    "device without a key": (
        special_entry("null", tarfile.CHRTYPE) + tar_bytes([("b.mp4", b"3")]),
        ["!null", "b"],
        FailureReason.UNSAFE_MEMBER,
    ),
    "cut member": (
        tar_bytes([("a.mp4", b"1"), ("b.mp4", b"2" * 600)])[: 1024 + 512 + 100],
        ["a", "!b"],
        FailureReason.TRUNCATED_SHARD,
    ),
    "cut header": (
        tar_bytes([("a.mp4", b"1"), ("b.mp4", b"2"), ("c.mp4", b"3")])[: 2048 + 100],
        ["a", "!b"],
        FailureReason.TRUNCATED_SHARD,
    ),
    "corrupt header": (
        tar_bytes([("a.mp4", b"1"), ("b.mp4", b"2")])[:2048] + b"x" * 512 + tar_bytes([("c.mp4", b"3")]),
        ["a", "!b"],
        FailureReason.TRUNCATED_SHARD,
    ),
    "not a tar": (b"no tar at all" * 100, ["!train-000003"], FailureReason.UNREADABLE_SHARD),
    "too short for a tar": (b"tar", ["!train-000003"], FailureReason.UNREADABLE_SHARD),
    "empty file": (b"", ["!train-000003"], FailureReason.UNREADABLE_SHARD),
    "no gzip after all": (b"\x1f\x8b\x08" + bytes(range(200)) * 9, ["!train-000003"], FailureReason.TRUNCATED_SHARD),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(range(200)) * 9, ["!train-000003"], FailureReason.UNREADABLE_SHARD),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_named_and_the_rest_goes_on(case, shard):
    data, expected, reason = BROKEN[case]
    url = shard(data)
    assert keys(url) == expected
    (found,) = bad(url)
    assert found.failure.reason == reason
    assert found.failure.stage == Stage.READ
    assert url in found.failure.message
    assert found.index == next(i for i, key in enumerate(expected) if key.startswith("!"))
    assert found.offset + found.length <= len(data)


@pytest.mark.parametrize(
    ("cut", "key", "unique"),
    [(1200, "b", True), (1700, "a", True), (2148, "a", True), (2700, "b", False), (3172, "b", False)],
)
def test_a_cut_sample_whose_key_was_used_before_is_known_as_such(cut, key, unique, shard):
    found = bad(shard(tar_bytes([("b.mp4", b"1"), ("a.mp4", b"2"), ("b.json", b"3")])[:cut], "b.tar"))[-1]
    assert (found.key, found.unique) == (key, unique)


def test_a_compressed_shard_says_what_to_do(shard):
    (found,) = bad(shard(BROKEN["zstd"][0]))
    assert "decompress" in found.failure.message


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (ShardLimits(member_bytes=1000), ["!x/a", "b", "c"]),
        (ShardLimits(sample_bytes=2500), ["!x/a", "b", "c"]),
        (ShardLimits(members=1), ["!x/a", "!b", "c"]),
        (ShardLimits(entries=4), ["x/a", "!b"]),
    ],
)
def test_limits(limits, expected, shard):
    url = shard(tar_bytes(FILES))
    assert keys(url, limits=limits) == expected
    assert {i.failure.reason for i in read_shard(url, limits) if isinstance(i, BadSample)} == {
        FailureReason.LIMIT_EXCEEDED
    }


def test_a_shard_that_is_not_there_is_one_failed_clip(tmp_path):
    (found,) = read_shard(str(tmp_path / "absent-000000.tar"))
    assert (found.key, found.failure.reason) == ("absent-000000", FailureReason.UNREADABLE_SHARD)
    decision = found.decision()
    assert (decision.outcome, decision.reason) == (Outcome.FAILED, "unreadable_shard")
    assert decision.failure == found.failure


def test_storage_that_fails_half_way_ends_the_shard_with_a_failed_clip(shard, monkeypatch):
    url = shard(tar_bytes(FILES))
    real = storage.open_read

    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() >= 3072:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with real(url) as source:
        failing = Failing(source.read())
    monkeypatch.setattr(storage, "open_read", lambda _: failing)
    assert keys(url) == ["!train-000003"]
    monkeypatch.setattr(storage, "open_read", real)
    assert keys(url) == ["x/a", "b", "c"]


def test_an_empty_archive_holds_no_clips(shard):
    assert keys(shard(bytes(1024))) == []


def test_an_archive_without_end_blocks_is_whole(shard):
    data = tar_bytes(FILES)
    assert keys(shard(data[: end_of(data)])) == ["x/a", "b", "c"]


@given(cut=st.integers(0, 6144))
def test_cut_anywhere_clips_add_up(cut):
    data = tar_bytes(FILES)
    url = f"memory://{uuid.uuid4().hex}/a.tar"
    storage.write_bytes(url, data[:cut])
    items = list(read_shard(url))
    indexes = [i.ref.index for i in items]
    assert indexes == list(range(len(items)))
    assert sum(isinstance(i, BadSample) for i in items) <= 1
    whole = [i.clip for i in items if isinstance(i, LoadedClip)]
    storage.write_bytes(url, data)
    assert all(a.key == b.clip.key for a, b in zip(whole, good(url), strict=False))
    storage.remove(url)


@pytest.mark.parametrize(
    "other",
    [
        tar_bytes([("x/a.mp4", b"VIDEO" * 300), *FILES[1:]]),
        tar_bytes(FILES[1:]),
        b"gone",
    ],
)
def test_a_range_that_holds_something_else_now_is_refused(other, shard):
    first = good(shard(tar_bytes(FILES)))[0]
    shard(other)
    with pytest.raises(ShardError) as caught:
        read_clip(first.ref)
    assert caught.value.reason == FailureReason.CHANGED_SINCE_LISTED
    assert "'x/a'" in str(caught.value)


def test_a_range_of_a_shard_that_is_gone(tmp_path, shard):
    ref = replace(good(shard(tar_bytes(FILES)))[0].ref, shard=str(tmp_path / "absent.tar"))
    with pytest.raises(ShardError) as caught:
        read_clip(ref)
    assert caught.value.reason == FailureReason.UNREADABLE_SHARD


def test_summary(shard):
    summary = inspect_shard(shard(tar_bytes([*FILES, ("c.MP4", b"4"), ("README", b"")])), keys=1)
    assert summary.clips == 2
    assert summary.suffixes == (("mp4", 2, 1500), ("json", 1, 2), ("seg.0001.png", 1, 3))
    assert [b.key for b in summary.bad] == ["c"]
    assert (summary.first_keys, summary.loose) == (("x/a",), ("README",))
    assert summary.nbytes == 10_240


@pytest.mark.parametrize("key", ["../a", "/a", "a.b", "x/", "", "C:\\a"])
def test_a_key_that_cannot_be_trusted_is_replaced_in_names(key, shard):
    ref = replace(good(shard(tar_bytes(FILES)))[1].ref, key=key or "\0")
    assert safe_key(ref) == "train-000003-sample-000001"


def test_a_harmless_key_stays(shard):
    ref = good(shard(tar_bytes(FILES)))[0].ref
    assert safe_key(ref) == "x/a"
    assert safe_key(ref, unique=False) == "train-000003-sample-000000"
