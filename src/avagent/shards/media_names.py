"""Which members of a sample are its media: by suffix, or by what the recipe names; and what bytes would be called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from avagent.core.clip import AUDIO_SUFFIXES, RECORD_SUFFIX, VIDEO_SUFFIXES, Member
from avagent.core.errors import ParameterError


@dataclass(frozen=True, slots=True, kw_only=True)
class SuffixMapping:
    """Which members of a WebDataset sample are what, by suffix in lower case: of each list, the first that it has.

    Attributes:
        media: an encoded container, or sound.
        audio: encoded sound apart from the container, which it takes precedence over.
    """

    media: tuple[str, ...] = VIDEO_SUFFIXES
    audio: tuple[str, ...] = AUDIO_SUFFIXES

    def __post_init__(self) -> None:
        names = (*self.media, *self.audio)
        if not names:
            raise ParameterError("name at least one suffix that media, or sound, have")
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice or any(not name or name != name.lower() or name == RECORD_SUFFIX for name in names):
            raise ParameterError(f"a suffix is in lower case, and one of media and audio, got {self}")

    def apply(self, members: Sequence[Member]) -> tuple[Member, ...]:
        """The members; those that are not media by this mapping have a suffix that no media has."""
        if self == DEFAULT_SUFFIXES:
            return tuple(members)
        video = _first(members, self.media)
        audio = _first(members, self.audio)
        return tuple(self._named(member, video=member is video, audio=member is audio) for member in members)

    @staticmethod
    def _named(member: Member, *, video: bool, audio: bool) -> Member:
        if video or audio:
            return replace(member, suffix=media_suffix(member.data, audio=audio))
        if member.suffix in (*VIDEO_SUFFIXES, *AUDIO_SUFFIXES):
            return replace(member, suffix=f"{member.suffix}:member")
        return member


DEFAULT_SUFFIXES = SuffixMapping()


def _first(members: Sequence[Member], suffixes: Sequence[str]) -> Member | None:
    found = {member.suffix: member for member in members}
    return next((found[suffix] for suffix in suffixes if suffix in found), None)


def media_suffix(data: bytes, *, audio: bool) -> str:
    """What a file would be called, by its first bytes; mp4 or wav where they tell nothing, and decoding will say so."""
    head = data[:64]
    if head[4:8] == b"ftyp":
        if audio or head[8:11] == b"M4A":
            return "m4a"
        return "mov" if head[8:12] == b"qt  " else "mp4"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "webm" if b"webm" in head else "mkv"
    for magic, suffix in ((b"RIFF", "wav"), (b"fLaC", "flac"), (b"OggS", "ogg"), (b"ID3", "mp3")):
        if head.startswith(magic):
            return suffix
    if head[:1] == b"\xff" and head[1:2] and head[1] & 0xE6 == 0xE2:  # MPEG audio frame sync, layer III
        return "mp3"
    return "wav" if audio else "mp4"
