"""A shard is rewritten exactly once: nothing lost, nothing twice, untouched bytes untouched."""

from __future__ import annotations

import hashlib
import io
import json
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import webdataset
from rewrite_tools import FILES, bad_with, decide_all, letters, loud, options
from shard_tools import (
    bad,
    end_of,
    failed,
    good,
    improved,
    members,
    read_members,
    special_entry,
    tar_bytes,
    unchanged,
)

from avagent import storage
from avagent.core.actions import Pitch
from avagent.core.clip import Member
from avagent.core.errors import EditError, FailureReason, MediaError, ParameterError, Stage
from avagent.core.state import LEFT_AS_IT_IS, Outcome
from avagent.records.decisions import decision_from_json, decision_to_json
from avagent.runs.rewrite import rewrite_shard
from avagent.shards.limits import ShardLimits
from avagent.shards.samples import BadSample
from avagent.shards.webdataset.samples import read_shard


def test_unchanged_clips_are_copied_byte_for_byte(shard, output):
    report = rewrite_shard(shard, decide_all(shard), options(output))
    before, after = storage.read_bytes(shard), storage.read_bytes(report.url)
    for item in good(shard):
        blocks = before[item.ref.offset : item.ref.offset + item.ref.length]
        assert after.count(blocks) == 1
    records = [(name, data) for name, data in members(after) if name.endswith(".avagent.json")]
    assert [(n, d) for n, d in members(after) if (n, d) not in records] == FILES
    assert [json.loads(data)["outcome"] for _, data in records] == ["unchanged"] * 4
    assert (report.nsamples, report.errors, report.clips) == (4, 0, 4)
    assert report.outcomes == ((Outcome.UNCHANGED, 4),)
    assert not storage.exists(storage.join(output, "_errors", "train-000000.tar"))


def test_an_improved_clip_has_its_sound_replaced_and_nothing_else(shard, output):
    decisions = decide_all(shard)
    decisions[1] = improved(decisions[1].ref)
    report = rewrite_shard(shard, decisions, options(output))
    after = read_members(report.url)
    names = [name for name, _ in after]
    assert names == [
        "__info__",
        "a.mp4",
        "a.json",
        "a.avagent.json",
        "b.txt",
        "b.MP4",
        "b.xyz",
        "b.avagent.json",
        "LICENCE",
        FILES[7][0],
        FILES[7][0].removesuffix("mp4") + "avagent.json",
        "d.mp4",
        "d.avagent.json",
    ]
    assert dict(after)["b.MP4"] == b"video b+volume"
    assert {n: d for n, d in after if not n.endswith("avagent.json") and n != "b.MP4"} == {
        n: d for n, d in FILES if n != "b.MP4"
    }
    assert report.outcomes == ((Outcome.IMPROVED, 1), (Outcome.UNCHANGED, 3))


def test_the_report_describes_the_file(shard, output):
    report = rewrite_shard(shard, decide_all(shard), options(output))
    data = storage.read_bytes(report.url)
    assert (report.name, report.source) == ("train-000000.tar", shard)
    assert report.filesize == len(data)
    assert report.md5 == hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_the_webdataset_package_reads_what_we_write(shard, output):
    decisions = decide_all(shard, improved)
    decisions[3] = failed(decisions[3].ref)
    report = rewrite_shard(shard, decisions, options(output))

    def samples(url):
        stream = io.BytesIO(storage.read_bytes(url))
        files = ({**f, "__url__": url} for f in webdataset.tariterators.tar_file_iterator(stream))
        return list(webdataset.tariterators.group_by_keys(files))

    found = samples(report.url)
    assert [s["__key__"] for s in found] == ["a", "b", "c/" + "n" * 120]
    assert found[1]["mp4"] == b"video b+volume"
    assert json.loads(found[0]["avagent.json"])["key"] == "a"
    (dead,) = samples(storage.join(output, "_errors", report.name))
    assert dead["mp4"] == b"video d"
    assert json.loads(dead["error.json"])["reason"] == "corrupt_media"


def test_a_failed_clip_goes_whole_to_the_dead_letters(shard, output):
    decisions = decide_all(shard)
    decisions[1] = failed(decisions[1].ref)
    report = rewrite_shard(shard, decisions, options(output))
    item = good(shard)[1]
    blocks = storage.read_range(shard, item.ref.offset, item.ref.length)
    assert storage.read_bytes(storage.join(output, "_errors", report.name)).startswith(blocks)
    assert letters(output)[-1][0] == "b.error.json"
    assert json.loads(letters(output)[-1][1]) == {
        "key": "b",
        "shard": "train-000000.tar",
        "offset": item.ref.offset,
        "length": item.ref.length,
        "loose_before": 1,
        "stage": "decode",
        "type": "MediaError",
        "reason": "corrupt_media",
        "message": "no frames",
    }
    assert not [name for name, _ in read_members(report.url) if name.startswith("b.")]
    assert (report.nsamples, report.errors, report.late_failures) == (3, 1, ())


@pytest.mark.parametrize("reason", sorted(LEFT_AS_IT_IS))
def test_a_clip_whose_repair_would_lose_something_leaves_as_it_came(shard, output, reason):
    def edit(ref, clip, actions):
        if ref.key == "b":
            raise MediaError("stream 2 (data, gpmd) cannot be carried", reason=reason, stage=Stage.WRITE)
        return loud(ref, clip, actions)

    decisions = decide_all(shard, improved)
    report = rewrite_shard(shard, decisions, options(output, edit))
    assert report.outcomes == ((Outcome.IMPROVED, 3), (Outcome.UNCHANGED, 1))
    assert report.errors == 0
    after = dict(read_members(report.url))
    assert after["b.MP4"] == b"video b"
    record = json.loads(after["b.avagent.json"])
    assert (record["outcome"], record["reason"], record["actions"]) == ("unchanged", str(reason), [])
    assert record["remark"] == "stream 2 (data, gpmd) cannot be carried"
    final = list(report.amend(decisions))[1]
    assert (final.outcome, final.reason, final.actions) == (Outcome.UNCHANGED, str(reason), ())
    assert (final.remark, final.failure, final.history) == (record["remark"], None, decisions[1].history)
    assert decision_from_json(decision_to_json(final)) == final


def test_an_edit_that_fails_now_turns_the_decision(shard, output):
    def edit(ref, clip, actions):
        if ref.key == "b":
            raise EditError("no room", reason=FailureReason.EDIT_FAILED)
        return loud(ref, clip, actions)

    decisions = decide_all(shard, improved)
    report = rewrite_shard(shard, decisions, options(output, edit))
    assert report.outcomes == ((Outcome.IMPROVED, 3), (Outcome.FAILED, 1))
    assert [late.index for late in report.late_failures] == [1]
    final = list(report.amend(decisions))
    assert [d.outcome for d in final] == [Outcome.IMPROVED, Outcome.FAILED, Outcome.IMPROVED, Outcome.IMPROVED]
    assert (final[1].reason, final[1].actions, final[1].history) == ("edit_failed", (), decisions[1].history)
    assert final[0] is decisions[0]
    assert dict(letters(output))["b.MP4"] == b"video b"


def test_an_edit_that_raises_anything_else_stops_and_leaves_nothing(shard, output):
    def edit(ref, clip, actions):
        if ref.key == "d":
            raise ZeroDivisionError
        return loud(ref, clip, actions)

    decisions = decide_all(shard, improved)
    decisions[0] = failed(decisions[0].ref)
    with pytest.raises(ZeroDivisionError):
        rewrite_shard(shard, decisions, options(output, edit))
    assert storage.list_folder(output) == []
    assert storage.list_folder(storage.join(output, "_errors")) == []


def test_an_edit_that_names_another_member_is_a_bug(shard, output):
    def edit(ref, clip, actions):
        return (Member(name="other.mp4", suffix="mp4", data=b""),)

    with pytest.raises(ParameterError, match=r"members that the clip has not: other\.mp4"):
        rewrite_shard(shard, decide_all(shard, improved), options(output, edit))


def test_clips_that_were_not_decided_on_are_left_out(shard, output):
    report = rewrite_shard(shard, decide_all(shard)[:2], options(output))
    assert [n for n, _ in read_members(report.url) if n.endswith("avagent.json")] == [
        "a.avagent.json",
        "b.avagent.json",
    ]
    assert "d.mp4" not in dict(read_members(report.url))
    assert report.clips == 2


def test_a_shard_without_decisions_is_not_written(shard, output):
    report = rewrite_shard(shard, [], options(output))
    assert (report.url, report.clips, report.filesize) == (None, 0, 0)
    assert storage.list_folder(output) == []


def test_a_shard_without_clips_leaves_as_such(root, output):
    url = storage.join(root, "in", "empty.tar")
    storage.write_bytes(url, tar_bytes([("README", b"nothing here")]))
    report = rewrite_shard(url, [], options(output))
    assert (report.nsamples, read_members(report.url)) == (0, [("README", b"nothing here")])


def test_twice_gives_the_same_bytes(shard, root):
    decisions = [*decide_all(shard, improved)[:3], failed(decide_all(shard)[3].ref)]
    outputs = [storage.join(root, name) for name in ("one", "two")]
    reports = [
        rewrite_shard(shard, order, options(out))
        for order, out in zip((decisions, decisions[::-1]), outputs, strict=True)
    ]
    again = rewrite_shard(shard, decisions, options(outputs[0]))
    assert again == reports[0]
    assert reports[0].md5 == reports[1].md5
    assert letters(outputs[0]) == letters(outputs[1])


def test_a_retry_removes_the_dead_letters_of_an_earlier_try(shard, output):
    decisions = decide_all(shard)
    rewrite_shard(shard, [failed(d.ref) for d in decisions], options(output))
    assert len(letters(output)) == 7 + 4
    rewrite_shard(shard, decisions, options(output))
    assert storage.list_folder(storage.join(output, "_errors")) == []


def test_refining_a_refined_shard_replaces_the_records(shard, root, output):
    first = rewrite_shard(shard, decide_all(shard, improved), options(output))
    second = rewrite_shard(first.url, decide_all(first.url), options(storage.join(root, "out2")))
    names = [name for name, _ in read_members(second.url)]
    assert len(names) == len(set(names)) == 13
    record = json.loads(dict(read_members(second.url))["a.avagent.json"])
    assert (record["outcome"], dict(read_members(second.url))["b.MP4"]) == ("unchanged", b"video b+volume")


def test_dead_letters_can_be_worked_on_again(shard, root, output):
    decisions = [failed(d.ref) for d in decide_all(shard)]
    rewrite_shard(shard, decisions, options(output))
    dead = storage.join(output, "_errors", "train-000000.tar")
    assert [i.ref.key for i in good(dead)] == [i.ref.key for i in good(shard)]
    report = rewrite_shard(dead, [failed(i.ref) for i in good(dead)], options(storage.join(root, "again")))
    assert without_reasons(storage.join(root, "again", "_errors", report.name)) == without_reasons(dead)


def without_reasons(url):
    return [(name, data) for name, data in read_members(url) if not name.endswith(".error.json")]


BROKEN = {
    "duplicate key": tar_bytes([*FILES, ("a.mp4", b"again"), ("a.mp4", b"and again"), ("e.mp4", b"e")]),
    "duplicate member": tar_bytes([*FILES, ("e.mp4", b"1"), ("e.MP4", b"2")]),
    "path traversal": tar_bytes([("../../evil.mp4", b"evil"), *FILES]),
    "link": special_entry("z.mp4", b"2", "/etc/passwd") + tar_bytes(FILES),
    "cut": tar_bytes(FILES)[: end_of(tar_bytes(FILES)) - 100],
    "corrupt header": tar_bytes(FILES)[:1024] + b"x" * 2048,
    "rubbish behind the end": tar_bytes(FILES) + b"x" * 700,
    "the same keys joined by cat": tar_bytes(FILES) + tar_bytes(FILES),
    "a bad sample across two archives": tar_bytes([("e.mp4", b"1")]) + tar_bytes([("e.MP4", b"2"), *FILES]),
    "not a tar": b"x" * 5000,
    "empty": b"",
}


@pytest.mark.parametrize("case", BROKEN)
def test_counts_add_up_whatever_is_broken(case, root, output):
    url = storage.join(root, "in", "broken.tar")
    storage.write_bytes(url, BROKEN[case])
    decisions = decide_all(url, improved)
    report = rewrite_shard(url, decisions, options(output))
    assert report.clips == len(decisions) == len(good(url)) + len(bad(url))
    assert report.errors == len(bad(url)) > 0
    assert report.late_failures == ()
    assert len(good(report.url)) == report.nsamples
    dead = storage.join(output, "_errors", "broken.tar")
    assert len(good(dead)) == report.errors
    assert bad(dead) == []
    for item, source in zip(good(dead), bad(url), strict=True):
        assert json.loads(item.clip.get("error.json").data)["reason"] == str(source.failure.reason)
        kept = item.clip.get("quarantine")
        if kept is not None:
            assert kept.data == storage.read_range(url, source.offset, source.length)
        else:
            assert source.failure.reason == FailureReason.UNREADABLE_SHARD


def test_a_clip_over_a_limit_is_copied_without_being_held(shard, output):
    limits = ShardLimits(member_bytes=1000)
    decisions = [i.decision() if isinstance(i, BadSample) else unchanged(i.ref) for i in read_shard(shard, limits)]
    report = rewrite_shard(shard, decisions, options(output, limits=limits))
    assert (report.nsamples, report.errors) == (3, 1)
    assert letters(output)[:2] == FILES[1:3]
    assert json.loads(dict(letters(output))["a.error.json"])["reason"] == "limit_exceeded"


def test_what_lies_beyond_a_limit_of_the_shard_is_kept_in_quarantine(shard, output):
    limits = ShardLimits(entries=5)
    decisions = [i.decision() if isinstance(i, BadSample) else unchanged(i.ref) for i in read_shard(shard, limits)]
    report = rewrite_shard(shard, decisions, options(output, limits=limits))
    assert (report.nsamples, report.errors) == (1, 1)
    source = bad_with(shard, limits)
    assert letters(output)[0] == ("b.quarantine", storage.read_range(shard, source.offset, source.length))
    assert source.offset + source.length == storage.size(shard)


def test_an_unreadable_shard_becomes_a_dead_letter(root, output):
    url = storage.join(root, "in", "absent-000001.tar")
    decisions = decide_all(url)
    report = rewrite_shard(url, decisions, options(output))
    assert (report.nsamples, report.errors) == (0, 1)
    assert [name for name, _ in letters(output, "absent-000001.tar")] == ["absent-000001.error.json"]
    assert read_members(report.url) == []


def test_a_shard_that_was_readable_and_is_not_now_stops_the_rewriting(shard, output):
    decisions = decide_all(shard)
    storage.remove(shard)
    with pytest.raises(OSError, match=r"train-000000\.tar"):
        rewrite_shard(shard, decisions, options(output))
    assert storage.list_folder(output) == []


KILLED = textwrap.dedent("""
    import os, signal, sys
    sys.path.insert(0, sys.argv[3])
    import rewrite_tools as tools
    from avagent.runs.rewrite import rewrite_shard
    from shard_tools import failed, improved

    def edit(ref, clip, actions):
        if ref.key == "d":
            os.kill(os.getpid(), signal.SIGKILL)
        return tools.loud(ref, clip, actions)

    decisions = tools.decide_all(sys.argv[1], improved)
    decisions[0] = failed(decisions[0].ref)
    rewrite_shard(sys.argv[1], decisions, tools.options(sys.argv[2], edit))
""")


def test_a_killed_worker_leaves_no_half_shard_and_a_second_try_is_as_the_first(tmp_path):
    shard, output, calm = (str(tmp_path / name) for name in ("in/train-000000.tar", "out", "calm"))
    storage.write_bytes(shard, tar_bytes(FILES))
    tools = str(Path(__file__).resolve().parents[1])
    done = subprocess.run([sys.executable, "-c", KILLED, shard, output, tools], check=False)
    assert done.returncode == -signal.SIGKILL
    assert all(storage.is_temporary(url) for url in storage.list_folder(output))
    assert all(storage.is_temporary(url) for url in storage.list_folder(storage.join(output, "_errors")))
    decisions = decide_all(shard, improved)
    decisions[0] = failed(decisions[0].ref)
    second = rewrite_shard(shard, decisions, options(output))
    first = rewrite_shard(shard, decisions, options(calm))
    assert storage.read_bytes(second.url) == storage.read_bytes(first.url)
    assert letters(output) == letters(calm)


def test_golden_bytes(tmp_path):
    """The digests were taken after the archives had been listed by GNU tar 1.34."""
    shard, output = str(tmp_path / "train-000000.tar"), str(tmp_path / "out")
    storage.write_bytes(shard, tar_bytes(FILES))
    decisions = decide_all(shard)
    decisions[1] = replace(improved(decisions[1].ref, Pitch(semitones=2.0)), facts=None)
    decisions[3] = failed(decisions[3].ref)
    report = rewrite_shard(shard, decisions, options(output))
    dead = storage.read_bytes(storage.join(output, "_errors", report.name))
    assert (
        hashlib.sha256(storage.read_bytes(report.url)).hexdigest()
        == "b50183a0e84f8c27b61d92aee0364ddb675706d8f061fde06a6f280f9daef3ec"
    )
    assert hashlib.sha256(dead).hexdigest() == "9d310075541c7c99e9b516b48bd8712a7e55b166e54d1ec3bcc2f198e31a7437"


def test_a_clip_that_is_gone_since_it_was_decided_on_is_a_dead_letter(shard, output):
    decisions = decide_all(shard)
    storage.write_bytes(shard, tar_bytes(FILES[:-1]))
    report = rewrite_shard(shard, decisions, options(output))
    assert (report.nsamples, report.errors) == (len(decisions) - 1, 1)
    (late,) = report.late_failures
    assert (late.index, late.failure.reason) == (len(decisions) - 1, FailureReason.CHANGED_SINCE_LISTED)
    (name, content), *_ = letters(output)
    assert name.endswith(".error.json")
    assert json.loads(content)["reason"] == "changed_since_listed"
