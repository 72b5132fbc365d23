"""Fuzz targets: what reads shards. `fuzz_one` takes bytes, and raises when the reader does not keep its promises."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from contextlib import suppress

from rewrite_tools import loud
from shard_tools import PROVENANCE, end_of, special_entry, tar_bytes, unchanged
from tfrecord_tools import MP4, chunk, example, record, sequence

from avagent import storage
from avagent.core.errors import ShardError
from avagent.runs.rewrite import RewriteOptions, rewrite_shard
from avagent.shards.formats import ShardOptions, format_of, read_clip, read_shard
from avagent.shards.limits import ShardLimits
from avagent.shards.names import unsafe_name
from avagent.shards.samples import BadSample, LoadedClip
from avagent.shards.tfrecord.examples import bytes_values, change_example, list_values, parse_example, text_value
from avagent.shards.tfrecord.wire_fields import count_fields
from avagent.shards.webdataset.tar_reader import BLOCK, read_entries

LIMITS = ShardLimits(member_bytes=5000, sample_bytes=20_000, members=12, header_bytes=3000, entries=60, expansion=50)
OPTIONS = ShardOptions(limits=LIMITS)


class BrokenPromiseError(Exception):
    """A promise was not kept."""


def check(kept: object, promise: str) -> None:
    if not kept:
        raise BrokenPromiseError(promise)


# --- tar


def fuzz_tar(data: bytes) -> None:
    """The tar reader, the grouping into samples, and rewriting; as it is, and with right checksums."""
    for archive in {data, with_checksums(data)}:
        _tar_entries(archive)
        _shard("memory://fuzz/in/s.tar", archive)


def _tar_entries(data: bytes) -> None:
    at = 0
    try:
        for entry in read_entries(io.BytesIO(data), len(data), LIMITS):
            check(not any(data[at : entry.offset]), "nothing but zeros lies between entries")
            at = entry.offset + entry.length
            check(at <= len(data), "an entry ends within the archive")
            if entry.data is not None:
                whole = entry.header + entry.data + entry.padding
                check(whole == data[entry.offset : at], "an entry is copied verbatim")
                check(unsafe_name(entry.name) is None, "what has data has a harmless name")
                check(len(entry.data) <= LIMITS.member_bytes, "members are as large as they may be")
    except ShardError as error:
        check(str(error), "an error has a message")


def with_checksums(data: bytes) -> bytes:
    """The archive with the checksums of all that looks like a header put right: deeper code is reached that way."""
    fixed = bytearray(data)
    for start in range(0, len(data) - BLOCK + 1, BLOCK):
        if fixed[start + 257 : start + 262] == b"ustar":
            block = fixed[start : start + BLOCK]
            block[148:156] = b" " * 8
            fixed[start + 148 : start + 156] = b"%06o\0 " % (sum(block) & 0o777777)
    return bytes(fixed)


def tar_seeds() -> list[bytes]:
    files = [("__info__", b"meta"), ("a.mp4", b"v" * 700), ("a.json", b"{}"), ("b/c.wav", b""), ("b/c.txt", b"t" * 512)]
    long = [("n" * 160 + ".mp4", b"1"), ("é.mp4", b"2")]
    plain = tar_bytes(files)
    body = plain[: end_of(plain)]
    links = special_entry("a.lnk", tarfile.SYMTYPE, "/etc/passwd") + special_entry("b.dev", tarfile.CHRTYPE)
    sparse = tarfile.TarInfo("s.mp4")
    sparse.size, sparse.pax_headers = 512, {"GNU.sparse.major": "1", "GNU.sparse.realsize": "1000000000"}
    pax = sparse.tobuf(tarfile.PAX_FORMAT) + bytes(512)
    shared = tarfile.TarInfo.create_pax_global_header({"comment": "x"})
    return [
        plain,
        tar_bytes(long, form=tarfile.GNU_FORMAT),
        tar_bytes(long, form=tarfile.PAX_FORMAT),
        tar_bytes(files, form=tarfile.USTAR_FORMAT),
        body + links + special_entry("dir.x/", tarfile.DIRTYPE) + bytes(1024),
        shared + body + pax + tar_bytes([("../a.txt", b"1"), ("/b.txt", b"2")]),
        special_entry("old.mp4", tarfile.GNUTYPE_SPARSE) + bytes(512),
        body[: len(body) - 300],
    ]


# --- TFRecord


def fuzz_tfrecord(data: bytes) -> None:
    """The TFRecord reader and rewriting: the bytes as a file, compressed, and as records with right checksums."""
    _shard("memory://fuzz/in/s.tfrecord", data)
    _shard("memory://fuzz/in/s.tfrecord.gz", gzip.compress(data, 1, mtime=0))
    _shard("memory://fuzz/in/s.tfrecord", b"".join(record(part) for part in data.split(b"\xff\xfe")))


def tfrecord_seeds() -> list[bytes]:
    one = example({"key": b"a", "mp4": MP4, "label": 3, "image/encoded": [b"\xff\xd8", b"\x89PNG"]})
    two = sequence({"clip/media_id": b"b", "clip/encoded_media_bytes": MP4}, {"image/encoded": [b"1", b"2"]})
    return [
        record(one) + record(two),
        one + b"\xff\xfe" + two,
        two,
        gzip.compress(record(one) * 3, mtime=0),
        record(one)[:-2],
        struct.pack("<Q", 1 << 60) + record(one)[8:],
    ]


# --- tf.train.Example


def fuzz_example(data: bytes) -> None:
    """The parser of records, the counter before it, and changes of what it takes."""
    try:
        parsed = parse_example(data, LIMITS.members)
    except ShardError:
        return
    check(len(parsed.features) + len(parsed.lists) <= LIMITS.members, "features are as many as there may be")
    check(count_fields(data, 1 << 20, 2) >= len(parsed.features), "counting finds all that parsing finds")
    for feature in (*parsed.features, *parsed.lists):
        for read in (bytes_values, list_values):
            with suppress(ShardError):
                check(sum(map(len, read(feature, LIMITS.members))) <= len(feature.value), "values are a part")
        with suppress(ShardError):
            text_value(feature, LIMITS.header_bytes)
    again = parse_example(change_example(data, parsed.features))
    check(set(again.features) == set(parsed.features), "a change to what it was changes nothing")


def example_seeds() -> list[bytes]:
    return [
        example({"key": b"a", "mp4": MP4, "label": 3, "rate": 0.5, "many": [b"1", b"2"]}),
        sequence({"key": 7}, {"image/encoded": [b"1", b"2"], "n": [1, 2]}),
        chunk(1, chunk(1, b"")) + chunk(9, b"later"),
        bytes([0x0B]) * 20 + bytes([0x0C]) * 20,
    ]


# --- all formats


def _shard(url: str, data: bytes) -> None:
    """Read, read again by reference, rewrite, and count."""
    storage.write_bytes(url, data)
    files = storage.filesystem(url)[0].store
    before = set(files)  # other tests of this process write here as well
    items = list(read_shard(url, OPTIONS))
    check([item_ref(item).index for item in items] == list(range(len(items))), "samples are numbered")
    for item in items:
        if isinstance(item, LoadedClip):
            check(read_clip(item.ref, OPTIONS) == item.clip, "a clip is the same when it is read again")
        else:
            check(item.failure.message and item.failure.reason, "a dead letter has a reason")
    decisions = [i.decision() if isinstance(i, BadSample) else unchanged(i.ref) for i in items]
    options = RewriteOptions(output="memory://fuzz/out", edit=loud, provenance=PROVENANCE, reading=OPTIONS)
    report = rewrite_shard(url, decisions, options)
    check(report.clips == len(items), "clips in = clips out + dead letters")
    outside = [name for name in set(files) - before if not name.startswith("/fuzz/out/")]
    check(not outside, f"nothing is written outside of the output: {outside}")
    if report.url is not None and report.nsamples:
        again = [i for i in read_shard(report.url, ShardOptions()) if isinstance(i, LoadedClip)]
        check(len(again) == report.nsamples, "what is written can be read")
        check(format_of(report.url) is format_of(url), "in the same format")


def item_ref(item: LoadedClip | BadSample):
    return item.ref
