"""Samples as records and records as samples, nothing lost either way.

A sample's members become features of the same suffix (`mp4`, `json`), its key the feature `__key__`, its record
(`avagent.json`) the feature `avagent/record`. Back, they are the same members in the same order.

A record that is not of this simple kind (numbers, lists of pictures, names with slashes) becomes a sample with its
media as members, and one member `tfrecord.pb` more: the record itself, its media taken out, with a feature
`avagent/members` that says where they belong. Back, they are put in their places, be they repaired by then or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import ConfigDict, TypeAdapter, ValidationError

from avagent.core.clip import RECORD_SUFFIX, Clip, Member
from avagent.core.errors import FailureReason, ShardError
from avagent.shards.names import unsafe_name
from avagent.shards.samples import safe_key, split_member
from avagent.shards.tfrecord.examples import (
    Feature,
    bytes_feature,
    bytes_feature_list,
    bytes_values,
    change_example,
    example_bytes,
    list_values,
    parse_example,
)
from avagent.shards.tfrecord.records import RECORD_FEATURE, RecordSample

KEY_FEATURE = "__key__"
REST_SUFFIX = "tfrecord.pb"
MEMBERS_FEATURE = "avagent/members"
_TAKEN_NAMES = (KEY_FEATURE, MEMBERS_FEATURE, RECORD_FEATURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """A feature whose values are members: their suffixes, in order; of a feature list, one value a step."""

    name: str
    suffixes: tuple[str, ...]
    in_list: bool


_TAKEN: TypeAdapter[tuple[_Taken, ...]] = TypeAdapter(tuple[_Taken, ...], config=ConfigDict(extra="forbid"))


def record_of(clip: Clip) -> bytes:
    """A sample as a serialized `tf.train.Example`, or as the record that it once was.

    Raises:
        ShardError: its `tfrecord.pb` is not one that :func:`members_of` made, or misses a member; or a member's suffix
            has another meaning in a record.
    """
    data = {_suffix(clip.key, member): member.data for member in clip.members}
    if taken := sorted(name for name in data if name in _TAKEN_NAMES or name.lower() == REST_SUFFIX != name):
        raise ShardError(
            f"clip {clip.key!r}: a member cannot be called {taken[0]!r} in a record, where that name has another"
            " meaning: rename it",
            reason=FailureReason.UNSUPPORTED_RECORD,
        )
    rest = data.pop(REST_SUFFIX, None)
    if rest is not None:
        return _restored(clip.key, rest, data)
    features = [bytes_feature(KEY_FEATURE, clip.key.encode())]
    return example_bytes([*features, *(_feature(suffix, value) for suffix, value in data.items())])


def members_of(sample: RecordSample, shard: str) -> tuple[str, tuple[tuple[str, bytes], ...]]:
    """A record as (key, (suffix, data) of each member). Raises ShardError: a feature cannot be parsed."""
    plain = _plain_members(sample)
    if plain is not None:
        return sample.key, plain
    taken = list(_media_features(sample))
    data = change_example(
        sample.data,
        [Feature(name=t.name, value=b"") for t in taken if not t.in_list],
        lists=[Feature(name=t.name, value=b"") for t in taken if t.in_list],
    )
    data += example_bytes([bytes_feature(MEMBERS_FEATURE, _TAKEN.dump_json(tuple(taken)))])
    by_suffix = {member.suffix: member.data for member in sample.members}
    found = [(suffix, by_suffix[suffix]) for t in taken for suffix in t.suffixes if suffix != RECORD_SUFFIX]
    record = sample.example.get(RECORD_FEATURE)
    last = [(RECORD_SUFFIX, bytes_values(record)[0])] if record and any(t.name == RECORD_FEATURE for t in taken) else []
    key = safe_key(sample.ref(shard, sample.clip()), unique=True)
    return key, (*found, (REST_SUFFIX, data), *last)


def _suffix(key: str, member: Member) -> str:
    """As written: letters keep their case."""
    return member.name[len(key) + 1 :]


def _feature(suffix: str, data: bytes) -> Feature:
    return bytes_feature(RECORD_FEATURE if suffix == RECORD_SUFFIX else suffix, data)


def _plain_members(sample: RecordSample) -> tuple[tuple[str, bytes], ...] | None:
    """The members of a record that :func:`record_of` could have made, else None."""
    first, *features = sample.example.features
    if sample.example.lists or first != bytes_feature(KEY_FEATURE, sample.key.encode()):
        return None
    if safe_key(sample.ref("", sample.clip())) != sample.key:
        return None
    members: list[tuple[str, bytes]] = []
    for feature in features:
        suffix = RECORD_SUFFIX if feature.name == RECORD_FEATURE else feature.name
        values = bytes_values(feature)
        if len(values) != 1 or feature != bytes_feature(feature.name, values[0]) or not _is_suffix(sample.key, suffix):
            return None
        members.append((suffix, values[0]))
    folded = {suffix.lower() for suffix, _ in members}
    return tuple(members) if len(folded) == len(members) and REST_SUFFIX not in folded else None


def _is_suffix(key: str, name: str) -> bool:
    """Whether a tar can have a member `KEY.NAME` that is read as such."""
    member = f"{key}.{name}"
    return split_member(member) == (key, name.lower()) and unsafe_name(member) is None


def _media_features(sample: RecordSample) -> Iterator[_Taken]:
    """The features whose values can be taken out and put back as they were."""
    for feature in sample.example.features:
        values = [m for m in sample.members if _is_of(m, feature.name)]
        if feature.name == RECORD_FEATURE and len(bytes_values(feature)) == 1:
            yield _Taken(name=feature.name, suffixes=(RECORD_SUFFIX,), in_list=False)
        elif values and feature == bytes_feature(feature.name, *(m.data for m in values)):
            yield _Taken(name=feature.name, suffixes=tuple(m.suffix for m in values), in_list=False)
    for feature in sample.example.lists:
        values = [m for m in sample.members if _is_of(m, feature.name)]
        if values and feature == bytes_feature_list(feature.name, list_values(feature)):
            yield _Taken(name=feature.name, suffixes=tuple(m.suffix for m in values), in_list=True)


def _is_of(member: Member, feature: str) -> bool:
    """Whether a member is media out of this feature."""
    name, _, number = member.name.rpartition("/")
    return ":" not in member.suffix and (member.name == feature or (name == feature and number.isdigit()))


def _restored(key: str, rest: bytes, data: Mapping[str, bytes]) -> bytes:
    taken = _taken(key, parse_example(rest).get(MEMBERS_FEATURE))
    used = {suffix for feature in taken for suffix in feature.suffixes}
    if missing := sorted(used - set(data)):
        raise _broken(key, f"misses the member {missing[0]!r}")
    values = {feature.name: [data[suffix] for suffix in feature.suffixes] for feature in taken}
    record = change_example(
        rest,
        [bytes_feature(t.name, *values[t.name]) for t in taken if not t.in_list],
        lists=[bytes_feature_list(t.name, values[t.name]) for t in taken if t.in_list],
        removed=MEMBERS_FEATURE,
    )
    added = [_feature(suffix, value) for suffix, value in data.items() if suffix not in used]
    return record + (example_bytes(added) if added else b"")


def _taken(key: str, feature: Feature | None) -> tuple[_Taken, ...]:
    values = bytes_values(feature) if feature is not None else ()
    try:
        return _TAKEN.validate_json(values[0] if values else b"")
    except ValidationError as error:
        raise _broken(key, f"has no usable feature {MEMBERS_FEATURE!r}: {error.errors()[0]['msg']}") from error


def _broken(key: str, what: str) -> ShardError:
    return ShardError(f"clip {key!r}: its member {REST_SUFFIX!r} {what}", reason=FailureReason.UNSUPPORTED_RECORD)
