"""What changed in a shard, as rows: every clip once, and the deleted ones behind."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from shard_tools import unchanged

from avagent.core.clip import ClipRef
from avagent.records.changes import Change, ClipChange, ShardChanges, change_rows, compare

KEYS = st.lists(st.sampled_from("abcd"), max_size=6)
CONTENTS = st.sampled_from(["1" * 64, "2" * 64])


def decision(key, sha256, index):
    return unchanged(ClipRef(key=key, shard="s.tar", offset=0, length=1, content_sha256=sha256, index=index))


def rows(changes, clips):
    return [(row["key"], row["change"], row["content_sha256"]) for row in change_rows("s.tar", changes, clips)]


def test_a_deleted_clip_is_no_change_of_one_that_came_in_its_place():
    changes = ShardChanges(
        previous="s.tar",
        clips=(
            ClipChange(key="a", change=Change.DELETED, before="1" * 64, after=None),
            ClipChange(key="b", change=Change.NEW, before=None, after="2" * 64),
        ),
    )
    # A reused clip of the deleted one's key, without content: what `after` of a deleted clip is.
    assert rows(changes, [("a", ""), ("b", "2" * 64)]) == [
        ("a", "reused", None),
        ("b", "new", "2" * 64),
        ("a", "deleted", None),
    ]


@given(
    before=st.lists(st.tuples(st.sampled_from("abcd"), CONTENTS), max_size=6),
    after=st.lists(st.tuples(st.sampled_from("abcd"), CONTENTS), max_size=6),
)
def test_every_clip_has_one_row_and_what_is_gone_comes_last(before, after):
    old = [decision(key, sha256, index) for index, (key, sha256) in enumerate(before)]
    new = [decision(key, sha256, index) for index, (key, sha256) in enumerate(after)]
    changes = compare("s.tar", old, new)
    found = rows(changes, [(d.ref.key, d.ref.content_sha256) for d in new])
    here, gone = found[: len(new)], found[len(new) :]
    assert [(key, sha256) for key, _, sha256 in here] == after
    assert all(change == "deleted" for _, change, _ in gone)
    assert len(before) - len(gone) == sum(change in ("decided_again", "changed") for _, change, _ in here)
    assert changes.count(Change.DELETED) == len(gone)


def test_moved_clips_are_not_deleted_where_they_were():
    gone = ClipChange(key="a", change=Change.DELETED, before="1" * 64, after=None)
    changes = ShardChanges(previous="old.tar", clips=(gone,))
    came = replace(gone, change=Change.DECIDED_AGAIN, after="1" * 64, moved_from="old.tar")
    moved = set(ShardChanges(previous=None, clips=(came,)).moved())
    assert moved == {("old.tar", "a", "1" * 64)}
    assert changes.without(moved).clips == ()
    assert changes.without({("other.tar", "a", "1" * 64)}) == changes
