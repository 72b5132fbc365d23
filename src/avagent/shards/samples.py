"""What a shard is made of: samples, good and bad, and entries that belong to none."""

from __future__ import annotations

import re
from dataclasses import dataclass

from avagent import storage
from avagent.core.clip import Clip, ClipRef, Member, content_hash
from avagent.core.errors import Failure, FailureReason, ShardError
from avagent.core.state import ClipDecision, Outcome
from avagent.shards.media_names import DEFAULT_SUFFIXES, SuffixMapping
from avagent.shards.names import unsafe_name
from avagent.shards.webdataset.tar_reader import Entry

_NUMBER = re.compile(r"-\d+-of-\d+")
_META = re.compile(r"__[^/]*__($|/)")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedClip:
    """A good sample: its reference and its members."""

    ref: ClipRef
    clip: Clip


@dataclass(frozen=True, slots=True, kw_only=True)
class BadSample:
    """A sample that cannot be worked on.

    Attributes:
        key: as far as it is known; the shard's stem if the shard itself is unreadable.
        shard: URL.
        index: position among all samples of the shard, good or bad.
        offset, length: its bytes in the shard.
        copyable: whether these bytes are whole tar entries with harmless names under a key of their own, so that they
            can be copied into another shard as they are.
        failure: why.
        unique: whether no earlier sample of the shard has this key.
    """

    key: str
    shard: str
    index: int
    offset: int
    length: int
    copyable: bool
    failure: Failure
    unique: bool = True

    @property
    def ref(self) -> ClipRef:
        """A reference without content hash, for the record."""
        return ClipRef(
            key=self.key, shard=self.shard, offset=self.offset, length=self.length, content_sha256="", index=self.index
        )

    def decision(self) -> ClipDecision:
        """Its way ends here."""
        return ClipDecision(ref=self.ref, outcome=Outcome.FAILED, reason=str(self.failure.reason), failure=self.failure)


ShardItem = LoadedClip | BadSample


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSummary:
    """What is in a shard.

    Attributes:
        clips: good samples.
        nbytes: size of the shard.
        suffixes: (suffix, or feature and what it is; members, bytes), most frequent first.
        bad: what cannot be worked on.
        first_keys: of the first clips.
        loose: names of the entries that belong to no sample, the first ones.
    """

    shard: str
    clips: int
    nbytes: int
    suffixes: tuple[tuple[str, int, int], ...]
    bad: tuple[BadSample, ...]
    first_keys: tuple[str, ...]
    loose: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The entries of one good sample, in order; entries without a key in between are among them."""

    key: str
    index: int
    offset: int
    length: int
    entries: tuple[Entry, ...]
    suffixes: SuffixMapping = DEFAULT_SUFFIXES

    def clip(self) -> Clip:
        """Its members."""
        members: list[Member] = []
        for entry in self.entries:
            parts = split_member(entry.name)
            if parts is not None and entry.data is not None:
                members.append(Member(name=entry.name, suffix=parts[1], data=entry.data))
        return Clip(key=self.key, members=self.suffixes.apply(members))

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Loose:
    """An entry between samples that belongs to none."""

    entry: Entry


def split_name(name: str) -> tuple[str, str] | None:
    """(key, suffix in lower case) of a member's name; None if it has no key."""
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    if not stem or not dot:
        return None
    return folder + slash + stem, suffix.lower()


def split_member(name: str) -> tuple[str, str] | None:
    """As :func:`split_name`, but for `__*__`, which belongs to no sample."""
    return None if _META.match(name) else split_name(name)


def shard_stem(shard: str) -> str:
    """The file name of a shard up to its first dot, and a number that stands behind: `x.tfrecord-00003-of-00010`."""
    name = storage.basename(shard)
    stem, _, rest = name.partition(".")
    number = _NUMBER.search(rest)
    return (stem or name) + (number.group() if number else "")


def safe_key(ref: ClipRef, *, unique: bool = True) -> str:
    """The clip's key, or, where it is not unique or not to be trusted, one made of the shard's name and the index."""
    if unique and unsafe_name(ref.key) is None and split_name(ref.key + ".x") == (ref.key, "x"):
        return ref.key
    return f"{shard_stem(ref.shard)}-sample-{ref.index:06d}"


def unreadable(shard: str, error: OSError, index: int = 0) -> BadSample:
    """A whole shard (or the rest of it) that storage does not give."""
    message = f"{shard}: {error.strerror or error or type(error).__name__}"
    failure = ShardError(message, reason=FailureReason.UNREADABLE_SHARD).failure()
    return BadSample(
        key=shard_stem(shard), shard=shard, index=index, offset=0, length=0, copyable=False, failure=failure
    )


def changed_since_listed(ref: ClipRef) -> ShardError:
    """A clip's bytes are not those that were listed."""
    return ShardError(
        f"clip {ref.key!r} of {ref.shard} is no longer what was listed at byte {ref.offset}: run again",
        reason=FailureReason.CHANGED_SINCE_LISTED,
    )
