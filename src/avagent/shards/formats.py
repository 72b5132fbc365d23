"""The formats of shards: what the rest calls, whichever it is. Another format is one more entry here.

A format is known by a shard's name; what has no known name is taken for WebDataset.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from avagent import storage
from avagent.core.clip import Clip, ClipRef
from avagent.media.limits import DEFAULT_DECODING, DecodeLimits, MediaLimits
from avagent.media.limits import DEFAULT_LIMITS as MEDIA_LIMITS
from avagent.shards.limits import DEFAULT_LIMITS, ShardLimits
from avagent.shards.media_names import DEFAULT_SUFFIXES, SuffixMapping
from avagent.shards.output import ShardOutput
from avagent.shards.samples import BadSample, Loose, Sample, ShardItem, ShardSummary
from avagent.shards.tfrecord import records
from avagent.shards.tfrecord.output import TFRecordOutput
from avagent.shards.tfrecord.records import DEFAULT_FIELDS, FieldMapping, RecordSample
from avagent.shards.webdataset import samples
from avagent.shards.webdataset.output import WebDatasetOutput
from avagent.storage.retries import DEFAULT_RETRIES, RetryPolicy

SampleT = TypeVar("SampleT")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardOptions:
    """How shards, and the media in them, are read, whatever their format.

    Attributes:
        limits: what a shard may claim.
        fields: which features of a TFRecord are what.
        suffixes: which members of a WebDataset sample are what.
        media: what media may declare and decode to.
        decoding: what decoding a clip may cost.
        storage: how often, and how long, remote storage is tried.
    """

    limits: ShardLimits = DEFAULT_LIMITS
    fields: FieldMapping = DEFAULT_FIELDS
    suffixes: SuffixMapping = DEFAULT_SUFFIXES
    media: MediaLimits = MEDIA_LIMITS
    decoding: DecodeLimits = DEFAULT_DECODING
    storage: RetryPolicy = DEFAULT_RETRIES


DEFAULT_OPTIONS = ShardOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFormat(Generic[SampleT]):
    """A format.

    Attributes:
        name: for messages.
        files: what names of its shards look like, for people.
        pattern: of its shards' file names.
        iter_samples: all that a shard holds, in order, in one pass: samples, which have an `index`, a `clip()` and a
            `ref(shard, clip)`, good or bad, and what lies between them. Raises OSError.
        read_shard: the same with references, without what lies between; a shard that cannot be read is a bad sample.
        read_clip: one clip by its reference. Raises ShardError.
        inspect: what is in a shard. Raises OSError.
        open_output: (shard, output folder, stack) -> where its clips go.
    """

    name: str
    files: str
    pattern: re.Pattern[str]
    iter_samples: Callable[[str, ShardOptions], Iterator[SampleT | BadSample | Loose]]
    read_shard: Callable[[str, ShardOptions], Iterator[ShardItem]]
    read_clip: Callable[[ClipRef, ShardOptions], Clip]
    inspect: Callable[[str, ShardOptions], ShardSummary]
    open_output: Callable[[str, str, ExitStack], ShardOutput[SampleT]]


WEBDATASET: ShardFormat[Sample] = ShardFormat(
    name="WebDataset",
    files="*.tar (or *.tar.gz, *.tgz)",
    pattern=re.compile(r"\.(tar(\.gz)?|tgz)$", re.IGNORECASE),
    iter_samples=lambda shard, options: samples.iter_samples(shard, options.limits, options.suffixes),
    read_shard=lambda shard, options: samples.read_shard(shard, options.limits, options.suffixes),
    read_clip=lambda ref, options: samples.read_clip(ref, options.limits, options.suffixes),
    inspect=lambda shard, options: samples.inspect_shard(shard, options.limits),
    open_output=WebDatasetOutput,
)
TFRECORD: ShardFormat[RecordSample] = ShardFormat(
    name="TFRecord",
    files="*.tfrecord*",
    pattern=re.compile(r"\.(tfrecords?|tfrec)(-\d+-of-\d+)?(\.gz)?$"),
    iter_samples=lambda shard, options: records.iter_records(shard, options.limits, options.fields),
    read_shard=lambda shard, options: records.read_shard(shard, options.limits, options.fields),
    read_clip=lambda ref, options: records.read_clip(ref, options.limits, options.fields),
    inspect=lambda shard, options: records.inspect_shard(shard, options.limits, options.fields),
    open_output=TFRecordOutput,
)
FORMATS: tuple[ShardFormat[Any], ...] = (WEBDATASET, TFRECORD)


def is_shard(url: str) -> bool:
    """Whether a file's name is that of a shard."""
    name = storage.basename(url)
    return not name.startswith(".") and any(known.pattern.search(name) for known in FORMATS)


def format_of(shard: str) -> ShardFormat[Any]:
    """The format of a shard, by its name."""
    name = storage.basename(shard)
    return next((known for known in FORMATS if known.pattern.search(name)), WEBDATASET)


def read_shard(shard: str, options: ShardOptions = DEFAULT_OPTIONS) -> Iterator[ShardItem]:
    """The clips of a shard with their references, and what is bad, in order, in one pass."""
    return format_of(shard).read_shard(shard, options)


def read_clip(ref: ClipRef, options: ShardOptions = DEFAULT_OPTIONS) -> Clip:
    """One clip by its reference. Raises ShardError."""
    return format_of(ref.shard).read_clip(ref, options)


def inspect_shard(shard: str, options: ShardOptions = DEFAULT_OPTIONS) -> ShardSummary:
    """What is in a shard. Raises OSError."""
    return format_of(shard).inspect(shard, options)


def count_clips(shard: str, most: int) -> int:
    """Samples of a shard, good or bad, up to a bound; what cannot be read counts as one, as where it is read."""
    found = 0
    items = format_of(shard).iter_samples(shard, DEFAULT_OPTIONS)
    try:
        for _ in islice((item for item in items if not isinstance(item, Loose)), most):
            found += 1
    except OSError:
        return min(found + 1, most)
    return found
