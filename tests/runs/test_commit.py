"""The end of a run: counts add up or nothing is a success; and whose a folder is."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from shard_tools import PROVENANCE, failed, improved, tar_bytes, unchanged

from avagent import storage
from avagent.core.errors import AVAgentError, EditError, FailureReason, UsageError
from avagent.core.state import Outcome
from avagent.records.decisions import write_decisions
from avagent.records.manifest import decisions_url, manifest_url
from avagent.runs.commit import claim_output, finalize, is_complete
from avagent.runs.rewrite import RewriteOptions, rewrite_shard
from avagent.shards.listing import list_shards
from avagent.shards.samples import BadSample
from avagent.shards.webdataset.samples import read_shard


def edit(ref, clip, actions):
    if ref.key == "refuses":
        raise EditError("no room", reason=FailureReason.EDIT_FAILED)
    return ()


def refine(root, output):
    """Three shards: improved, unchanged, failed clips, a late failure, a cut shard."""
    files = {
        "c.tar": tar_bytes([("a.mp4", b"1"), ("b.mp4", b"2")]),
        "a.tar": tar_bytes([("a.mp4", b"1"), ("refuses.mp4", b"2"), ("broken.mp4", b"3")]),
        "b.tar": tar_bytes([("a.mp4", b"1"), ("b.mp4", b"2" * 600)])[:1700],
    }
    for name, data in files.items():
        storage.write_bytes(storage.join(root, "in", name), data)
    reports = []
    for shard in list_shards(storage.join(root, "in")):
        found = []
        for item in read_shard(shard):
            if isinstance(item, BadSample):
                found.append(item.decision())
            else:
                choose = failed if item.ref.key == "broken" else unchanged if item.ref.key == "b" else improved
                found.append(choose(item.ref))
        write_decisions(decisions_url(output, shard), found)
        options = RewriteOptions(output=output, edit=edit, provenance=PROVENANCE)
        reports.append(rewrite_shard(shard, found, options))
    return reports


def clips(output):
    return pq.read_table(io.BytesIO(storage.read_bytes(manifest_url(output, "clips.parquet")))).to_pylist()


def test_everything_is_there_and_adds_up(root, output):
    counts = finalize(output, reversed(refine(root, output)), fingerprint="f", run={"recipe": "embedded"})
    assert counts.outcomes == ((Outcome.IMPROVED, 3), (Outcome.UNCHANGED, 1), (Outcome.FAILED, 3))
    rows = clips(output)
    assert [(row["shard"], row["key"], row["outcome"]) for row in rows] == [
        ("a.tar", "a", "improved"),
        ("a.tar", "refuses", "failed"),
        ("a.tar", "broken", "failed"),
        ("b.tar", "a", "improved"),
        ("b.tar", "b", "failed"),
        ("c.tar", "a", "improved"),
        ("c.tar", "b", "unchanged"),
    ]
    assert rows[1]["reason"] == "edit_failed"
    written = {name: list(read_shard(storage.join(output, name))) for name in ("a.tar", "b.tar", "c.tar")}
    dead = [list(read_shard(url)) for url in storage.list_folder(storage.join(output, "_errors"))]
    assert len(rows) == sum(map(len, written.values())) + sum(map(len, dead)) == 7
    assert storage.exists(storage.join(output, "_SUCCESS"))
    run = json.loads(storage.read_text(manifest_url(output, "run.json")))
    changed = run.pop("changes_made")
    assert (changed["edited"], changed["not_measured"], changed["si_sdr"]["0.5"]) == (3, 0, 60.0)
    assert [row["key"] for row in changed["most_changed"]] == ["a", "a", "a"]
    assert run == {
        "recipe": "embedded",
        "counts": {
            "shards": 3,
            "clips": 7,
            "outcomes": {"improved": 3, "unchanged": 1, "failed": 3},
            "rounds": 4,
            "clips_in_shards": 4,
            "clips_in_errors": 3,
        },
    }


def test_the_index_is_a_wids_index_of_the_refined_shards(root, output):
    reports = refine(root, output)
    finalize(
        output,
        [
            *reports,
            replace(
                reports[0], name="0.tar", source="0.tar", url=None, nsamples=0, errors=0, outcomes=(), late_failures=()
            ),
        ],
        fingerprint="f",
        run={},
    )
    index = json.loads(storage.read_text(storage.join(output, "index.json")))
    assert index == {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "shardlist": [
            {"url": r.name, "md5sum": r.md5, "nsamples": r.nsamples, "filesize": r.filesize} for r in reports
        ],
    }
    assert list_shards(storage.join(output, "index.json")) == list_shards(output)


def snapshot(output):
    return {
        url: storage.read_bytes(url)
        for folder in (output, storage.join(output, "_errors"), storage.join(output, "_manifest"))
        for url in storage.list_folder(folder)
    }


def test_twice_gives_the_same_folder(root, output):
    finalize(output, refine(root, output), fingerprint="f", run={"b": 1, "a": 2})
    first = snapshot(output)
    finalize(output, refine(root, output), fingerprint="f", run={"a": 2, "b": 1})
    assert snapshot(output) == first
    assert len(first) == 3 + 2 + 3 + 2


def break_shard(output, reports):
    storage.write_bytes(reports[0].url, b"short")


def lose_shard(output, reports):
    storage.remove(reports[2].url)


def lose_dead_letters(output, reports):
    storage.remove(storage.join(output, "_errors", reports[0].name))


def add_dead_letters(output, reports):
    storage.write_bytes(storage.join(output, "_errors", reports[2].name), b"old")


def lose_a_decision(output, reports):
    url = decisions_url(output, reports[0].name)
    storage.write_bytes(url, storage.read_bytes(url).split(b"\n", 1)[1])


def repeat_a_decision(output, reports):
    url = decisions_url(output, reports[2].name)
    storage.write_bytes(url, storage.read_bytes(url) * 2)


def forget_a_shard(output, reports):
    del reports[1]
    reports.append(replace(reports[0], name="d.tar", source="d.tar"))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (break_shard, r"a\.tar should have \d+ bytes, found 5"),
        (lose_shard, r"c\.tar should have \d+ bytes, found None"),
        (lose_dead_letters, r"_errors/a\.tar does not match the 2 failed clips"),
        (add_dead_letters, r"_errors/c\.tar does not match the 0 failed clips"),
        (lose_a_decision, "counts do not add up"),
        (repeat_a_decision, "counts do not add up"),
        (forget_a_shard, r"d\.tar should have"),
    ],
)
def test_anything_missing_is_no_success(harm, message, root, output):
    reports = refine(root, output)
    harm(output, reports)
    with pytest.raises(AVAgentError, match=message):
        finalize(output, reports, fingerprint="f", run={})
    assert not storage.exists(storage.join(output, "_SUCCESS"))
    assert not storage.exists(storage.join(output, "index.json"))


def test_absent_decisions_are_no_success(root, output):
    reports = refine(root, output)
    storage.remove(decisions_url(output, "a.tar"))
    with pytest.raises(FileNotFoundError):
        finalize(output, reports, fingerprint="f", run={})
    assert not storage.exists(storage.join(output, "_SUCCESS"))


def test_two_reports_of_one_name_are_refused(root, output):
    reports = refine(root, output)
    with pytest.raises(UsageError, match="same name"):
        finalize(output, [*reports, replace(reports[0], source="/elsewhere/a.tar")], fingerprint="f", run={})


def test_what_killed_writers_left_is_removed(root, output):
    reports = refine(root, output)
    left = [
        storage.join(output, *parts, ".a.tar.0123.tmp")
        for parts in ((), ("_errors",), ("_manifest",), ("_manifest", "decisions"))
    ]
    for url in left:
        storage.write_bytes(url, b"half")
    finalize(output, reports, fingerprint="f", run={})
    assert not any(storage.exists(url) for url in left)
    assert len(list_shards(output)) == 3


def test_an_empty_folder_is_claimed(output):
    claim_output(output, "f1", shards=["/elsewhere/a.tar"])
    claim_output(output, "f1")


def test_of_two_runs_that_claim_an_empty_folder_at_once_one_is_refused(output, monkeypatch):
    create = storage.create

    def beaten(url, data):
        """Another run claims the folder after this one found it empty."""
        monkeypatch.setattr(storage, "create", create)
        claim_output(output, "f2")
        return create(url, data)

    monkeypatch.setattr(storage, "create", beaten)
    with pytest.raises(UsageError, match="at the same moment"):
        claim_output(output, "f1")
    claim_output(output, "f2")
    with pytest.raises(UsageError, match="another input or configuration"):
        claim_output(output, "f1")


def test_the_same_run_twice_at_once_goes_on_twice(output, monkeypatch):
    create = storage.create

    def beaten(url, data):
        monkeypatch.setattr(storage, "create", create)
        claim_output(output, "f1")
        return create(url, data)

    monkeypatch.setattr(storage, "create", beaten)
    claim_output(output, "f1")


def test_a_run_is_complete_once_it_succeeded(root, output):
    assert not is_complete(output, "f1")
    claim_output(output, "f1")
    reports = refine(root, output)
    assert not is_complete(output, "f1")
    finalize(output, reports, fingerprint="f", run={})
    assert is_complete(output, "f1")
    assert not is_complete(output, "f2")
    claim_output(output, "f1", overwrite=True)
    assert not is_complete(output, "f1")
    assert storage.list_folder(output) == []


def test_resuming_takes_the_success_back(root, output):
    claim_output(output, "f1")
    finalize(output, refine(root, output), fingerprint="f", run={})
    before = set(snapshot(output))
    claim_output(output, "f1")
    assert before - set(snapshot(output)) == {storage.join(output, "_SUCCESS")}


def test_another_run_is_refused_unless_overwritten(root, output):
    claim_output(output, "f1")
    finalize(output, refine(root, output), fingerprint="f", run={})
    storage.write_bytes(storage.join(output, "notes.md"), b"the user's own")
    with pytest.raises(UsageError, match="--overwrite"):
        claim_output(output, "f2")
    assert storage.exists(storage.join(output, "a.tar"))
    claim_output(output, "f2", overwrite=True)
    assert set(snapshot(output)) == {storage.join(output, "notes.md"), manifest_url(output, "claim.json")}
    with pytest.raises(UsageError, match="--overwrite"):
        claim_output(output, "f1")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_never_touched(overwrite, output):
    url = storage.join(output, "a.tar")
    storage.write_bytes(url, b"the user's own")
    with pytest.raises(UsageError, match="no run of avagent wrote it"):
        claim_output(output, "f1", overwrite=overwrite)
    assert storage.list_folder(output) == [url]


@pytest.mark.parametrize("claim", [b"", b"[]", b"{}", b"\xff"])
def test_a_broken_claim_is_another_run(claim, output):
    storage.write_bytes(manifest_url(output, "claim.json"), claim)
    with pytest.raises(UsageError, match="--overwrite"):
        claim_output(output, "f1")


def test_the_output_may_not_hold_the_input(root):
    shard = storage.join(storage.canonical(root), "in", "a.tar")
    storage.write_bytes(shard, b"")
    with pytest.raises(UsageError, match="holds the input shard"):
        claim_output(storage.join(root, "in") + "/", "f", shards=[shard], overwrite=True)
