"""One shard of a format to one of the other; what is bad goes to the dead letters, in the format that it came in."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol

from avagent import storage
from avagent.core.errors import ParameterError, ShardError
from avagent.core.state import Outcome
from avagent.runs.rewrite import ShardReport
from avagent.shards.exchange import members_of, record_of
from avagent.shards.formats import TFRECORD, WEBDATASET, ShardOptions, format_of
from avagent.shards.output import ShardOutput
from avagent.shards.samples import BadSample, Loose, Sample, shard_stem, unreadable
from avagent.shards.tfrecord.frames import frame
from avagent.shards.tfrecord.records import RecordSample
from avagent.shards.webdataset.tar_writer import TarWriter
from avagent.storage import AtomicFile

TARGETS = {"webdataset": WEBDATASET, "tfrecord": TFRECORD}
_ENDINGS = {WEBDATASET.name: ".tar", TFRECORD.name: ".tfrecord"}
_TAR = re.compile(r"\.(tar(\.gz)?|tgz)$")
_TFRECORD_PARTS = re.compile(r"^(?P<stem>.+)\.(tfrecords?|tfrec)(?P<part>-\d+-of-\d+)?(\.gz)?$")


class _Writer(Protocol):
    """Where converted clips go."""

    def add(self, sample: Any) -> None:
        """One clip. Raises ShardError before anything of it is written."""
        ...

    def end(self) -> None:
        """Nothing follows."""
        ...


class _Records:
    """Samples of a tar shard to records."""

    def __init__(self, file: AtomicFile, _shard: str) -> None:
        self._file = file

    def add(self, sample: Sample) -> None:
        record = record_of(sample.clip())
        for piece in frame(record):
            self._file.write(piece)

    def end(self) -> None:
        """A TFRecord file has no end mark."""


class _Samples:
    """Records to samples of a tar shard."""

    def __init__(self, file: AtomicFile, shard: str) -> None:
        self._tar = TarWriter(file)
        self._shard = shard

    def add(self, sample: RecordSample) -> None:
        key, members = members_of(sample, self._shard)
        for suffix, data in members:
            self._tar.add(f"{key}.{suffix}", data)

    def end(self) -> None:
        self._tar.close()


_WRITERS: dict[str, Callable[[AtomicFile, str], _Writer]] = {TFRECORD.name: _Records, WEBDATASET.name: _Samples}


def converted_name(shard: str, target: str) -> str:
    """The name of a shard in the other format: `a-000000.tar`, `a-000000.tfrecord`.

    Raises:
        ParameterError: the shard is in that format already, or `target` is not one of `TARGETS`.
    """
    if target not in TARGETS:
        raise ParameterError(f"unknown format {target!r}; known: {', '.join(TARGETS)}")
    wanted = TARGETS[target]
    if format_of(shard) is wanted:
        raise ParameterError(f"{shard} is a {wanted.name} shard already")
    name = storage.basename(shard)
    parts = _TFRECORD_PARTS.match(name)
    stem = parts["stem"] + (parts["part"] or "") if parts else _TAR.sub("", name) or shard_stem(shard)
    return stem + _ENDINGS[wanted.name]


def convert_shard(shard: str, output: str, target: str, options: ShardOptions) -> ShardReport:
    """Write a shard in the other format; all of it appears, or none.

    Entries of a tar archive that belong to no sample stay behind: a record without a clip would not be one.

    Args:
        shard: URL.
        output: folder.
        target: `webdataset` or `tfrecord`.
        options: how shards are read.

    Raises:
        OSError: writing failed.
        ParameterError: see :func:`converted_name`.
    """
    name = converted_name(shard, target)
    source, url = format_of(shard), storage.join(output, name)
    good = bad = 0
    with ExitStack() as stack:
        letters: ShardOutput[Any] = source.open_output(shard, output, stack)
        letters.remove_letters()
        file = stack.enter_context(storage.atomic_write(url))
        writer = _WRITERS[TARGETS[target].name](file, shard)
        for item in _items(shard, options):
            if isinstance(item, Loose):
                continue
            if _written(item, shard, writer, letters):
                good += 1
            else:
                bad += 1
        writer.end()
        letters.end()
    return ShardReport(
        name=name,
        source=shard,
        url=url,
        outcomes=tuple((o, n) for o, n in ((Outcome.UNCHANGED, good), (Outcome.FAILED, bad)) if n),
        nsamples=good,
        filesize=file.written.nbytes,
        md5=file.written.md5,
        errors=bad,
    )


def _items(shard: str, options: ShardOptions) -> Any:
    """What the shard holds; what storage does not give is a bad sample."""
    index = 0
    try:
        for item in format_of(shard).iter_samples(shard, options):
            index += not isinstance(item, Loose)
            yield item
    except OSError as error:
        yield unreadable(shard, error, index)


def _written(item: Any, shard: str, writer: _Writer, letters: ShardOutput[Any]) -> bool:
    if isinstance(item, BadSample):
        letters.reject_bad(item, item.failure)
        return False
    try:
        writer.add(item)
    except ShardError as error:
        letters.reject(item, item.ref(shard, item.clip()), error.failure())
        return False
    return True
