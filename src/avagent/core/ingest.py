"""What ingest works with: recordings, the clips to be made of them, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from avagent.core.errors import ParameterError


class Unusable(StrEnum):
    """Why a recording, or a row of a list, is not a good clip."""

    MISSING = "missing"
    BAD_ROW = "bad_row"
    NOT_MEDIA = "not_media"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    BROKEN = "broken"
    OVER_LIMIT = "over_limit"
    TOO_SHORT = "too_short"
    NO_AUDIO = "no_audio"
    NO_VIDEO = "no_video"
    STILL = "still"
    MUTED = "muted"
    UNSAFE_NAME = "unsafe_name"
    DUPLICATE_KEY = "duplicate_key"
    DUPLICATE_CONTENT = "duplicate_content"
    CHANGED = "changed"


FLAGS = (Unusable.NO_VIDEO, Unusable.STILL, Unusable.MUTED)
"""What is only noted, unless it is to be dropped: such a clip can be written, and refine calls it not evaluable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file to be taken in.

    Attributes:
        url: where it lies.
        suffix: of the member that it becomes: lower case, without a dot.
        nbytes: its size.
        version: what storage tells of its content without reading it, to be compared for equality.
    """

    url: str
    suffix: str
    nbytes: int
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A labelled stretch of a recording, as AudioSet and VGGSound list them.

    Attributes:
        video_id: of the recording.
        start, end: in s from its beginning.
        labels: identifiers or names, in the order of the list.
        split: of the data set, if the list tells.
        index: number of the only label among all labels of the list, sorted; None: there may be several labels a clip.
    """

    video_id: str
    start: float
    end: float
    labels: tuple[str, ...]
    split: str | None = None
    index: int | None = None

    def __post_init__(self) -> None:
        if not self.video_id or not 0 <= self.start < self.end < float("inf"):
            raise ParameterError(f"a segment needs an id and 0 <= start < end, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A clip that may be made.

    Attributes:
        key: the clip's.
        files: the container or sound first, then what belongs to it.
        segment: the stretch that is wanted; None: all of the file.
        already_cut: whether the file's name says that it holds the segment and nothing else.
        problem: why there is nothing to look at; None: look at it.
        message: for people.
    """

    key: str
    files: tuple[SourceFile, ...] = ()
    segment: Segment | None = None
    already_cut: bool = False
    problem: Unusable | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A candidate that was looked at.

    Attributes:
        candidate: what was looked at.
        problem: why it cannot be used; None: it can.
        message: for people.
        flags: what is doubtful about it; of :data:`FLAGS`.
        content_sha256: of the clip's members; see :func:`avagent.core.clip.content_hash`.
        media_sha256: of the member with picture and sound, for finding duplicates.
        nbytes: of all members.
        seconds: duration of the sound; of the picture, if that is shorter.
        cut: `none`, `already_cut`, or how it was cut; see :class:`avagent.media.trim.CutKind`.
        start: where the clip really begins in its recording, in s; None: it was not cut here.
        loudness: in LUFS; None: below -70 LUFS, or not measured.
    """

    candidate: Candidate
    problem: Unusable | None = None
    message: str = ""
    flags: tuple[Unusable, ...] = ()
    content_sha256: str = ""
    media_sha256: str = ""
    nbytes: int = 0
    seconds: float | None = None
    cut: str = "none"
    start: float | None = None
    loudness: float | None = None

    @property
    def key(self) -> str:
        """The clip's key."""
        return self.candidate.key


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """What a shard's bytes depend on, besides the recordings.

    Attributes:
        min_seconds: shorter clips cannot be used.
        max_file_bytes: larger files are not read: they are held in memory.
        drop: flagged clips to leave out; of :data:`FLAGS`.
        shard_bytes, shard_clips: a shard holds no more, but at least one clip.
        form: `webdataset` or `tfrecord`.
        name: shards are called NAME-000000, NAME-000001, ...
    """

    min_seconds: float = 1.0
    max_file_bytes: int = 1 << 30
    drop: tuple[Unusable, ...] = (Unusable.NO_VIDEO,)
    shard_bytes: int = 256 << 20
    shard_clips: int = 1000
    form: str = "webdataset"
    name: str = "clips"

    def __post_init__(self) -> None:
        if self.shard_bytes < 1 or self.shard_clips < 1 or self.max_file_bytes < 1 or not self.min_seconds >= 0:
            raise ParameterError(f"sizes and counts must be positive, got {self}")
        if unknown := [str(flag) for flag in self.drop if flag not in FLAGS]:
            raise ParameterError(f"only {', '.join(FLAGS)} can be dropped or kept, got {', '.join(unknown)}")
        if self.form not in ("webdataset", "tfrecord"):
            raise ParameterError(f"the format is webdataset or tfrecord, got {self.form!r}")
