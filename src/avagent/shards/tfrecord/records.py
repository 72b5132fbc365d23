"""TFRecord shards: a record is a clip, its features are the members.

Which features hold key, media, separate sound and pictures is a :class:`FieldMapping`. All others are members as
well, opaque, under a suffix that no media has: they take part in the content hash and are carried through. What cannot
be used is a :class:`BadSample`, so that clips in = good records + bad records, always.

A gzip file has no random access: offsets are those of what it expands to, and reading one clip again expands the file
up to it. The worker's media store makes that rare; plain files are the better choice for large shards.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Never

from avagent import storage
from avagent.core.clip import AUDIO_SUFFIXES, RECORD_SUFFIX, VIDEO_SUFFIXES, Clip, ClipRef, Member, content_hash
from avagent.core.errors import ClipError, FailureReason, ParameterError, ShardError
from avagent.shards.limits import DEFAULT_LIMITS, ShardLimits
from avagent.shards.media_names import media_suffix
from avagent.shards.samples import (
    BadSample,
    LoadedClip,
    ShardItem,
    ShardSummary,
    changed_since_listed,
    shard_stem,
    unreadable,
)
from avagent.shards.tfrecord.examples import Example, Feature, bytes_values, list_values, parse_example, text_value
from avagent.shards.tfrecord.frames import Frame, read_frame, read_frames, read_stream

RECORD_FEATURE = "avagent/record"
_SHOWN_FEATURES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMapping:
    """Which features of a record are what: of each list, the first that the record has.

    Attributes:
        key: the clip's key, bytes or an integer; a record without it is named after shard and position.
        media: an encoded container, or sound, in one byte string.
        audio: encoded sound apart from the container, which it takes precedence over.
        frames: encoded pictures, a feature of several byte strings or a feature list.
    """

    key: tuple[str, ...] = ("__key__", "example/id", "clip/media_id", "video_id", "clip/data_path", "key")
    media: tuple[str, ...] = ("clip/encoded_media_bytes", "video/encoded", "video", *VIDEO_SUFFIXES)
    audio: tuple[str, ...] = ("audio/encoded", "audio", *AUDIO_SUFFIXES)
    frames: tuple[str, ...] = ("image/encoded",)

    def __post_init__(self) -> None:
        media = (*self.media, *self.audio, *self.frames)
        if not (*self.media, *self.audio):
            raise ParameterError("name at least one feature that holds media, or sound")
        twice = [name for name, count in Counter(media).items() if count > 1]
        if twice or RECORD_FEATURE in (*media, *self.key) or "" in (*media, *self.key):
            raise ParameterError(f"a feature can be one of media, audio and frames, and has a name, got {self}")


DEFAULT_FIELDS = FieldMapping()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSample:
    """One good record.

    Attributes:
        data: the record as it is, without its frame.
        example: what it holds.
        members: the same as the members of a clip.
    """

    key: str
    index: int
    offset: int
    length: int
    data: bytes
    example: Example
    members: tuple[Member, ...]

    def clip(self) -> Clip:
        """Its members."""
        return Clip(key=self.key, members=self.members)

    def ref(self, shard: str, clip: Clip) -> ClipRef:
        """Its reference."""
        return ClipRef(
            key=self.key,
            shard=shard,
            offset=self.offset,
            length=self.length,
            content_sha256=content_hash(clip.members),
            index=self.index,
        )


def iter_records(
    shard: str, limits: ShardLimits = DEFAULT_LIMITS, fields: FieldMapping = DEFAULT_FIELDS
) -> Iterator[RecordSample | BadSample]:
    """All that a shard holds, in order, in one pass; one record in memory at a time.

    Raises:
        OSError: the shard cannot be opened or read; what cannot be *parsed* is a :class:`BadSample`.
    """
    seen: set[bytes] = set()
    for index, frame in enumerate(read_frames(shard, limits)):
        yield _sample(shard, frame, index, fields, seen, limits)


def _sample(
    shard: str, frame: Frame, index: int, fields: FieldMapping, seen: set[bytes], limits: ShardLimits
) -> RecordSample | BadSample:
    key, unique = numbered_key(shard, index), True
    try:
        if frame.data is None:
            raise _explained(frame, shard)
        example = parse_example(frame.data, limits.members)
        key = _key(example, fields, limits) or key
        digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
        unique = digest not in seen
        seen.add(digest)
        members = _members(example, fields, limits.members) if unique else _refuse_key(key)
    except ShardError as error:
        return _bad(shard, frame, index, error, key=key, unique=unique)
    return RecordSample(
        key=key,
        index=index,
        offset=frame.offset,
        length=frame.length,
        data=frame.data,
        example=example,
        members=members,
    )


def _refuse_key(key: str) -> Never:
    raise ShardError(
        f"the key {key!r} was already used by an earlier record of this shard; name a feature that tells clips apart in"
        " the recipe's tfrecord.key, or none ([]) to number them",
        reason=FailureReason.DUPLICATE_KEY,
    )


def numbered_key(shard: str, index: int) -> str:
    """The key of a record that has none."""
    return f"{shard_stem(shard)}-{index:06d}"


def _explained(frame: Frame, shard: str) -> ShardError:
    if frame.defect is None:
        raise ParameterError(f"a frame without data needs a defect, at byte {frame.offset} of {shard}")
    hint = ""
    if frame.defect.reason == FailureReason.UNREADABLE_SHARD:
        hint = "; of compressions, only gzip is supported"
    return ShardError(frame.defect.message + hint, reason=frame.defect.reason)


def _bad(shard: str, frame: Frame, index: int, error: ShardError, *, key: str, unique: bool) -> BadSample:
    whole = error.reason == FailureReason.UNREADABLE_SHARD
    where = shard if whole else f"clip {key!r} of {shard}"
    return BadSample(
        key=shard_stem(shard) if whole else key,
        shard=shard,
        index=index,
        offset=frame.offset,
        length=frame.length,
        copyable=frame.intact,
        failure=ShardError(f"{where}: {error}", reason=error.reason).failure(),
        unique=unique,
    )


def _key(example: Example, fields: FieldMapping, limits: ShardLimits) -> str | None:
    for name in fields.key:
        feature = example.get(name)
        if feature is not None and (text := text_value(feature, limits.header_bytes)):
            return text
    return None


def _members(example: Example, fields: FieldMapping, most: int) -> tuple[Member, ...]:
    """The features as members, by name: maps have no order of their own, and who writes them again may change it."""
    sounds = {
        member.name: member
        for names, audio in ((fields.media, False), (fields.audio, True))
        if (member := _medium(example, names, most, audio=audio))
    }
    if not sounds:
        raise _no_media(example, fields)
    frames, pictures = _find_pictures(example, fields, most)
    members: list[Member] = []
    for feature in sorted(example.features, key=_name):
        if feature.name in sounds:
            members.append(sounds[feature.name])
        elif feature.name == RECORD_FEATURE:
            members.append(Member(name=feature.name, suffix=RECORD_SUFFIX, data=feature.value))
        elif feature is not frames:
            members.append(Member(name=feature.name, suffix=f"{feature.name}:feature", data=feature.value))
    members += [
        Member(name=feature.name, suffix=f"{feature.name}:feature_list", data=feature.value)
        for feature in sorted(example.lists, key=_name)
        if feature is not frames
    ]
    return (*members, *pictures)


def _name(feature: Feature) -> str:
    return feature.name


def _find_pictures(example: Example, fields: FieldMapping, most: int) -> tuple[Feature | None, list[Member]]:
    """The feature, or feature list, that holds pictures; and these."""
    for name in fields.frames:
        for feature, values_of in ((example.get(name), bytes_values), (example.get_list(name), list_values)):
            if feature is not None and (values := values_of(feature, most)):
                return feature, _pictures(name, values)
    return None, []


def _medium(example: Example, names: tuple[str, ...], most: int, *, audio: bool) -> Member | None:
    """The first of these features that holds bytes."""
    for name in names:
        feature = example.get(name) or _by_suffix(example, name)
        values = bytes_values(feature, most) if feature is not None else ()
        if values == (b"",):  # stands for "none" where every record has every feature
            continue
        if len(values) > 1:
            raise ShardError(
                f"the feature {name!r} holds {len(values)} byte strings; media are one",
                reason=FailureReason.UNSUPPORTED_RECORD,
            )
        if feature is not None and values:
            return Member(name=feature.name, suffix=media_suffix(values[0], audio=audio), data=values[0])
    return None


def _by_suffix(example: Example, name: str) -> Feature | None:
    """The suffix of a member in other letters, as in `KEY.MP4`: a record keeps how it was written."""
    if name not in (*VIDEO_SUFFIXES, *AUDIO_SUFFIXES):
        return None
    return next((feature for feature in example.features if feature.name.lower() == name), None)


def _pictures(name: str, values: tuple[bytes, ...]) -> list[Member]:
    return [
        Member(name=f"{name}/{number:06d}", suffix=f"{number:06d}.{_picture_suffix(data)}", data=data)
        for number, data in enumerate(values)
    ]


def _no_media(example: Example, fields: FieldMapping) -> ShardError:
    names = [feature.name for feature in example.features]
    shown = ", ".join(names[:_SHOWN_FEATURES]) + (", ..." if len(names) > _SHOWN_FEATURES else "")
    return ShardError(
        f"the record has no media: expected one of the features {', '.join((*fields.media, *fields.audio))}, found"
        f" {shown or 'no features'}; name the right one with --set 'tfrecord.media=[NAME]'",
        reason=FailureReason.NO_MEDIA,
    )


def _picture_suffix(data: bytes) -> str:
    if data.startswith(b"\xff\xd8"):
        return "jpg"
    return "png" if data.startswith(b"\x89PNG") else "picture"


def read_shard(
    shard: str, limits: ShardLimits = DEFAULT_LIMITS, fields: FieldMapping = DEFAULT_FIELDS
) -> Iterator[ShardItem]:
    """The clips of a shard with their references, and what is bad, in order, in one pass."""
    index = 0
    try:
        for item in iter_records(shard, limits, fields):
            index = item.index + 1
            if isinstance(item, BadSample):
                yield item
            else:
                clip = item.clip()
                yield LoadedClip(ref=item.ref(shard, clip), clip=clip)
    except OSError as error:
        yield unreadable(shard, error, index)


def read_clip(ref: ClipRef, limits: ShardLimits = DEFAULT_LIMITS, fields: FieldMapping = DEFAULT_FIELDS) -> Clip:
    """One clip by its byte range; of a gzip file, all before it is expanded.

    Raises:
        ShardError: the range cannot be read, or holds something else than when it was listed.
    """
    try:
        data = read_stream(ref.shard, ref.offset, ref.length)
    except OSError as error:
        message = f"clip {ref.key!r} of {ref.shard}: {error}"
        raise ShardError(message, reason=FailureReason.UNREADABLE_SHARD) from error
    frame = read_frame(io.BytesIO(data), len(data), limits)
    try:
        if frame is None or frame.data is None:
            raise changed_since_listed(ref)
        members = _members(parse_example(frame.data, limits.members), fields, limits.members)
    except ClipError as error:
        raise changed_since_listed(ref) from error
    if content_hash(members) != ref.content_sha256:
        raise changed_since_listed(ref)
    return Clip(key=ref.key, members=members)


def inspect_shard(
    shard: str, limits: ShardLimits = DEFAULT_LIMITS, fields: FieldMapping = DEFAULT_FIELDS, *, keys: int = 10
) -> ShardSummary:
    """What is in a shard, with at most `keys` names of each sort. Raises OSError."""
    counts: Counter[str] = Counter()
    nbytes: Counter[str] = Counter()
    clips, first, bad = 0, list[str](), list[BadSample]()
    for item in iter_records(shard, limits, fields):
        if isinstance(item, BadSample):
            bad.append(item)
            continue
        clips += 1
        first += [item.key] if len(first) < keys else []
        for member in item.members:
            label = _label(member)
            counts[label] += 1
            nbytes[label] += len(member.data)
    return ShardSummary(
        shard=shard,
        clips=clips,
        nbytes=storage.size(shard),
        suffixes=tuple((label, count, nbytes[label]) for label, count in counts.most_common()),
        bad=tuple(bad),
        first_keys=tuple(first),
    )


def _label(member: Member) -> str:
    """A feature's name, and what it was taken for."""
    kind = member.suffix.rsplit(":", 1)[-1] if ":" in member.suffix else member.suffix
    name = member.name.rpartition("/")[0] if member.suffix[:6].isdigit() else member.name
    return f"{name} ({kind.rpartition('.')[-1] if name != member.name else kind})"
