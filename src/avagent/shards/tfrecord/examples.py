"""`tf.train.Example` and `tf.train.SequenceExample` without TensorFlow, by protobuf's own library.

Both are one message here: the features of an Example and the context of a SequenceExample are field 1, the feature
lists of the latter are field 2. Maps are declared as what they are on the wire, repeated entries, and a feature as
bytes: thus the order and every byte of the features that are not ours survive. Reference: TensorFlow,
`tensorflow/core/example/example.proto` and `feature.proto`; protocol buffers encoding, "Maps", "Last One Wins".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from avagent.core.errors import FailureReason, ShardError
from avagent.shards.limits import limit_defect
from avagent.shards.tfrecord.wire_fields import count_fields

_PACKAGE = "avagent.tfrecord"
_SPARE_FIELDS = 64
_BYTES, _INT64, _MESSAGE = 12, 3, 11  # FieldDescriptorProto.Type
_OPTIONAL, _REPEATED = 1, 3  # FieldDescriptorProto.Label

# Message: (field, number, label, type, name of the message's type)
_SCHEMA: dict[str, tuple[tuple[str, int, int, int, str], ...]] = {
    "Record": (
        ("features", 1, _OPTIONAL, _MESSAGE, "Map"),
        ("feature_lists", 2, _OPTIONAL, _MESSAGE, "Map"),
    ),
    "Map": (("entry", 1, _REPEATED, _MESSAGE, "Entry"),),
    "Entry": (("key", 1, _OPTIONAL, _BYTES, ""), ("value", 2, _OPTIONAL, _BYTES, "")),
    "Feature": (
        ("bytes_list", 1, _OPTIONAL, _MESSAGE, "BytesList"),
        ("int64_list", 3, _OPTIONAL, _MESSAGE, "Int64List"),
    ),
    # A feature of which only byte strings are wanted: packed numbers would grow eightfold when parsed.
    "BytesFeature": (("bytes_list", 1, _OPTIONAL, _MESSAGE, "BytesList"),),
    "BytesList": (("value", 1, _REPEATED, _BYTES, ""),),
    "Int64List": (("value", 1, _REPEATED, _INT64, ""),),
    "FeatureList": (("feature", 1, _REPEATED, _MESSAGE, "BytesFeature"),),
}


@cache
def _messages() -> dict[str, Any]:
    """Message classes by name, in a pool of their own: TensorFlow's may be loaded beside them."""
    file = descriptor_pb2.FileDescriptorProto(name="avagent/tfrecord.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, number, label, kind, of in fields:
            declared: Any = message.field.add()
            declared.name, declared.number, declared.label, declared.type = field, number, label, kind
            if of:
                declared.type_name = f".{_PACKAGE}.{of}"
    pool: Any = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _SCHEMA}


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A named feature, or list of features: what it holds, as it is on the wire."""

    name: str
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A record's content, in its order.

    Attributes:
        features: of an Example, or the context of a SequenceExample.
        lists: the feature lists of a SequenceExample.
    """

    features: tuple[Feature, ...]
    lists: tuple[Feature, ...] = ()

    def get(self, name: str) -> Feature | None:
        """The feature of this name."""
        return next((feature for feature in self.features if feature.name == name), None)

    def get_list(self, name: str) -> Feature | None:
        """The feature list of this name."""
        return next((feature for feature in self.lists if feature.name == name), None)


def parse_example(data: bytes, most: int | None = None) -> Example:
    """The content of a record.

    Args:
        data: the record without its frame.
        most: features and feature lists at most; None: any number.

    Raises:
        ShardError: it is neither an Example nor a SequenceExample, a name occurs twice, or there are too many.
    """
    _check_count(data, most, "the record", depth=2)
    record = _parse("Record", data, "the record is neither a tf.train.Example nor a SequenceExample")
    if not record.HasField("features") and not record.HasField("feature_lists") and len(UnknownFieldSet(record)):
        raise ShardError(
            "the record is neither a tf.train.Example nor a SequenceExample: none of its fields is known",
            reason=FailureReason.UNSUPPORTED_RECORD,
        )
    if most is not None and len(record.features.entry) + len(record.feature_lists.entry) > most:
        raise _over_limit(f"the record has more than {most} features", "members")
    return Example(features=_entries(record.features.entry), lists=_entries(record.feature_lists.entry))


def _entries(entries: Iterable[Any]) -> tuple[Feature, ...]:
    found: dict[bytes, Feature] = {}
    for entry in entries:
        key = bytes(entry.key)
        name = key.decode("utf-8", "backslashreplace")
        if key in found:
            raise ShardError(f"the record has two features {name!r}", reason=FailureReason.DUPLICATE_MEMBER)
        found[key] = Feature(name=name, value=bytes(entry.value))
    return tuple(found.values())


def bytes_values(feature: Feature, most: int | None = None) -> tuple[bytes, ...]:
    """The byte strings that a feature holds, `most` at most; none if it is empty or holds numbers.

    Raises:
        ShardError: it is no feature, or there are too many.
    """
    _check_count(feature.value, most, f"the feature {feature.name!r}", depth=2)
    parsed = _parse("BytesFeature", feature.value, f"the feature {feature.name!r} cannot be parsed")
    return tuple(bytes(value) for value in parsed.bytes_list.value)


def list_values(feature: Feature, most: int | None = None) -> tuple[bytes, ...]:
    """The byte strings of a feature list, in order. Raises ShardError as :func:`bytes_values`."""
    _check_count(feature.value, most, f"the feature list {feature.name!r}", depth=3)
    parsed = _parse("FeatureList", feature.value, f"the feature list {feature.name!r} cannot be parsed")
    return tuple(bytes(value) for step in parsed.feature for value in step.bytes_list.value)


def text_value(feature: Feature, most: int | None = None) -> str | None:
    """The first value of a feature as text: a byte string or an integer; None: it has none.

    Raises:
        ShardError: it is no feature, or has more than `most` bytes.
    """
    if most is not None and len(feature.value) > most:
        raise _over_limit(
            f"the feature {feature.name!r}, which holds the key, has {len(feature.value)} bytes, over the limit of"
            f" {most}",
            "header_bytes",
        )
    parsed = _parse("Feature", feature.value, f"the feature {feature.name!r} cannot be parsed")
    if parsed.bytes_list.value:
        return bytes(parsed.bytes_list.value[0]).decode("utf-8", "backslashreplace") or None
    return str(parsed.int64_list.value[0]) if parsed.int64_list.value else None


def bytes_feature(name: str, *data: bytes) -> Feature:
    """A feature that holds byte strings."""
    feature = _messages()["Feature"]()
    feature.bytes_list.value.extend(data)
    return Feature(name=name, value=feature.SerializeToString())


def bytes_feature_list(name: str, data: Iterable[bytes]) -> Feature:
    """A feature list of one byte string a step."""
    steps = _messages()["FeatureList"]()
    for value in data:
        steps.feature.add().bytes_list.value.append(value)
    return Feature(name=name, value=steps.SerializeToString())


def example_bytes(features: Sequence[Feature]) -> bytes:
    """An Example with these features, in this order; put behind another, it adds them to that one."""
    record = _messages()["Record"]()
    _extend(record.features, features)
    return record.SerializeToString()


def change_example(
    data: bytes, replaced: Sequence[Feature], *, lists: Sequence[Feature] = (), removed: str | None = None
) -> bytes:
    """A record with features replaced by those of the same name, and one taken away; all else as it was.

    Args:
        data: of an Example or SequenceExample that :func:`parse_example` takes.
        replaced: for features of the same name.
        lists: for feature lists of the same name.
        removed: name of a feature.
    """
    record = _parse("Record", data, "the record cannot be parsed")
    for entries, changed in ((record.features.entry, replaced), (record.feature_lists.entry, lists)):
        values = {feature.name.encode(): feature.value for feature in changed}
        for entry in entries if values else ():
            if entry.key in values:
                entry.value = values[entry.key]
    if removed is not None:
        _remove(record.features.entry, removed.encode())
    return record.SerializeToString()


def _remove(entries: Any, key: bytes) -> None:
    for index in reversed(range(len(entries))):
        if entries[index].key == key:
            del entries[index]


def _check_count(data: bytes, most: int | None, what: str, *, depth: int) -> None:
    """Raise for far more values than there may be, before any is parsed: each would cost 100 bytes and more.

    A value is one field at each level, and whoever puts messages one behind another repeats the upper ones.
    """
    if most is not None and count_fields(data, bound := depth * most + _SPARE_FIELDS, depth) > bound:
        raise _over_limit(f"{what} has more than {most} values", "members")


def _over_limit(message: str, limit: str) -> ShardError:
    defect = limit_defect(message, limit)
    return ShardError(defect.message, reason=defect.reason)


def _extend(target: Any, features: Sequence[Feature]) -> None:
    for feature in features:
        target.entry.add(key=feature.name.encode(), value=feature.value)


def _parse(name: str, data: bytes, what: str) -> Any:
    try:
        return _messages()[name].FromString(data)
    except DecodeError as error:
        raise ShardError(f"{what}: {error}", reason=FailureReason.UNSUPPORTED_RECORD) from error
