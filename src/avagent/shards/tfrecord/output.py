"""Refined TFRecord shards and their dead letters.

A clip that stays as it is keeps its bytes: its record in JSON, the feature `avagent/record`, is put *behind* them,
which in protocol buffers adds a field to the message before. In a repaired clip the media feature is another, and all
other features keep order and bytes.

Dead letters: `_errors/NAME` holds the records untouched, `_errors/NAME.errors.jsonl` one line a failed clip, in the
same order: `{"index", "key", "shard", "offset", "length", "records", "quarantined", "stage", "type", "reason",
"message"}`; key, shard, offset and length are those of the clip where it came from. `records` is the number of records
in `_errors/NAME` that belong to it: 1; or 0, where nothing could be read; or, of bytes that are no whole record, as
many as hold them in pieces, each in a feature `avagent/quarantine`.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict

from avagent import storage
from avagent.core.clip import ClipRef
from avagent.core.errors import Failure, FailureReason, ShardError
from avagent.records.decisions import clip_place, dump
from avagent.shards.compression import gzip_writer, told_or_named
from avagent.shards.output import ERRORS_FOLDER, LazyFile, ShardOutput
from avagent.shards.samples import BadSample
from avagent.shards.tfrecord.examples import Feature, bytes_feature, change_example, example_bytes, parse_example
from avagent.shards.tfrecord.frames import frame, is_gzip, iter_stream
from avagent.shards.tfrecord.records import RECORD_FEATURE, RecordSample
from avagent.storage import Written

ERRORS_SUFFIX = "errors.jsonl"
QUARANTINE_FEATURE = "avagent/quarantine"


class _LazyRecords:
    """A file of records that is begun when there is something to write, compressed as the input is."""

    def __init__(self, file: LazyFile, *, compressed: bool, stack: ExitStack) -> None:
        self.file = file
        self._compressed = compressed
        self._stack = stack
        self._sink: storage.AtomicFile | gzip.GzipFile | None = None
        self._gzip: gzip.GzipFile | None = None

    def begin(self) -> storage.AtomicFile | gzip.GzipFile:
        if self._sink is None:
            self._sink = self.file.open()
            if self._compressed:
                self._sink = self._gzip = gzip_writer(self._sink)
                self._stack.callback(self._gzip.close)
        return self._sink

    def add(self, data: bytes) -> None:
        self.copy(frame(data))

    def copy(self, blocks: Iterable[bytes]) -> None:
        sink = self.begin()
        for block in blocks:
            sink.write(block)

    def end(self) -> None:
        if self._gzip is not None:
            self._gzip.close()


class TFRecordOutput(ShardOutput[RecordSample]):
    """Two files of the shard's name, and the reasons beside the dead letters."""

    def __init__(self, shard: str, output: str, stack: ExitStack) -> None:
        name = storage.basename(shard)
        self._shard = shard
        self._compressed = compressed = told_or_named(shard, is_gzip)
        self._refined = _LazyRecords(LazyFile(storage.join(output, name), stack), compressed=compressed, stack=stack)
        letters = storage.join(output, ERRORS_FOLDER, name)
        self._letters = _LazyRecords(LazyFile(letters, stack), compressed=compressed, stack=stack)
        self._reasons = LazyFile(f"{letters}.{ERRORS_SUFFIX}", stack)

    def begin(self) -> None:
        """See :class:`ShardOutput`."""
        self._refined.begin()

    def keep(self, sample: RecordSample, replaced: Mapping[str, bytes], record: bytes) -> None:
        """The record's bytes with its JSON behind; media that were repaired take the place of the old."""
        data = without_record(sample)
        if replaced:
            data = change_example(data, [bytes_feature(name, value) for name, value in replaced.items()])
        self._refined.add(data + example_bytes([bytes_feature(RECORD_FEATURE, record)]))

    def reject(self, sample: RecordSample, ref: ClipRef, failure: Failure) -> None:
        """The record untouched."""
        self._letters.add(sample.data)
        self._explain(ref, failure, records=1)

    def reject_bad(self, bad: BadSample, failure: Failure) -> None:
        """A record with right checksums is copied; other bytes are wrapped, in pieces."""
        self._letters.begin()
        if bad.copyable:
            self._letters.copy(iter_stream(self._shard, bad.offset, bad.length))
            self._explain(bad.ref, failure, records=1)
            return
        pieces = 0
        if bad.failure.reason != FailureReason.UNREADABLE_SHARD:
            for block in iter_stream(self._shard, bad.offset, bad.length):
                self._letters.add(example_bytes([bytes_feature(QUARANTINE_FEATURE, block)]))
                pieces += 1
        self._explain(bad.ref, failure, records=pieces, quarantined=pieces > 0)

    def reject_missing(self, ref: ClipRef, failure: Failure, *, unique: bool) -> None:  # noqa: ARG002  (no names here that could clash)
        """The reason alone."""
        self._letters.begin()
        self._explain(ref, failure, records=0)

    def end(self) -> Written | None:
        """Finish compressed data."""
        self._refined.end()
        self._letters.end()
        return self._refined.file.written

    def position(self) -> int | None:
        """See :class:`ShardOutput`."""
        return None if self._compressed else self._refined.file.open().written.nbytes

    def remove_letters(self) -> None:
        """See :class:`ShardOutput`."""
        storage.remove(self._letters.file.url)
        storage.remove(self._reasons.url)

    def _explain(self, ref: ClipRef, failure: Failure, *, records: int, quarantined: bool = False) -> None:
        kept = {"index": ref.index, "records": records, "quarantined": quarantined}
        self._reasons.open().write(dump({**kept, **clip_place(ref), **asdict(failure)}))


def without_record(sample: RecordSample) -> bytes:
    """The record's bytes as they were before an earlier run put its JSON behind them."""
    old = sample.example.get(RECORD_FEATURE)
    if old is None:
        return sample.data
    base = sample.data.removesuffix(example_bytes([old]))
    rest = tuple(feature for feature in sample.example.features if feature is not old)
    if len(base) < len(sample.data) and _features(base) == rest:
        return base
    return change_example(sample.data, (), removed=RECORD_FEATURE)


def _features(data: bytes) -> tuple[Feature, ...] | None:
    try:
        return parse_example(data).features
    except ShardError:
        return None
