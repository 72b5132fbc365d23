"""Ways of reading and writing one corpus, each as a function without arguments."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from apache_beam.io.tfrecordio import _TFRecordUtil

from avagent import storage
from avagent.shards.limits import DEFAULT_LIMITS
from avagent.shards.tfrecord.examples import bytes_feature, example_bytes
from avagent.shards.tfrecord.frames import frame, read_frames
from avagent.shards.tfrecord.records import iter_records
from avagent.shards.tfrecord.records import read_shard as read_tfrecord
from avagent.shards.webdataset.samples import iter_samples, read_shard
from avagent.shards.webdataset.tar_writer import TarWriter

BLOCK = 1 << 20
SHARDS = 16
"""Of a pipeline's run: the same shard under so many names, so that its start weighs little."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The same clips as samples in memory, as a tar shard and as a TFRecord shard."""

    folder: Path
    samples: list[tuple[str, dict[str, bytes]]]
    records: list[bytes]

    @property
    def tar(self) -> Path:
        """The tar shard."""
        return self.folder / "clips.tar"

    @property
    def tfrecord(self) -> Path:
        """The TFRecord shard."""
        return self.folder / "clips.tfrecord"

    @property
    def pattern(self) -> str:
        """The TFRecord shard under several names."""
        return str(self.folder / "link-*.tfrecord")

    @property
    def links(self) -> list[Path]:
        """The same, one by one."""
        return [self.folder / f"link-{number}.tfrecord" for number in range(SHARDS)]

    @property
    def nbytes(self) -> int:
        """Bytes of media."""
        return sum(len(data) for _, members in self.samples for data in members.values())


def make_corpus(folder: Path, clips: int, nbytes: int) -> Corpus:
    """Random media, two small members beside each."""
    rng = random.Random(0)  # noqa: S311 - bytes to fill a shard with
    samples = [
        (f"clip-{number:06d}", {"mp4": rng.randbytes(nbytes), "json": b"{}", "txt": b"a dog barks"})
        for number in range(clips)
    ]
    records = [
        example_bytes([bytes_feature("clip/encoded_media_bytes", m["mp4"]), bytes_feature("id", key.encode())])
        for key, m in samples
    ]
    corpus = Corpus(folder=folder, samples=samples, records=records)
    write_tar(corpus, corpus.tar)
    write_tfrecord(corpus, corpus.tfrecord)
    for link in corpus.links:
        link.hardlink_to(corpus.tfrecord)
    return corpus


def write_tar(corpus: Corpus, path: Path) -> None:
    """By our writer, to a plain file."""
    with path.open("wb") as file:
        _add_all(TarWriter(file), corpus)


def write_tfrecord(corpus: Corpus, path: Path) -> None:
    """By our framing, to a plain file."""
    with path.open("wb") as file:
        for record in corpus.records:
            for piece in frame(record):
                file.write(piece)


def _add_all(tar: TarWriter, corpus: Corpus) -> None:
    for key, members in corpus.samples:
        for suffix, data in members.items():
            tar.add(f"{key}.{suffix}", data)
    tar.close()


def read_ways(corpus: Corpus) -> dict[str, Callable[[], object]]:
    """Every way to read."""
    tar, tfrecord = str(corpus.tar), str(corpus.tfrecord)
    return {
        "raw read": lambda: _read_raw(corpus.tar),
        "tar read: tarfile": lambda: _read_tarfile(tar),
        "tar read: webdataset": lambda: _read_webdataset(tar),
        "tar read: avagent": lambda: _count(iter_samples(tar)),
        "tar read, SHA-256: avagent": lambda: _count(read_shard(tar)),
        "TFRecord read: Beam's framing": lambda: _count(_beam_records(tfrecord)),
        "TFRecord read: avagent's framing": lambda: _count(read_frames(tfrecord, DEFAULT_LIMITS)),
        "TFRecord read, parsed: avagent": lambda: _count(iter_records(tfrecord)),
        "TFRecord read, parsed, SHA-256: avagent": lambda: _count(read_tfrecord(tfrecord)),
        "SHA-256 alone": lambda: [hashlib.sha256(m["mp4"]).digest() for _, m in corpus.samples],
    }


def write_ways(corpus: Corpus) -> dict[str, Callable[[], object]]:
    """Every way to write; each replaces its own file."""
    folder = corpus.folder
    return {
        "raw write": lambda: _write_raw(corpus, folder / "raw"),
        "tar write: tarfile": lambda: _write_tarfile(corpus, folder / "tarfile.tar"),
        "tar write: webdataset": lambda: _write_webdataset(corpus, folder / "webdataset.tar"),
        "tar write: avagent": lambda: write_tar(corpus, folder / "avagent.tar"),
        "tar write, atomic, MD5: avagent": lambda: _write_atomic(corpus, folder / "atomic.tar"),
        "TFRecord write: Beam's framing": lambda: _write_beam(corpus, folder / "beam.tfrecord"),
        "TFRecord write: avagent's framing": lambda: write_tfrecord(corpus, folder / "avagent.tfrecord"),
        "MD5 alone": lambda: [hashlib.md5(m["mp4"]).digest() for _, m in corpus.samples],  # noqa: S324
    }


def _count(items: Iterator[object]) -> int:
    return sum(1 for _ in items)


def _read_raw(path: Path) -> int:
    with path.open("rb", buffering=0) as file:
        return sum(len(block) for block in iter(lambda: file.read(BLOCK), b""))


def _read_tarfile(path: str) -> int:
    with tarfile.open(path) as archive:
        files = (archive.extractfile(member) for member in archive)
        return sum(len(file.read()) for file in files if file is not None)


def _read_webdataset(path: str) -> int:
    """Imported late: the package may bring torch along."""
    from webdataset.tariterators import group_by_keys, tar_file_iterator  # noqa: PLC0415

    with Path(path).open("rb") as stream:
        files = ({**file, "__url__": path} for file in tar_file_iterator(cast("tarfile.TarFile", stream)))
        return _count(group_by_keys(files))


def _beam_records(path: str) -> Iterator[bytes]:
    with Path(path).open("rb") as file:
        while (record := _TFRecordUtil.read_record(file)) is not None:
            yield record


def _write_raw(corpus: Corpus, path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for _, members in corpus.samples:
            file.write(members["mp4"])


def _write_tarfile(corpus: Corpus, path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for key, members in corpus.samples:
            for suffix, data in members.items():
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


def _write_webdataset(corpus: Corpus, path: Path) -> None:
    from webdataset.writer import TarWriter as WebDatasetWriter  # noqa: PLC0415

    with path.open("wb") as file, WebDatasetWriter(file, encoder=False) as writer:
        for key, members in corpus.samples:
            writer.write({"__key__": key, **members})


def _write_atomic(corpus: Corpus, path: Path) -> None:
    with storage.atomic_write(str(path)) as file:
        _add_all(TarWriter(file), corpus)


def _write_beam(corpus: Corpus, path: Path) -> None:
    with path.open("wb") as file:
        for record in corpus.records:
            _TFRecordUtil.write_record(file, record)
