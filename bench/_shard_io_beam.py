"""TFRecord through a Beam pipeline: Beam's own transforms, and ours in their place.

Both pipelines are of one shape and run in this process. Records to write are made by the step before, not handed to
`Create`, which would encode them all into the graph.
"""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
from _shard_io_ways import SHARDS, Corpus
from apache_beam.io import ReadFromTFRecord, WriteToTFRecord
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from avagent import storage
from avagent.shards.limits import DEFAULT_LIMITS
from avagent.shards.tfrecord.frames import frame, read_frames

_CORPORA: dict[str, Corpus] = {}


def beam_read(corpus: Corpus) -> None:
    """Beam's reader."""
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = pipeline | ReadFromTFRecord(corpus.pattern, validate=False) | beam.Map(len) | beam.CombineGlobally(sum)


def our_beam_read(corpus: Corpus) -> None:
    """Our reader: a shard is an element."""
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        shards = pipeline | beam.Create([str(path) for path in corpus.links])
        _ = shards | beam.Reshuffle() | beam.FlatMap(_records) | beam.Map(len) | beam.CombineGlobally(sum)


def beam_write(corpus: Corpus, num_shards: int) -> None:
    """Beam's writer; 0 shards: as many as it likes, without a shuffle."""
    target = str(corpus.folder / "pipeline-beam")
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        made = pipeline | beam.Create(_elements(corpus)) | beam.FlatMap(_made)
        _ = made | WriteToTFRecord(target, num_shards=num_shards)


def our_beam_write(corpus: Corpus) -> None:
    """Our writer: who writes a shard makes its records as well."""
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = pipeline | beam.Create(_elements(corpus)) | beam.Reshuffle() | beam.Map(_write)


def _elements(corpus: Corpus) -> list[tuple[str, int]]:
    """Small elements that stand for the records of a shard each: the pipeline runs in this process."""
    _CORPORA[str(corpus.folder)] = corpus
    return [(str(corpus.folder), number) for number in range(SHARDS)]


def _records(shard: str) -> Iterator[bytes]:
    for found in read_frames(shard, DEFAULT_LIMITS):
        if found.data is not None:
            yield found.data


def _made(element: tuple[str, int]) -> Iterator[bytes]:
    yield from _CORPORA[element[0]].records


def _write(element: tuple[str, int]) -> int:
    folder, number = element
    with storage.atomic_write(f"{folder}/pipeline-avagent-{number}.tfrecord") as file:
        for record in _CORPORA[folder].records:
            for piece in frame(record):
                file.write(piece)
    return file.written.nbytes
