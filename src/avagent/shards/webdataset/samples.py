"""WebDataset shards: samples out of tar archives, with the byte range of each.

The rules are those of the `webdataset` package: the first dot of the basename ends the key (folders belong to it), the
rest is the suffix, in lower case; the members of a sample are adjacent; a suffix appears once in a sample. Entries
without a key (no dot, a leading dot, folders) and entries named `__*__` belong to no sample; they are kept where a
shard is rewritten. What breaks a rule is a :class:`BadSample`, so that clips in = good samples + bad samples, always.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from avagent import storage
from avagent.core.clip import Clip, ClipRef, content_hash
from avagent.core.errors import FailureReason, ShardError
from avagent.shards.compression import Expanded, has_gzip_magic, iter_range, open_stream, skip
from avagent.shards.limits import DEFAULT_LIMITS, Defect, ShardLimits, limit_defect
from avagent.shards.media_names import DEFAULT_SUFFIXES, SuffixMapping
from avagent.shards.samples import (
    BadSample,
    LoadedClip,
    Loose,
    Sample,
    ShardItem,
    ShardSummary,
    changed_since_listed,
    shard_stem,
    split_member,
    unreadable,
)
from avagent.shards.webdataset.tar_reader import Entry, read_entries
from avagent.storage import ByteSource

_UNCOPYABLE = (
    FailureReason.UNSAFE_MEMBER,
    FailureReason.TRUNCATED_SHARD,
    FailureReason.UNREADABLE_SHARD,
    FailureReason.DUPLICATE_KEY,
    FailureReason.DUPLICATE_MEMBER,
)
_PACKED = (b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")
"""How zstd, bzip2 and xz begin."""


@dataclass(slots=True)
class _Group:
    """A sample under way."""

    key: str
    offset: int
    end: int
    entries: list[Entry] = field(default_factory=list[Entry])
    suffixes: set[str] = field(default_factory=set[str])
    defect: Defect | None = None
    copyable: bool = True
    unique: bool = True


class _Grouper:
    """Puts entries together into samples."""

    def __init__(self, shard: str, limits: ShardLimits, suffixes: SuffixMapping) -> None:
        self._shard = shard
        self._suffixes = suffixes
        self._limits = limits
        self._seen: set[bytes] = set()
        self._index = 0
        self._group: _Group | None = None
        self._gap: list[Entry] = []
        self._gap_bytes = 0

    def add(self, entry: Entry) -> Iterator[Sample | BadSample | Loose]:
        parts = None if entry.directory else split_member(entry.name)
        if parts is None and entry.defect is None:
            if self._group is None:
                yield Loose(entry=entry)
            else:
                self._gap.append(entry)
                self._gap_bytes += entry.length
            if self._gap_bytes > self._limits.sample_bytes or len(self._gap) > self._limits.members:
                yield from self.flush()
            return
        key, suffix = parts if parts is not None else (entry.name or shard_stem(self._shard), None)
        if self._group is None or self._group.key != key or suffix is None:
            yield from self.flush()
            self._group = self._open(key, entry.offset)
        self._extend(self._group, entry, suffix)

    def flush(self) -> Iterator[Sample | BadSample | Loose]:
        group, gap = self._group, self._gap
        self._group, self._gap, self._gap_bytes = None, [], 0
        if group is not None:
            yield self._close(group)
        for entry in gap:
            yield Loose(entry=entry)

    def broken(self, error: ShardError, at: int, total: int) -> BadSample:
        """The sample under way and all that follows cannot be read."""
        group = self._group or self._open(shard_stem(self._shard), at)
        group.defect = Defect(reason=error.reason, message=str(error))
        group.end = total
        group.copyable = False
        return self._bad(group, group.defect)

    def _open(self, key: str, offset: int) -> _Group:
        group = _Group(key=key, offset=offset, end=offset)
        digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
        group.unique = digest not in self._seen
        if not group.unique:
            message = f"the key {key!r} was already used by an earlier sample of this shard"
            group.defect = Defect(reason=FailureReason.DUPLICATE_KEY, message=message)
        self._seen.add(digest)
        return group

    def _extend(self, group: _Group, entry: Entry, suffix: str | None) -> None:
        follows = entry.offset == group.end + self._gap_bytes
        group.entries += [*self._gap, entry]
        self._gap, self._gap_bytes = [], 0
        group.end = entry.offset + entry.length
        defect = entry.defect or self._rule_broken(group, entry, suffix)
        if suffix is not None:
            group.suffixes.add(suffix)
        group.defect = group.defect or defect
        # Zero blocks between its members would end the archive that it is copied into.
        group.copyable = group.copyable and follows and (defect is None or defect.reason not in _UNCOPYABLE)
        if group.defect is not None:
            group.entries.clear()

    def _rule_broken(self, group: _Group, entry: Entry, suffix: str | None) -> Defect | None:
        if suffix in group.suffixes:
            message = f"the sample has two members with the suffix {suffix!r}; the second is {entry.name!r}"
            return Defect(reason=FailureReason.DUPLICATE_MEMBER, message=message)
        if len(group.suffixes) >= self._limits.members:
            return limit_defect(f"the sample has more than {self._limits.members} members", "members")
        if group.end - group.offset > self._limits.sample_bytes:
            return limit_defect(f"the sample is larger than {self._limits.sample_bytes} bytes", "sample_bytes")
        return None

    def _close(self, group: _Group) -> Sample | BadSample:
        if group.defect is not None:
            return self._bad(group, group.defect)
        sample = Sample(
            key=group.key,
            index=self._index,
            offset=group.offset,
            length=group.end - group.offset,
            entries=tuple(group.entries),
            suffixes=self._suffixes,
        )
        self._index += 1
        return sample

    def _bad(self, group: _Group, defect: Defect) -> BadSample:
        whole = defect.reason == FailureReason.UNREADABLE_SHARD
        where = self._shard if whole else f"clip {group.key!r} of {self._shard}"
        error = ShardError(f"{where}: {defect.message}", reason=defect.reason)
        bad = BadSample(
            key=group.key,
            shard=self._shard,
            index=self._index,
            offset=group.offset,
            length=group.end - group.offset,
            copyable=group.copyable and defect.reason not in _UNCOPYABLE,
            failure=error.failure(),
            unique=group.unique,
        )
        self._index += 1
        return bad


def iter_samples(
    shard: str, limits: ShardLimits = DEFAULT_LIMITS, suffixes: SuffixMapping = DEFAULT_SUFFIXES
) -> Iterator[Sample | BadSample | Loose]:
    """All that a shard holds, in order, in one pass; one sample in memory at a time.

    Raises:
        OSError: the shard cannot be opened or read; what cannot be *parsed* is a :class:`BadSample`.
    """
    compressed = is_gzip(shard)
    total = None if compressed else storage.size(shard)
    with open_stream(shard, limits, compressed=compressed) as source:
        yield from samples_in(source, total, shard, limits, suffixes)


def samples_in(
    source: ByteSource,
    total: int | None,
    shard: str,
    limits: ShardLimits = DEFAULT_LIMITS,
    suffixes: SuffixMapping = DEFAULT_SUFFIXES,
) -> Iterator[Sample | BadSample | Loose]:
    """As :func:`iter_samples`, of `total` bytes (None: not known) from `source`; `shard` is for messages."""
    grouper = _Grouper(shard, limits, suffixes)
    at = 0
    try:
        for entry in read_entries(source, total, limits):
            at = entry.offset + entry.length
            yield from grouper.add(entry)
        if fault := _fault(source, at):
            raise fault
    except ShardError as error:
        why = _fault(source, at) or _explained(error, shard)
        yield grouper.broken(why, at, _end(source, total, at, limits))
        return
    if total == 0:
        empty = ShardError("the file is empty, not a tar archive", reason=FailureReason.UNREADABLE_SHARD)
        yield grouper.broken(empty, 0, 0)
        return
    yield from grouper.flush()


def is_gzip(shard: str) -> bool:
    """Whether a shard is compressed, by its first bytes. Raises OSError."""
    return has_gzip_magic(storage.read_range(shard, 0, 4))


def iter_stream(shard: str, offset: int, length: int) -> Iterator[bytes]:
    """A range of the expanded archive in blocks; a compressed one is read from its start. Raises OSError."""
    return iter_range(shard, offset, length, compressed=is_gzip(shard))


def _fault(source: ByteSource, at: int) -> ShardError | None:
    """Why a compressed stream ended early; None: it did not."""
    if not isinstance(source, Expanded) or source.fault is None:
        return None
    if source.bomb is not None:
        return ShardError(f"{source.bomb.message}, at byte {at}", reason=source.bomb.reason)
    message = f"the compressed data break off, at byte {at} ({source.fault})"
    return ShardError(message, reason=FailureReason.TRUNCATED_SHARD)


def _end(source: ByteSource, total: int | None, at: int, limits: ShardLimits) -> int:
    """Where what cannot be read ends; what a compressed file expands to is not known, so what is kept has a bound."""
    if total is not None:
        return total
    seen = source.nbytes if isinstance(source, Expanded) else at
    return seen + skip(source, max(limits.sample_bytes - (seen - at), 0))


def read_shard(
    shard: str, limits: ShardLimits = DEFAULT_LIMITS, suffixes: SuffixMapping = DEFAULT_SUFFIXES
) -> Iterator[ShardItem]:
    """The clips of a shard with their references, and what is bad, in order, in one pass."""
    index = 0
    try:
        for item in iter_samples(shard, limits, suffixes):
            if isinstance(item, Loose):
                continue
            index = item.index + 1
            yield load(item, shard)
    except OSError as error:
        yield unreadable(shard, error, index)


def load(item: Sample | BadSample, shard: str) -> ShardItem:
    """A sample with its reference; what is bad stays as it is."""
    if isinstance(item, BadSample):
        return item
    clip = item.clip()
    return LoadedClip(ref=item.ref(shard, clip), clip=clip)


def read_clip(ref: ClipRef, limits: ShardLimits = DEFAULT_LIMITS, suffixes: SuffixMapping = DEFAULT_SUFFIXES) -> Clip:
    """One clip by its byte range; of a compressed shard, all before it is expanded.

    Raises:
        ShardError: the range cannot be read, or holds something else than when it was listed.
    """
    try:
        try:
            return _clip_in(storage.read_range(ref.shard, ref.offset, ref.length), ref, limits, suffixes)
        except (ShardError, OSError):
            # Asked only now: of a plain shard, every clip would cost a request more.
            if not is_gzip(ref.shard):
                raise
        return _clip_in(b"".join(iter_stream(ref.shard, ref.offset, ref.length)), ref, limits, suffixes)
    except OSError as error:
        message = f"clip {ref.key!r} of {ref.shard}: {error}"
        raise ShardError(message, reason=FailureReason.UNREADABLE_SHARD) from error


def _clip_in(data: bytes, ref: ClipRef, limits: ShardLimits, suffixes: SuffixMapping) -> Clip:
    changed = changed_since_listed(ref)
    try:
        entries = tuple(read_entries(io.BytesIO(data), len(data), limits))
    except ShardError as error:
        raise changed from error
    clip = Sample(
        key=ref.key, index=ref.index, offset=ref.offset, length=ref.length, entries=entries, suffixes=suffixes
    ).clip()
    if content_hash(clip.members) != ref.content_sha256:
        raise changed
    return clip


def _explained(error: ShardError, shard: str) -> ShardError:
    hint = ""
    if error.reason == FailureReason.UNREADABLE_SHARD and storage.read_range(shard, 0, 5).startswith(_PACKED):
        hint = "; it is compressed, and of compressions only gzip is read: decompress it first"
    return ShardError(f"{error}{hint}", reason=error.reason)


def inspect_shard(shard: str, limits: ShardLimits = DEFAULT_LIMITS, *, keys: int = 10) -> ShardSummary:
    """What is in a shard, with at most `keys` names of each sort. Raises OSError."""
    counts: Counter[str] = Counter()
    nbytes: Counter[str] = Counter()
    clips, first, bad, loose = 0, list[str](), list[BadSample](), list[str]()
    for item in iter_samples(shard, limits):
        match item:
            case Sample():
                clips += 1
                first += [item.key] if len(first) < keys else []
                for member in item.clip().members:
                    counts[member.suffix] += 1
                    nbytes[member.suffix] += len(member.data)
            case BadSample():
                bad.append(item)
            case Loose(entry=entry):
                loose += [entry.name] if len(loose) < keys else []
    suffixes = tuple((suffix, count, nbytes[suffix]) for suffix, count in counts.most_common())
    return ShardSummary(
        shard=shard,
        clips=clips,
        nbytes=storage.size(shard),
        suffixes=suffixes,
        bad=tuple(bad),
        first_keys=tuple(first),
        loose=tuple(loose),
    )
