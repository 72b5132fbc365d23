"""A TFRecord shard is rewritten exactly once: nothing lost, nothing twice, untouched bytes untouched."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewrite_tools import decide_all, loud, options
from shard_tools import failed, improved, unchanged
from tfrecord_tools import MP4, chunk, example, feature, features, read_reasons, read_records, record, records, sequence

from avagent import storage
from avagent.core.actions import Pitch
from avagent.core.errors import EditError, FailureReason
from avagent.core.state import Outcome
from avagent.runs.rewrite import rewrite_shard
from avagent.shards.formats import read_shard
from avagent.shards.limits import ShardLimits
from avagent.shards.samples import BadSample, LoadedClip
from avagent.shards.tfrecord.examples import bytes_values, example_bytes, parse_example
from avagent.shards.tfrecord.records import FieldMapping

NAME = "x.tfrecord"
CLIPS = [
    example({"label": 3, "example/id": b"a", "mp4": MP4 + b"a" * 50, "z": 0.5}),
    sequence({"clip/media_id": b"b", "clip/encoded_media_bytes": MP4 + b"b"}, {"image/timestamp": [1, 2]}),
    example({"example/id": b"c", "mp4": MP4 + b"c"}) + chunk(9, b"from a later version"),
    example({"example/id": b"d", "mp4": MP4 + b"d"}),
]
GARBAGE = record(CLIPS[0])[:20] + b"!" + record(CLIPS[0])[21:]


@pytest.fixture(params=["x.tfrecord", "x.tfrecord.gz"])
def put(request, root):
    def write(data: bytes) -> str:
        url = storage.join(root, "in", request.param)
        storage.write_bytes(url, gzip.compress(data) if request.param.endswith(".gz") else data)
        return url

    return write


def letters(output, report):
    return read_records(storage.join(output, "_errors", report.name))


def stored_record(data):
    (value,) = bytes_values(parse_example(data).get("avagent/record"))
    return json.loads(value)


def add_up(report, output, clips):
    """Clips in = records out + reasons, and the dead-letter file holds what the reasons say."""
    kept = read_records(report.url)
    reasons = read_reasons(output, report.name) if report.errors else []
    assert clips == len(kept) + len(reasons) == report.nsamples + report.errors
    assert (len(kept), len(reasons)) == (report.nsamples, report.errors)
    if report.errors:
        assert sum(reason["records"] for reason in reasons) == len(letters(output, report))
    assert storage.size(report.url) == report.filesize
    assert hashlib.md5(storage.read_bytes(report.url)).hexdigest() == report.md5  # noqa: S324


def test_unchanged_records_keep_their_bytes(put, output):
    shard = put(records(CLIPS))
    report = rewrite_shard(shard, decide_all(shard), options(output))
    add_up(report, output, 4)
    assert report.errors == 0
    assert not storage.exists(storage.join(output, "_errors", report.name))
    for before, after, key in zip(CLIPS, read_records(report.url), "abcd", strict=True):
        assert after.startswith(before)
        tail = parse_example(after[len(before) :])
        assert [f.name for f in tail.features] == ["avagent/record"]
        assert stored_record(after)["key"] == key


def test_only_the_media_of_an_improved_clip_change(put, output):
    shard = put(records(CLIPS))
    report = rewrite_shard(shard, decide_all(shard, improved), options(output))
    add_up(report, output, 4)
    assert dict(report.outcomes) == {Outcome.IMPROVED: 4}
    expected = [
        example({"label": 3, "example/id": b"a", "mp4": MP4 + b"a" * 50 + b"+volume", "z": 0.5}),
        sequence({"clip/media_id": b"b", "clip/encoded_media_bytes": MP4 + b"b+volume"}, {"image/timestamp": [1, 2]}),
        example({"example/id": b"c", "mp4": MP4 + b"c+volume"}) + chunk(9, b"from a later version"),
        example({"example/id": b"d", "mp4": MP4 + b"d+volume"}),
    ]
    for before, after in zip(expected, read_records(report.url), strict=True):
        assert after.startswith(before)


def test_failed_clips_leave_untouched_with_the_reason_beside_them(put, output):
    shard = put(records(CLIPS))
    decisions = decide_all(shard)
    decisions[1], decisions[3] = failed(decisions[1].ref), failed(decisions[3].ref, FailureReason.MODEL_FAILED)
    report = rewrite_shard(shard, decisions, options(output))
    add_up(report, output, 4)
    assert letters(output, report) == [CLIPS[1], CLIPS[3]]
    first, second = read_reasons(output, report.name)
    assert first == {
        "index": 1,
        "key": "b",
        "shard": storage.basename(shard),
        "offset": decisions[1].ref.offset,
        "length": decisions[1].ref.length,
        "records": 1,
        "quarantined": False,
        "stage": "decode",
        "type": "MediaError",
        "reason": "corrupt_media",
        "message": "no frames",
    }
    assert (second["index"], second["reason"]) == (3, "model_failed")
    again = [item.ref.content_sha256 for item in read_shard(storage.join(output, "_errors", report.name))]
    assert again == [decisions[1].ref.content_sha256, decisions[3].ref.content_sha256]


BAD = {
    "wrong checksum": (record(CLIPS[0]) + GARBAGE + record(CLIPS[3]), [("corrupt_record", True)]),
    "truncated": (record(CLIPS[0]) + record(CLIPS[3])[:-3], [("truncated_shard", True)]),
    "lost after a wrong length": (record(CLIPS[0]) + b"\1" * 99, [("corrupt_record", True)]),
    "no example": (records([CLIPS[0], b"hello, world"]), [("unsupported_record", False)]),
    "no media": (records([CLIPS[0], example({"n": 1})]), [("no_media", False)]),
    "duplicate key": (records([CLIPS[0], CLIPS[0]]), [("duplicate_key", False)]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_records_are_kept_whole(put, output, name):
    data, expected = BAD[name]
    shard = put(data)
    items = list(read_shard(shard))
    report = rewrite_shard(shard, decide_all(shard), options(output))
    add_up(report, output, len(items))
    assert [(r["reason"], r["quarantined"]) for r in read_reasons(output, report.name)] == expected
    (bad,) = (item for item in items if isinstance(item, BadSample))
    (letter,) = letters(output, report)
    raw = data[bad.offset : bad.offset + bad.length]
    if bad.copyable:
        assert record(letter) == raw
    else:
        assert b"".join(bytes_values(parse_example(letter).get("avagent/quarantine"))) == raw


def test_an_unreadable_shard_leaves_its_reason(put, output):
    shard = put(b"no TFRecord file at all")
    report = rewrite_shard(shard, decide_all(shard), options(output))
    assert (report.nsamples, report.errors, letters(output, report)) == (0, 1, [])
    (reason,) = read_reasons(output, report.name)
    assert (reason["reason"], reason["records"]) == ("unreadable_shard", 0)


def test_a_shard_that_is_not_there(root, output):
    shard = storage.join(root, "in", NAME)
    report = rewrite_shard(shard, decide_all(shard), options(output))
    assert (report.nsamples, report.errors) == (0, 1)
    assert read_reasons(output, NAME)[0]["reason"] == "unreadable_shard"


def test_a_large_rest_is_quarantined_in_pieces(put, output):
    rest = bytes(range(256)) * 40_000
    shard = put(record(CLIPS[0]) + b"\xee" * 12 + rest)
    report = rewrite_shard(shard, decide_all(shard), options(output))
    add_up(report, output, 2)
    pieces = [bytes_values(parse_example(letter).get("avagent/quarantine"))[0] for letter in letters(output, report)]
    assert len(pieces) > 1
    assert b"".join(pieces) == b"\xee" * 12 + rest


def test_a_record_over_the_limit_is_copied_without_being_held(put, output):
    shard = put(records([CLIPS[3], CLIPS[0]]))
    limits = ShardLimits(sample_bytes=len(CLIPS[3]))
    decisions = [i.decision() if isinstance(i, BadSample) else unchanged(i.ref) for i in list(_read(shard, limits))]
    report = rewrite_shard(shard, decisions, options(output, limits=limits))
    add_up(report, output, 2)
    assert letters(output, report) == [CLIPS[0]]


def _read(shard, limits):
    from avagent.shards.tfrecord import records  # noqa: PLC0415

    return records.read_shard(shard, limits)


def test_an_edit_that_fails_is_a_dead_letter_and_the_decision_says_so(put, output):
    def edit(ref, clip, actions):
        raise EditError("no", reason=FailureReason.EDIT_FAILED)

    shard = put(records(CLIPS))
    decisions = decide_all(shard)
    decisions[2] = improved(decisions[2].ref)
    report = rewrite_shard(shard, decisions, options(output, edit=edit))
    add_up(report, output, 4)
    assert [late.index for late in report.late_failures] == [2]
    assert letters(output, report) == [CLIPS[2]]


def test_a_shard_that_changed_meanwhile_loses_nothing(put, output):
    decisions = decide_all(put(records(CLIPS)))
    other = example({"example/id": b"b", "mp4": MP4 + b"other"})
    shard = put(records([CLIPS[0], other, GARBAGE]))
    report = rewrite_shard(shard, decisions, options(output))
    add_up(report, output, 4)
    reasons = read_reasons(output, report.name)
    assert [r["reason"] for r in reasons] == ["changed_since_listed"] * 3
    assert letters(output, report)[0] == other


def test_clips_that_were_not_decided_on_are_left_out(put, output):
    shard = put(records(CLIPS))
    report = rewrite_shard(shard, decide_all(shard)[:2], options(output))
    add_up(report, output, 2)
    assert rewrite_shard(shard, [], options(output)).url is None


def test_an_empty_shard_stays_one(put, output):
    report = rewrite_shard(put(b""), [], options(output))
    assert (read_records(report.url), report.nsamples) == ([], 0)


def test_writing_again_gives_the_same_bytes_and_stale_letters_go(put, output, root):
    shard = put(records(CLIPS))
    decisions = [improved(d.ref) if n % 2 else d for n, d in enumerate(decide_all(shard))]
    decisions[2] = failed(decisions[2].ref)
    first, second = (rewrite_shard(shard, decisions, options(o)) for o in (output, storage.join(root, "again")))
    assert storage.read_bytes(first.url) == storage.read_bytes(second.url)
    for suffix in ("", ".errors.jsonl"):
        one, other = (storage.join(o, "_errors", first.name + suffix) for o in (output, storage.join(root, "again")))
        assert storage.read_bytes(one) == storage.read_bytes(other)
    rewrite_shard(shard, decide_all(shard), options(output))
    assert storage.list_folder(storage.join(output, "_errors")) == []


def test_a_refined_shard_can_be_refined_again(put, output, root):
    shard = put(records(CLIPS))
    first = rewrite_shard(shard, decide_all(shard), options(output))
    before, after = list(read_shard(shard)), list(read_shard(first.url))
    assert [i.ref.content_sha256 for i in after] == [i.ref.content_sha256 for i in before]
    again = rewrite_shard(first.url, decide_all(first.url), options(storage.join(root, "again")))
    assert storage.read_bytes(again.url) == storage.read_bytes(first.url)


def test_a_record_of_ours_that_another_program_moved_is_replaced(put, output):
    moved = chunk(1, features({"avagent/record": b"{}", "mp4": MP4, "z": 1}))
    nested = example({"mp4": MP4, "z": example_bytes([]), "avagent/record": b"{}"})
    shard = put(records([moved, nested]))
    report = rewrite_shard(shard, decide_all(shard), options(output))
    for data, names in zip(read_records(report.url), (["mp4", "z"], ["mp4", "z"]), strict=True):
        assert [f.name for f in parse_example(data).features] == [*names, "avagent/record"]
        assert stored_record(data)["outcome"] == "unchanged"


def test_a_feature_that_looks_like_our_record_is_not_mistaken_for_it(put, output):
    tail = chunk(1, features({"avagent/record": b"{}"}))
    entry = features({"avagent/record": b"{}"})
    # The value of the last feature before our record ends in the bytes that would begin our record's own message.
    odd = chunk(1, chunk(1, chunk(1, b"mp4") + chunk(2, feature(MP4 + tail[: -len(entry)]))) + entry)
    assert odd.endswith(tail)
    shard = put(record(odd))
    report = rewrite_shard(shard, decide_all(shard), options(output))
    (data,) = read_records(report.url)
    assert bytes_values(parse_example(data).get("mp4")) == (MP4 + tail[: -len(entry)],)


def test_the_fields_of_the_recipe_are_used(put, output):
    fields = FieldMapping(media=("vid",))
    shard = put(record(example({"vid": MP4, "mp4": b"other"})))
    (item,) = read_shard(shard, options(output, fields=fields).reading)
    report = rewrite_shard(shard, [improved(item.ref)], options(output, fields=fields))
    (data,) = read_records(report.url)
    assert bytes_values(parse_example(data).get("vid")) == (MP4 + b"+volume",)
    assert bytes_values(parse_example(data).get("mp4")) == (b"other",)


def test_a_failure_in_the_middle_leaves_nothing(put, output):
    def edit(ref, clip, actions):
        if clip.key == "d":
            raise RuntimeError("a bug")
        return loud(ref, clip, actions)

    shard = put(records(CLIPS))
    decisions = decide_all(shard, improved)
    decisions[0] = failed(decisions[0].ref)
    with pytest.raises(RuntimeError, match="a bug"):
        rewrite_shard(shard, decisions, options(output, edit=edit))
    assert storage.list_folder(output) == storage.list_folder(storage.join(output, "_errors")) == []


@given(
    clips=st.lists(st.tuples(st.binary(max_size=60), st.sampled_from(["keep", "edit", "fail", "break", "skip"]))),
    compressed=st.booleans(),
)
def test_whatever_is_decided_counts_add_up(tmp_path_factory, clips, compressed):
    folder = tmp_path_factory.mktemp("rewrite")
    frames = [record(example({"example/id": b"%d" % n, "mp4": MP4 + data})) for n, (data, _) in enumerate(clips)]
    broken = [f[:-1] + bytes([f[-1] ^ 1]) if c == "break" else f for f, (_, c) in zip(frames, clips, strict=True)]
    shard, output = str(folder / "x.tfrecord-0-of-1"), str(folder / "out")
    data = b"".join(broken)
    storage.write_bytes(shard, gzip.compress(data) if compressed else data)
    choose = {"keep": unchanged, "edit": improved, "fail": failed}
    decisions = [
        item.decision() if isinstance(item, BadSample) else choose[choice](item.ref)
        for item, (_, choice) in zip(read_shard(shard), clips, strict=True)
        if choice != "skip"
    ]
    report = rewrite_shard(shard, decisions, options(output))
    assert report.clips == len(decisions)
    if report.url is None:
        return
    written = [item for item in read_shard(report.url) if isinstance(item, LoadedClip)]
    wanted = [(str(n), c) for n, (_, c) in enumerate(clips) if c in ("keep", "edit")]
    assert [item.ref.key for item in written] == [key for key, _ in wanted]
    for item, (_, choice) in zip(written, wanted, strict=True):
        assert item.clip.sound().data.endswith(b"+volume") == (choice == "edit") or choice == "keep"
    reasons = read_reasons(output, report.name) if report.errors else []
    assert len(reasons) == sum(choice in ("fail", "break") for _, choice in clips)


def test_golden_output(output, root):
    """The bytes of a release: who changes them on purpose says so in the changelog."""
    shard = storage.join(root, "in", NAME)
    storage.write_bytes(shard, records(CLIPS) + GARBAGE)
    decisions = decide_all(shard)
    decisions[1] = replace(improved(decisions[1].ref, Pitch(semitones=2.0)), facts=None)
    decisions[2] = failed(decisions[2].ref)
    rewrite_shard(shard, decisions, options(output))
    found = [
        hashlib.sha256(storage.read_bytes(storage.join(output, name))).hexdigest()[:16]
        for name in (NAME, f"_errors/{NAME}")
    ]
    assert found == ["bc79d49294c4c950", "bb9e7c36ab1c4d50"]
