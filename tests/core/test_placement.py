"""Which shard a clip goes to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avagent.core.errors import ParameterError
from avagent.core.placement import Item, place

SIZES = st.dictionaries(st.text(min_size=1, max_size=8), st.integers(0, 100), max_size=60)
LIMITS = {"max_bytes": 200, "max_clips": 7}


def items(sizes: dict[str, int]) -> list[Item]:
    return [Item(key=key, nbytes=nbytes) for key, nbytes in sizes.items()]


def numbers(shards: dict[int, list[str]]) -> dict[str, int]:
    return {key: number for number, keys in shards.items() for key in keys}


@given(SIZES)
def test_every_clip_has_one_place_within_the_limits(sizes: dict[str, int]):
    shards = place(items(sizes), {}, **LIMITS)
    placed = [key for keys in shards.values() for key in keys]
    assert sorted(placed) == sorted(sizes)
    assert list(shards) == list(range(len(shards)))
    for keys in shards.values():
        assert len(keys) <= 7
        assert len(keys) == 1 or sum(sizes[key] for key in keys) <= 200


@given(SIZES, st.randoms())
def test_the_order_of_the_clips_does_not_matter(sizes: dict[str, int], random):
    shuffled = items(sizes)
    random.shuffle(shuffled)
    assert place(shuffled, {}, **LIMITS) == place(items(sizes), {}, **LIMITS)


@given(SIZES, SIZES)
def test_growth_changes_the_last_shard_at_most(sizes: dict[str, int], more: dict[str, int]):
    before = place(items(sizes), {}, **LIMITS)
    after = place(items({**more, **sizes}), numbers(before), **LIMITS)
    changed = [number for number in before if after[number] != before[number]]
    assert changed in ([], [len(before) - 1])
    assert sorted(key for keys in after.values() for key in keys) == sorted({**more, **sizes})


@given(SIZES, st.data())
def test_what_is_gone_leaves_the_others_where_they_are(sizes: dict[str, int], data: st.DataObject):
    before = place(items(sizes), {}, **LIMITS)
    gone = data.draw(st.sets(st.sampled_from(sorted(sizes)))) if sizes else set()
    left = {key: nbytes for key, nbytes in sizes.items() if key not in gone}
    after = place(items(left), numbers(before), **LIMITS)
    assert after == {n: kept for n, keys in before.items() if (kept := [key for key in keys if key not in gone])}


def test_one_percent_more_changes_one_shard_of_ten():
    sizes = {f"clip-{number}": 1 for number in range(9_500)}
    before = place(items(sizes), {}, max_bytes=10**9, max_clips=1000)
    more = {f"new-{number}": 1 for number in range(95)}
    after = place(items({**sizes, **more}), numbers(before), max_bytes=10**9, max_clips=1000)
    assert [number for number in after if after[number] != before.get(number)] == [9]


def test_a_key_that_comes_twice_is_refused():
    with pytest.raises(ParameterError, match="'a'"):
        place([Item(key="a", nbytes=1), Item(key="a", nbytes=2)], {}, **LIMITS)
