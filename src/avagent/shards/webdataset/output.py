"""Refined WebDataset shards and their dead letters: entries are copied as verbatim tar blocks."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from contextlib import ExitStack

from avagent import storage
from avagent.core.clip import RECORD_SUFFIX, ClipRef
from avagent.core.errors import Failure, FailureReason
from avagent.records.decisions import ERROR_SUFFIX, error_name, error_record, record_name
from avagent.shards.compression import gzip_writer, told_or_named
from avagent.shards.output import ERRORS_FOLDER, LazyFile, ShardOutput
from avagent.shards.samples import BadSample, Loose, Sample, safe_key, split_name
from avagent.shards.webdataset.samples import is_gzip, iter_stream
from avagent.shards.webdataset.tar_reader import Entry
from avagent.shards.webdataset.tar_writer import TarWriter
from avagent.storage import AtomicFile, Written

QUARANTINE_SUFFIX = "quarantine"


class _LazyTar:
    """An archive that is begun when there is something to write, compressed as the input is."""

    def __init__(self, file: LazyFile, *, compressed: bool, stack: ExitStack) -> None:
        self.file = file
        self._compressed = compressed
        self._stack = stack
        self._tar: TarWriter | None = None
        self._gzip: gzip.GzipFile | None = None

    def tar(self) -> TarWriter:
        if self._tar is None:
            sink: AtomicFile | gzip.GzipFile = self.file.open()
            if self._compressed:
                sink = self._gzip = gzip_writer(sink)
                self._stack.callback(sink.close)
            self._tar = TarWriter(sink)
        return self._tar

    def end(self) -> None:
        if self._tar is not None:
            self._tar.close()
        if self._gzip is not None:
            self._gzip.close()


class WebDatasetOutput(ShardOutput[Sample]):
    """Two archives of the shard's name: `KEY.avagent.json` in the one, `KEY.error.json` in the other."""

    def __init__(self, shard: str, output: str, stack: ExitStack) -> None:
        name = storage.basename(shard)
        self._shard = shard
        self._loose = 0
        self._compressed = compressed = told_or_named(shard, is_gzip)
        letters = LazyFile(storage.join(output, ERRORS_FOLDER, name), stack)
        self._refined = _LazyTar(LazyFile(storage.join(output, name), stack), compressed=compressed, stack=stack)
        self._letters = _LazyTar(letters, compressed=compressed, stack=stack)

    def begin(self) -> None:
        """See :class:`ShardOutput`."""
        self._refined.tar()

    def pass_on(self, loose: Loose) -> None:
        """Entries without a key stay where they are."""
        _copy(self._refined.tar(), loose.entry)
        self._loose += 1

    def keep(self, sample: Sample, replaced: Mapping[str, bytes], record: bytes) -> None:
        """All but an earlier record is copied."""
        tar = self._refined.tar()
        for entry in sample.entries:
            if entry.name in replaced:
                tar.add(entry.name, replaced[entry.name])
            elif _suffix(entry) != RECORD_SUFFIX:
                _copy(tar, entry)
        tar.add(record_name(sample.key), record)

    def reject(self, sample: Sample, ref: ClipRef, failure: Failure) -> None:
        """The sample untouched, but for the reason of an earlier failure."""
        tar = self._letters.tar()
        for entry in sample.entries:
            if _suffix(entry) != ERROR_SUFFIX:
                _copy(tar, entry)
        self._explain(sample.key, ref, failure)

    def reject_bad(self, bad: BadSample, failure: Failure) -> None:
        """Whole entries are copied; what is not is kept as the bytes of one member."""
        key = safe_key(bad.ref, unique=bad.unique)
        tar = self._letters.tar()
        blocks = iter_stream(self._shard, bad.offset, bad.length)
        if bad.copyable:
            for block in blocks:
                tar.copy_raw(block)
        elif bad.length and bad.failure.reason != FailureReason.UNREADABLE_SHARD:
            tar.add_blocks(f"{key}.{QUARANTINE_SUFFIX}", bad.length, blocks)
        self._explain(key, bad.ref, failure)

    def reject_missing(self, ref: ClipRef, failure: Failure, *, unique: bool) -> None:
        """The reason alone."""
        self._explain(safe_key(ref, unique=unique), ref, failure)

    def end(self) -> Written | None:
        """Write the ends of the archives."""
        self._refined.end()
        self._letters.end()
        return self._refined.file.written

    def position(self) -> int | None:
        """See :class:`ShardOutput`."""
        return None if self._compressed else self._refined.file.open().written.nbytes

    def remove_letters(self) -> None:
        """See :class:`ShardOutput`."""
        storage.remove(self._letters.file.url)

    def _explain(self, name: str, ref: ClipRef, failure: Failure) -> None:
        self._letters.tar().add(error_name(name), error_record(failure, ref, loose=self._loose))


def _suffix(entry: Entry) -> str | None:
    parts = split_name(entry.name)
    return parts[1] if parts is not None else None


def _copy(tar: TarWriter, entry: Entry) -> None:
    tar.copy_raw(entry.header)
    tar.copy_raw(entry.data or b"")
    tar.copy_raw(entry.padding)
