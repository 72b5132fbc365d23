"""`tf.train.Example` and `SequenceExample`: golden bytes, and what is not one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tfrecord_tools import chunk, example, feature, features, sequence

from avagent.core.errors import FailureReason, ShardError
from avagent.shards.tfrecord.examples import (
    Feature,
    bytes_feature,
    bytes_values,
    change_example,
    example_bytes,
    list_values,
    parse_example,
    text_value,
)

# {"mp4": b"\x00"}, written by hand: Example.features > Features.feature > (key, value > bytes_list > value).
GOLDEN = bytes.fromhex("0a0e 0a0c 0a03 6d7034 1205 0a03 0a01 00")

values = st.binary(max_size=200) | st.integers(0, 1 << 62) | st.floats(width=32) | st.lists(st.binary(max_size=9))
maps = st.dictionaries(st.text(max_size=12).filter(lambda name: name != "avagent/record"), values, max_size=6)


def test_golden_bytes():
    assert example({"mp4": b"\0"}) == GOLDEN
    assert example_bytes([bytes_feature("mp4", b"\0")]) == GOLDEN
    (found,) = parse_example(GOLDEN).features
    assert found == Feature(name="mp4", value=GOLDEN[11:])
    assert bytes_values(found) == (b"\0",)


@given(maps, st.dictionaries(st.text(max_size=9), st.lists(st.binary(max_size=9) | st.integers(0, 9)), max_size=3))
def test_what_is_read_is_what_was_written(context, lists):
    found = parse_example(sequence(context, lists))
    assert [(f.name, f.value) for f in found.features] == [(n, feature(v)) for n, v in context.items()]
    assert [f.name for f in found.lists] == list(lists)
    for item, steps in zip(found.lists, lists.values(), strict=True):
        assert list_values(item) == tuple(step for step in steps if isinstance(step, bytes))


@given(maps, st.binary(max_size=50))
def test_a_change_leaves_all_else_as_it_was(context, data):
    context = {**context, "mp4": b"old", "last": 1}
    changed = change_example(example(context), [bytes_feature("mp4", data)], removed="last")
    assert changed == example({**{n: v for n, v in context.items() if n != "last"}, "mp4": data})


@given(maps, st.binary(max_size=50))
def test_an_example_behind_another_adds_to_it(context, data):
    whole = example(context) + example_bytes([bytes_feature("avagent/record", data)])
    assert [f.name for f in parse_example(whole).features] == [*context, "avagent/record"]


def test_unknown_fields_are_carried_through():
    extra = chunk(7, b"from a later version")
    changed = change_example(GOLDEN + extra, [bytes_feature("mp4", b"new")])
    assert changed == example({"mp4": b"new"}) + extra


def test_texts():
    texts = {"a": b"caf\xc3\xa9", "b": b"\xff", "c": 12, "d": b"", "e": []}
    found = parse_example(example(texts))
    assert [text_value(f) for f in found.features] == ["café", "\\xff", "12", None, None]


@pytest.mark.parametrize(
    "data", [b"hello, world", b"\xff" * 9, chunk(5, b"x"), GOLDEN[:-1], b'{"mp4": 0}', chunk(1, b"x")]
)
def test_what_is_no_example(data):
    with pytest.raises(ShardError, match=r"neither a tf\.train\.Example nor a SequenceExample") as caught:
        parse_example(data)
    assert caught.value.reason == FailureReason.UNSUPPORTED_RECORD


def test_a_name_that_occurs_twice():
    with pytest.raises(ShardError, match="two features 'a'") as caught:
        parse_example(chunk(1, features({"a": b"1"}) + features({"a": b"2"})))
    assert caught.value.reason == FailureReason.DUPLICATE_MEMBER


@pytest.mark.parametrize("read", [bytes_values, list_values, text_value])
def test_a_feature_that_is_none(read):
    with pytest.raises(ShardError, match="'a' cannot be parsed"):
        read(Feature(name="a", value=b"\xff\xff"))
