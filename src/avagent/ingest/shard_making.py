"""A shard's plan to a shard: clips are made again from their files, one in memory at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from pydantic import ConfigDict, TypeAdapter, ValidationError

from avagent import storage
from avagent.core.clip import AUDIO_SUFFIXES, IMAGE_SUFFIXES, VIDEO_SUFFIXES, Clip, content_hash
from avagent.core.errors import MediaError, ParameterError
from avagent.core.ingest import Checked, IngestSettings
from avagent.ingest.clips import make_clip
from avagent.ingest.tables import ingest_url, read_checked, write_checked
from avagent.shards.tfrecord.examples import Feature, bytes_feature, example_bytes
from avagent.shards.tfrecord.frames import frame
from avagent.shards.webdataset.tar_writer import TarWriter
from avagent.storage import AtomicFile

SUFFIXES = {"webdataset": "tar", "tfrecord": "tfrecord"}


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestedShard:
    """What was written.

    Attributes:
        name: file name of the shard.
        plan_sha256: of what it was to hold: unchanged, the shard is not written again.
        nsamples: clips in it.
        filesize: in bytes.
        md5: 32 hexadecimal digits.
        changed: keys of clips that were left out: their files are not what was checked any more.
    """

    name: str
    plan_sha256: str
    nsamples: int
    filesize: int
    md5: str
    changed: tuple[str, ...] = ()


_SHARD: TypeAdapter[tuple[IngestedShard]] = TypeAdapter(tuple[IngestedShard], config=ConfigDict(extra="forbid"))


def shard_name(number: int, settings: IngestSettings) -> str:
    """The name of a shard."""
    return f"{settings.name}-{number:06d}.{SUFFIXES[settings.form]}"


def plan_url(output: str, name: str) -> str:
    """Where a shard's plan lies while it is to be written."""
    return ingest_url(output, "work", f"{name}.jsonl")


def plan_hash(clips: Iterable[Checked]) -> str:
    """SHA-256 of all that a shard's bytes depend on: keys and content, in order."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(f"{clip.key}\n{clip.content_sha256}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def write_plan(output: str, name: str, clips: Sequence[Checked]) -> None:
    """Atomic. Raises OSError."""
    write_checked(plan_url(output, name), clips)


def write_shard(output: str, name: str, settings: IngestSettings) -> IngestedShard:
    """Write a shard by its plan, and its report; it appears whole or not at all.

    Raises:
        OSError: writing failed; nothing is left half written.
    """
    clips = list(read_checked(plan_url(output, name)))
    changed: list[str] = []
    with storage.atomic_write(storage.join(output, name)) as file:
        sink: _Sink = _Tar(file) if settings.form == "webdataset" else _Records(file)
        for checked in clips:
            clip = _made_again(checked)
            if clip is None:
                changed.append(checked.key)
            else:
                sink.add(clip)
        sink.end()
    report = IngestedShard(
        name=name,
        plan_sha256=plan_hash(clips),
        nsamples=len(clips) - len(changed),
        filesize=file.written.nbytes,
        md5=file.written.md5,
        changed=tuple(changed),
    )
    storage.write_bytes(_report_url(output, name), _SHARD.dump_json((report,))[1:-1] + b"\n")
    return report


def _made_again(checked: Checked) -> Clip | None:
    with suppress(FileNotFoundError, MediaError):
        clip = make_clip(checked.candidate).clip
        if content_hash(clip.members) == checked.content_sha256:
            return clip
    return None


def read_shard_report(output: str, name: str) -> IngestedShard | None:
    """What was written; None: nothing, or it is gone since. Raises OSError, ParameterError."""
    url = _report_url(output, name)
    try:
        report = _SHARD.validate_json(b"[" + storage.read_bytes(url) + b"]")[0]
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ParameterError(f"{url} is not the report of a shard: {error}") from error
    return report


def remove_shard(output: str, name: str) -> None:
    """Take away a shard of which no clip is left."""
    storage.remove(storage.join(output, name))
    storage.remove(_report_url(output, name))


def _report_url(output: str, name: str) -> str:
    return ingest_url(output, "shards", f"{name}.json")


class _Sink(Protocol):
    def add(self, clip: Clip) -> None: ...

    def end(self) -> None: ...


class _Tar:
    """A WebDataset shard: `KEY.SUFFIX` of every member."""

    def __init__(self, file: AtomicFile) -> None:
        self._tar = TarWriter(file)

    def add(self, clip: Clip) -> None:
        for member in clip.members:
            self._tar.add(member.name, member.data)

    def end(self) -> None:
        self._tar.close()


class _Records:
    """A TFRecord shard: a `tf.train.Example` a clip, with the names of MediaPipe's SequenceExamples."""

    def __init__(self, file: AtomicFile) -> None:
        self._file = file

    def add(self, clip: Clip) -> None:
        for block in frame(example_bytes(features_of(clip))):
            self._file.write(block)

    def end(self) -> None:
        pass


def features_of(clip: Clip) -> list[Feature]:
    """`example/id`; `clip/encoded_media_bytes`, `audio/encoded`, `image/encoded`; `json`, `txt`, `cls` as they are."""
    features = [bytes_feature("example/id", clip.key.encode("utf-8", "surrogateescape"))]
    images = [bytes_feature("image/encoded", image.data) for image in clip.images()]
    for member in clip.members:
        if member.suffix in VIDEO_SUFFIXES:
            features.append(bytes_feature("clip/encoded_media_bytes", member.data))
        elif member.suffix in AUDIO_SUFFIXES:
            features.append(bytes_feature("audio/encoded", member.data))
        elif member.suffix not in IMAGE_SUFFIXES:
            features.append(bytes_feature(member.suffix, member.data))
    if images:
        # Messages put behind each other are merged: their lists follow each other ("Last One Wins", protocol buffers).
        features.append(Feature(name="image/encoded", value=b"".join(image.value for image in images)))
    return features
