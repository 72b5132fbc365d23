"""Nights at random: what is taken over from the night before is, byte for byte, what would be made afresh."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewrite_tools import loud, options
from shard_tools import failed, improved, tar_bytes, unchanged
from tfrecord_tools import example, records

from avagent import storage
from avagent.core.errors import FailureReason
from avagent.core.state import ClipDecision
from avagent.records.changes import Change, read_changes, write_changes
from avagent.records.decisions import decisions_digest, read_decisions, write_decisions
from avagent.records.manifest import decisions_url, write_manifest
from avagent.runs.carry import carry_over
from avagent.runs.known_clips import KnownClips
from avagent.runs.previous import Part, PreviousRun
from avagent.runs.repaired_clips import EarlierShard
from avagent.runs.rewrite import rewrite_shard
from avagent.runs.shard_reports import read_report, write_report
from avagent.shards.formats import read_shard
from avagent.shards.samples import BadSample

STAGES = {str(part): "1" for part in Part}
KEYS = ("a", "b", "c", "d", "e")
NAMES = ("s-0.tar", "s-1.tar", "s-2.tfrecord", "s-3.tfrecord")

clips = st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 5)), max_size=4)
corpora = st.dictionaries(st.sampled_from(NAMES), clips, min_size=1)


def shard_bytes(name, found):
    if name.endswith(".tfrecord"):
        head = b"\x00\x00\x00\x18ftypmp42"
        return records(example({"key": key.encode(), "video": head + b"%d" % content}) for key, content in found)
    return tar_bytes([(f"{key}.mp4", b"%d" % content) for key, content in found] or [("__empty__", b"")])


def write_corpus(folder, corpus):
    fs, _ = storage.filesystem(folder)
    for url in storage.list_folder(folder):
        if storage.basename(url) not in corpus:
            storage.remove(url)
    for name, found in corpus.items():
        url, data = storage.join(folder, name), shard_bytes(name, found)
        if not storage.exists(url) or storage.read_bytes(url) != data:
            storage.write_bytes(url, data)
    return fs


def decide(ref):
    """By key and content alone, as the models do."""
    choice = hashlib.sha256(f"{ref.key} {ref.content_sha256}".encode()).digest()[0] % 5
    if choice == 0:
        return failed(ref)
    if choice == 1:
        return failed(ref, FailureReason.MODEL_FAILED)
    return unchanged(ref) if choice == 2 else improved(ref)


def night(source, output, previous=None):
    """What the pipeline does with a folder, without Beam and models; gives the record of it and who was decided on."""
    urls = storage.list_folder(source)
    inputs = [(url, storage.version(url)) for url in urls]
    offers = previous.offers(inputs, STAGES) if previous is not None else {}
    asked = []
    for url in urls:
        earlier = offers.get(url)
        if earlier is not None and earlier.whole and carry_over(url, earlier, output) is not None:
            continue
        known = KnownClips(earlier) if earlier is not None else None
        decisions = []
        for item in read_shard(url):
            found = known.meet(item) if known is not None else None
            if isinstance(found, ClipDecision):
                decisions.append(found)
            elif isinstance(item, BadSample):
                decisions.append(item.decision())
            else:
                asked.append((item.ref.key, item.clip.members[-1].data))
                decisions.append(decide(item.ref))
        write_decisions(decisions_url(output, url), decisions)
        taken = EarlierShard()
        if known is not None:
            changes = known.changes(complete=True)
            write_changes(output, url, changes)
            for name in (earlier.shard, *sorted({name for name, _, _ in changes.moved()})):
                if name is not None:
                    taken.add(earlier.output, name)
        report = rewrite_shard(url, decisions, options(output, loud, earlier=taken))
        write_report(output, replace(report, decisions=decisions_digest(decisions)))
    rows = ((storage.basename(url), read_decisions(decisions_url(output, url))) for url in urls)
    write_manifest(output, rows, fingerprint="f")
    record = PreviousRun(
        output=output, inputs={storage.basename(url): (url, version) for url, version in inputs}, stages=STAGES
    )
    return record, asked


def files(output):
    fs, path = storage.filesystem(output)
    found = {name[len(path) :]: fs.cat_file(name) for name in fs.find(path)}
    return {name: data for name, data in found.items() if not name.endswith(".changes.json")}


@settings(max_examples=30)
@given(first=corpora, second=corpora, third=corpora)
def test_any_three_nights(first, second, third):
    root = f"memory://{uuid.uuid4().hex}"
    source = storage.join(root, "in")
    previous = None
    for number, corpus in enumerate((first, second, third)):
        write_corpus(source, corpus)
        output = storage.join(root, f"night-{number}")
        record, _ = night(source, output, previous)
        night(source, storage.join(root, f"afresh-{number}"))
        assert files(output) == files(storage.join(root, f"afresh-{number}"))
        previous = record
    storage.remove(root, recursive=True)


@settings(max_examples=30)
@given(corpus=corpora)
def test_only_what_failed_by_chance_is_asked_again(corpus):
    root = f"memory://{uuid.uuid4().hex}"
    source = storage.join(root, "in")
    write_corpus(source, corpus)
    previous, asked = night(source, storage.join(root, "first"))
    _, again = night(source, storage.join(root, "second"), previous)
    assert set(again) <= set(asked)
    by_chance = 0
    for url in storage.list_folder(source):
        passing = [d for d in read_decisions(decisions_url(previous.output, url)) if not d.settled]
        by_chance += len(passing)
        changes = read_changes(storage.join(root, "second"), url)
        assert changes.carried == (not passing)
        assert changes.count(Change.DECIDED_AGAIN) == len(passing)
        assert not any(changes.count(change) for change in (Change.NEW, Change.CHANGED, Change.DELETED))
    assert len(again) == by_chance
    storage.remove(root, recursive=True)


@settings(max_examples=30)
@given(corpus=corpora, moved=st.permutations(NAMES))
def test_clips_are_known_in_whatever_shard_they_are(corpus, moved):
    """Every clip in another shard, of the same format; a key is in one place only."""
    root = f"memory://{uuid.uuid4().hex}"
    source = storage.join(root, "in")
    corpus = {name: [(f"{name[2]}{i}", content) for i, (_, content) in enumerate(c)] for name, c in corpus.items()}
    write_corpus(source, corpus)
    previous, _ = night(source, storage.join(root, "first"))
    kind = {name: [n for n in NAMES if n.endswith(name.rsplit(".")[-1])] for name in NAMES}
    other = {name: kind[name][1 - kind[name].index(name)] for name in NAMES}
    write_corpus(source, {other[name]: [*reversed(found)] for name, found in corpus.items()})
    _, again = night(source, storage.join(root, "second"), previous)
    decided = [d for u in previous.inputs for d in read_decisions(decisions_url(previous.output, u))]
    assert len(again) == sum(d.failure is not None for d in decided)
    storage.remove(root, recursive=True)


@pytest.fixture
def kept(root):
    """A night of two shards, and the second of them."""
    source = storage.join(root, "in")
    write_corpus(
        source, {"s-0.tar": [(key, content) for content in range(3) for key in KEYS[:1]], "s-1.tar": [("b", 1)]}
    )
    previous, _ = night(source, storage.join(root, "first"))
    return previous, storage.join(source, "s-1.tar")


def offer(previous, url):
    return previous.offers([(url, storage.version(url))], STAGES)[url]


def test_what_is_not_whole_is_not_taken_over(kept, root):
    previous, url = kept
    output = storage.join(root, "second")
    earlier = offer(previous, url)
    assert earlier.whole
    report = read_report(previous.output, url)
    assert carry_over(url, earlier, storage.join(root, "fine")) == report
    decisions = storage.read_bytes(decisions_url(previous.output, url))
    for damaged in (b"", decisions * 2, decisions[:20], b"[]\n", b'{"outcome": "unchanged"}\n'):
        storage.write_bytes(decisions_url(previous.output, url), damaged)
        assert carry_over(url, earlier, output) is None
    storage.remove(decisions_url(previous.output, url))
    assert carry_over(url, earlier, output) is None
    storage.write_bytes(decisions_url(previous.output, url), decisions)
    refined = storage.read_bytes(report.url)
    storage.write_bytes(report.url, refined + bytes(512))
    assert carry_over(url, earlier, output) is None
    storage.remove(report.url)
    assert carry_over(url, earlier, output) is None
    assert carry_over(url, replace(earlier, shard=None), output) is None
    assert storage.list_folder(output) == []
    assert read_report(output, url) is None


def test_a_changed_file_is_not_the_same_input(kept):
    previous, url = kept
    assert offer(previous, url).whole
    storage.write_bytes(url, storage.read_bytes(url))
    assert not offer(previous, url).whole
    other = previous.offers([(url, storage.version(url))], {**STAGES, Part.SHARDS: "2"})[url]
    assert other.holds == set(Part) - {Part.SHARDS}
    assert not replace(previous, stages={}).offers([(url, None)], STAGES)[url].holds


def test_a_copy_elsewhere_is_the_same_only_if_its_version_goes_by_content():
    inputs = {"s.tar": ("s3://a/s.tar", "size=1;etag=abc"), "t.tar": ("gs://a/t.tar", "size=1;generation=7")}
    previous = PreviousRun(output="s3://out/1", inputs=inputs, stages=STAGES)
    offers = previous.offers(
        [("s3://b/s.tar", "size=1;etag=abc"), ("gs://b/t.tar", "size=1;generation=7"), ("gs://b/u.tar", None)], STAGES
    )
    assert [offer.whole for offer in offers.values()] == [True, False, False]
    assert [offer.shard for offer in offers.values()] == ["s.tar", "t.tar", None]


def test_a_copy_elsewhere_gets_decisions_of_its_own_place(root):
    """But for a shard with dead letters, whose reasons tell of the place where it was."""
    corpus = {"s-0.tar": [(key, content) for key in KEYS for content in range(1)], "s-2.tfrecord": [("c", 0), ("d", 3)]}
    places = [storage.join(root, name) for name in ("in", "copy")]
    for place in places:
        write_corpus(place, corpus)
    previous, _ = night(places[0], storage.join(root, "first"))
    night(places[1], storage.join(root, "afresh"))
    output = storage.join(root, "second")
    for url in storage.list_folder(places[1]):
        name = storage.basename(url)
        earlier = replace(offer(previous, storage.join(places[0], name)), same_input=True)
        before = read_report(previous.output, name)
        if before.errors:
            assert carry_over(url, earlier, output) is None
            continue
        assert carry_over(url, earlier, output) == read_report(output, name)
        made, expected = files(output), files(storage.join(root, "afresh"))
        named = {path for path in expected if name in path}
        assert {path: made[path] for path in named} == {path: expected[path] for path in named}


def test_a_renamed_shard_is_compared_with_what_it_was():
    previous = PreviousRun(output="o", inputs={"s.tar": ("in/s.tar", "size=1;mtime_ns=2")}, stages=STAGES)
    (found,) = previous.offers([("in/renamed.tar", "size=1;mtime_ns=2")], STAGES).values()
    assert (found.shard, found.whole) == ("s.tar", False)
