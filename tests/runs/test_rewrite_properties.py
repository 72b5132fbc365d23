"""Whatever a shard holds and however it is damaged: every clip leaves once, and what was good leaves untouched."""

from __future__ import annotations

import io
import tarfile
import uuid

from hypothesis import given, settings
from hypothesis import strategies as st
from shard_tools import PROVENANCE, failed, improved, special_entry, tar_bytes, unchanged
from webdataset.tariterators import group_by_keys, tar_file_iterator

from avagent import storage
from avagent.core.clip import Member
from avagent.core.errors import FailureReason, MediaError
from avagent.core.state import Outcome
from avagent.runs.rewrite import RewriteOptions, rewrite_shard
from avagent.shards.samples import BadSample, LoadedClip
from avagent.shards.webdataset.samples import read_shard

STEMS = st.sampled_from(["a", "b", "x/a", "c" * 120, "é"])
SUFFIXES = st.sampled_from(["mp4", "MP4", "json", "avagent.json", "error.json", "seg.png", "quarantine"])
LOOSE = st.sampled_from(["README", ".hidden", "__info__", "../evil.mp4", "/etc/passwd", "a\\..\\b.mp4"])
NAMES = st.builds("{}.{}".format, STEMS, SUFFIXES) | LOOSE
FORMS = st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])


def member(name: str, data: bytes, form: int) -> bytes:
    whole = tar_bytes([(name, data)], form=form)
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        start = tar.getmembers()[0].offset_data
    return whole[: start + -(-len(data) // 512) * 512]


@st.composite
def shards(draw):
    """Archives with every sort of sample and fault."""
    parts = draw(
        st.lists(
            st.one_of(
                st.builds(member, NAMES, st.binary(max_size=700), FORMS),
                st.builds(special_entry, NAMES, st.sampled_from([b"1", b"2", b"3", b"5", b"6", b"S", b"V"])),
            ),
            max_size=8,
        )
    )
    data = b"".join(parts) + bytes(draw(st.sampled_from([0, 512, 1024, 5120])))
    if data and draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
    if data and draw(st.booleans()):
        at = draw(st.integers(0, len(data) - 1))
        data = data[:at] + draw(st.binary(min_size=1, max_size=4)) + data[at + 4 :]
    return data


def edit(ref, clip, actions):
    """Fails on clips without a video, as the real one does."""
    video = clip.video()
    if video is None:
        raise MediaError("no video", reason=FailureReason.NO_MEDIA)
    return (Member(name=video.name, suffix=video.suffix, data=video.data + b"!"),)


def samples(url: str) -> list[dict[str, object]]:
    """By the `webdataset` package."""
    files = tar_file_iterator(io.BytesIO(storage.read_bytes(url)))
    return list(group_by_keys({**file, "__url__": url} for file in files))


@settings(max_examples=200, deadline=None)
@given(data=shards(), choices=st.lists(st.sampled_from([unchanged, improved, failed]), min_size=9, max_size=9))
def test_every_clip_leaves_exactly_once(data, choices):
    root = f"memory://{uuid.uuid4().hex}"
    shard, output = storage.join(root, "s-000000.tar"), storage.join(root, "out")
    storage.write_bytes(shard, data)
    items = list(read_shard(shard))
    decisions = [
        i.decision() if isinstance(i, BadSample) else choose(i.ref) for i, choose in zip(items, choices, strict=False)
    ]
    assert [d.ref.index for d in decisions] == list(range(len(items)))
    report = rewrite_shard(shard, decisions, RewriteOptions(output=output, edit=edit, provenance=PROVENANCE))
    final = list(report.amend(decisions))
    assert report.clips == len(items)
    assert report.errors == sum(d.outcome == Outcome.FAILED for d in final)

    refined = list(read_shard(report.url))
    assert all(isinstance(i, LoadedClip) for i in refined)
    left = [d for d in final if d.outcome != Outcome.FAILED]
    assert [i.ref.key for i in refined] == [d.ref.key for d in left]
    for item, decision in zip(refined, left, strict=True):
        source = items[decision.ref.index].clip
        if decision.outcome == Outcome.UNCHANGED:
            assert item.ref.content_sha256 == decision.ref.content_sha256
        kept = {m.name: m.data for m in source.members if m.suffix != "avagent.json"}
        changed = {m.name for m in item.clip.members if kept.get(m.name) != m.data and m.suffix != "avagent.json"}
        assert len(changed) == (decision.outcome == Outcome.IMPROVED)
        assert {m.name for m in item.clip.members if m.suffix != "avagent.json"} == set(kept)
    assert len(samples(report.url)) == report.nsamples

    dead = storage.join(output, "_errors", "s-000000.tar")
    if storage.exists(dead):
        letters = samples(dead)
        assert len(letters) == report.errors
        assert all("error.json" in letter for letter in letters)
        names = [file["fname"] for file in tar_file_iterator(io.BytesIO(storage.read_bytes(dead)))]
        assert not any(".." in name or name.startswith("/") for name in names)
    else:
        assert report.errors == 0
    storage.remove(root, recursive=True)
