"""Clips by reference, and the bytes they stand for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from avagent.core.errors import FailureReason, ParameterError, ShardError

VIDEO_SUFFIXES = ("mp4", "mkv", "webm", "mov", "m4v")
AUDIO_SUFFIXES = ("wav", "flac", "mp3", "ogg", "m4a")
IMAGE_SUFFIXES = ("jpg", "jpeg", "png")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRef:
    """Where a clip lies: what travels through the pipeline instead of its media.

    Attributes:
        key: the clip's name, unique in its shard.
        shard: URL of the shard.
        offset: first byte of the sample in the shard.
        length: bytes of the sample in the shard, headers and padding included.
        content_sha256: hash of the members' suffixes and bytes; see :func:`content_hash`.
        index: position of the clip in its shard, from 0.
    """

    key: str
    shard: str
    offset: int
    length: int
    content_sha256: str
    index: int = 0

    def __post_init__(self) -> None:
        if not self.key:
            raise ParameterError("a clip's key must not be empty")
        if self.offset < 0 or self.length < 0 or self.index < 0:
            raise ParameterError(f"offset, length and index of clip {self.key!r} must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a sample: its name in the shard, its suffix (lower case, without the first dot) and its bytes."""

    name: str
    suffix: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A sample's members, in the order of the shard."""

    key: str
    members: tuple[Member, ...]

    def get(self, *suffixes: str) -> Member | None:
        """The first member with one of these suffixes, or None."""
        return next((m for m in self.members if m.suffix in suffixes), None)

    def video(self) -> Member | None:
        """The audio-visual container, if the sample has one."""
        return self.get(*VIDEO_SUFFIXES)

    def audio(self) -> Member | None:
        """The separate audio file, if the sample has one (it wins over the container's track)."""
        return self.get(*AUDIO_SUFFIXES)

    def images(self) -> tuple[Member, ...]:
        """Separate pictures, in order (`jpg`, `0001.jpg`, ...)."""
        return tuple(m for m in self.members if m.suffix.rsplit(".", 1)[-1] in IMAGE_SUFFIXES)

    def sound(self) -> Member:
        """The member whose sound the pipeline repairs.

        Raises:
            ShardError: the sample holds no media at all.
        """
        member = self.audio() or self.video()
        if member is None:
            raise ShardError(
                f"clip {self.key!r} has no media member: expected one of {', '.join(VIDEO_SUFFIXES + AUDIO_SUFFIXES)},"
                f" found {', '.join(m.suffix for m in self.members) or 'nothing'}; name the right one with"
                " --set 'webdataset.media=[SUFFIX]'",
                reason=FailureReason.NO_MEDIA,
            )
        return member

    @property
    def nbytes(self) -> int:
        """Size of all members in bytes."""
        return sum(len(m.data) for m in self.members)


def content_hash(members: tuple[Member, ...]) -> str:
    """SHA-256 of a sample's content, whatever its container, key or file times.

    Args:
        members: in shard order; our own record (`avagent.json`) takes no part: a refined shard can be refined again.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for member in members:
        if member.suffix == RECORD_SUFFIX:
            continue
        digest.update(f"{member.suffix}\n{len(member.data)}\n".encode())
        digest.update(member.data)
    return digest.hexdigest()


RECORD_SUFFIX = "avagent.json"
