"""Shards that were made to do harm, each beside what becomes of it."""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hostile_decoders import CRASH, HANG
from media_samples import Recipe, build, image, picture, tone_bursts

from avagent.shards.tfrecord.examples import bytes_feature, example_bytes
from avagent.shards.tfrecord.frames import frame, frame_header

GOOD = build(Recipe(size=(32, 32), frames=25))
SETTINGS = {
    "entries": 60,
    "member_bytes": 3_000_000,
    "sample_bytes": 5_000_000,
    "members": 40,
    "header_bytes": 100_000,
    "expansion": 100,
    "media_seconds": 100,
    "channels": 8,
    "sample_rate": 192_000,
    "picture_pixels": 1_000_000,
    "pictures": 1000,
    "decode_seconds": 5,
    "decode_memory_mib": 1024,
}
"""Limits for the tests, so that small shards exceed them."""


@dataclass(frozen=True)
class Hostile:
    """A shard: its name and bytes, the clips that come through, and of each that does not, its reason and why."""

    name: str
    data: bytes
    good: Sequence[str]
    bad: Sequence[tuple[str, str]]


def entry(name: str, data: bytes = b"", *, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data)
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


def claim(name: str, size: int) -> bytes:
    """A header that declares more than follows it."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def extension(kind: bytes, payload: bytes) -> bytes:
    return entry("././@LongLink", payload, kind=kind)


END = bytes(1024)


def names() -> Hostile:
    sparse = tarfile.TarInfo("sparse.mp4")
    sparse.size, sparse.pax_headers = 512, {"GNU.sparse.major": "1", "GNU.sparse.realsize": str(1 << 50)}
    parts = [
        entry("../../escaped.mp4", b"1"),
        entry("/etc/absolute.mp4", b"2"),
        entry("C:\\windows.mp4", b"3"),
        entry("link.mp4", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        entry("hard.mp4", kind=tarfile.LNKTYPE, link="../../etc/passwd"),
        entry("disk.mp4", kind=tarfile.BLKTYPE),
        entry("terminal.mp4", kind=tarfile.CHRTYPE),
        entry("pipe.mp4", kind=tarfile.FIFOTYPE),
        entry("old-sparse.mp4", bytes(512), kind=tarfile.GNUTYPE_SPARSE),
        sparse.tobuf(tarfile.PAX_FORMAT) + bytes(512),
        entry("unharmed.mp4", GOOD),
    ]
    return Hostile("names.tar", b"".join(parts) + END, ["unharmed"], [("unsafe_member", "the member")] * 10)


def tars() -> list[Hostile]:
    good = entry("unharmed.mp4", GOOD)
    last = entry("last.mp4", GOOD)  # Whether it is whole is not known when what follows cannot be read.
    tiny = b"".join(entry(f"{number:03d}.mp4") for number in range(100))
    members = b"".join(entry(f"one.{number}") for number in range(50))
    pax = extension(tarfile.XHDTYPE, b"200000 comment=" + b"x" * 199_984 + b"\n")
    long_name = extension(tarfile.GNUTYPE_LONGNAME, b"n" * 200_000)
    large = entry("large.mp4", bytes(4_000_000))
    two = entry("s.mp4", bytes(2_900_000)) + entry("s.b", bytes(2_900_000))
    empty = [("corrupt_media", "zero bytes")] * 58  # 60 headers are read: a good clip, these, and one not known whole
    through = {
        "too-many.tar": (good + tiny, [*empty, _over("entries")]),
        "a-terabyte.tar": (good + claim("huge.mp4", 1 << 40), [("truncated_shard", "ends within")]),
        "negative.tar": (good + last + claim("less.mp4", -(1 << 40)), [("truncated_shard", "negative")]),
        "large.tar": (large + good + END, [_over("member_bytes")]),
        "sum.tar": (two + good + END, [_over("sample_bytes")]),
        "members.tar": (members + good + END, [_over("members")]),
        "pax.tar": (good + last + pax + good + END, [_over("header_bytes")]),
        "long-name.tar": (good + last + long_name + good + END, [_over("header_bytes")]),
    }
    unreadable = {
        "compressed.tar": (bz2.compress(good + END), "decompress it first"),
        "noise.tar": (np.random.default_rng(1).bytes(5000), "not a tar archive"),
        "empty.tar": (b"", "empty"),
    }
    return [
        names(),
        *(Hostile(name, data, ["unharmed"], bad) for name, (data, bad) in through.items()),
        *(Hostile(name, data, [], [("unreadable_shard", why)]) for name, (data, why) in unreadable.items()),
    ]


def _over(limit: str) -> tuple[str, str]:
    return "limit_exceeded", f"limits.{limit}"


def example(**features: bytes) -> bytes:
    return example_bytes([bytes_feature(name, data) for name, data in features.items()])


def record(data: bytes) -> bytes:
    return b"".join(frame(data))


def tfrecords() -> list[Hostile]:
    good = record(example(key=b"unharmed", mp4=GOOD))
    map_of_nothings = b"\x0a\x00" * 200_000  # entries of a map, of two bytes each
    tiny = example(key=b"tiny", mp4=b"1") + b"\x0a" + _varint(len(map_of_nothings)) + map_of_nothings
    values = example(key=b"values", mp4=b"1") + _many_values(b"image/encoded", 100_000)
    key = example(key=b"k" * 200_000, mp4=b"1")
    bomb = gzip.compress(good + record(example(key=b"zeros", mp4=bytes(2_900_000))) * 3, 9)
    lie = bytearray(frame_header(1 << 60))
    lie[0] ^= 1
    return [
        Hostile(
            "tiny.tfrecord",
            good + record(tiny) + record(values) + record(key),
            ["unharmed"],
            [_over("members"), ("limit_exceeded", "'image/encoded' has more"), _over("header_bytes")],
        ),
        Hostile("bomb.tfrecord.gz", bomb, ["unharmed"], [("corrupt_media", "cannot open"), _over("expansion")]),
        Hostile("lie.tfrecord", good + bytes(lie), ["unharmed"], [("corrupt_record", "checksum")]),
        Hostile("claim.tfrecord", good + frame_header(1 << 60), ["unharmed"], [("truncated_shard", "ends within")]),
        Hostile("wide.tfrecord", record(bytes(6_000_000)) + good, ["unharmed"], [_over("sample_bytes")]),
    ]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _chunk(field: int, data: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(data)) + data


def _many_values(name: bytes, count: int) -> bytes:
    """A feature of empty byte strings."""
    return _chunk(1, _chunk(1, _chunk(1, name) + _chunk(2, _chunk(1, b"\x0a\x00" * count))))


def media() -> Hostile:
    """A shard whose clips are well-formed entries, and hostile media."""
    clips = {
        "channels.wav": (wav_header(channels=64), *_over("channels")),
        "rate.wav": (wav_header(rate=2_000_000_000), *_over("sample_rate")),
        "declared.mkv": (longer(build(Recipe(muxer="matroska", size=(32, 32)))), *_over("media_seconds")),
        "decoded.flac": (silence(150), *_over("media_seconds")),
        "pixels.mp4": (build(Recipe(size=(1280, 960), frames=2)), *_over("picture_pixels")),
        "pictures.mp4": (build(Recipe(size=(16, 16), frames=1100, frame_rate=100)), *_over("pictures")),
        "hang.wav": (wav_header() + HANG, "decoder_timed_out", "limits.decode_seconds"),
        "crash.wav": (wav_header() + CRASH, "decoder_crashed", "signal"),
        "playlist.mp4": (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "corrupt_media", "cannot open"),
        "nothing.mp4": (b"", "corrupt_media", "zero bytes"),
        "text.txt": (b"no media at all", "no_media", "no media"),
    }
    parts = [entry(name, data) for name, (data, _, _) in clips.items()]
    parts += [entry("bomb.wav", wav_header() + bytes(8000)), entry("bomb.png", png(5000, 5000))]
    parts += [entry("unharmed.mp4", GOOD)]
    bad = [(reason, why) for _, reason, why in clips.values()] + [_over("picture")]
    return Hostile("media.tar", b"".join(parts) + END, ["unharmed"], bad)


def wav_header(*, channels: int = 1, rate: int = 8000, samples: int = 400) -> bytes:
    block = channels * 2
    head = struct.pack("<HHIIHH", 1, channels, rate, min(rate * block, 0xFFFFFFFF), min(block, 0xFFFF), 16)
    data = bytes(samples * 2)
    size = 4 + 8 + len(head) + 8 + len(data)
    return (
        b"RIFF"
        + struct.pack("<I", size)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + head
        + b"data"
        + struct.pack("<I", len(data))
        + data
    )


def longer(mkv: bytes) -> bytes:
    """The clip with 30 years declared."""
    data = bytearray(mkv)
    at = data.index(b"\x44\x89\x88") + 3  # EBML: Duration, 8 bytes
    struct.pack_into(">d", data, at, 1e12)
    return bytes(data)


def silence(seconds: float) -> bytes:
    """FLAC that declares no length, and decodes to a thousand times its size."""
    buffer = io.BytesIO()
    quiet = tone_bursts(0.1, 48_000, 1)
    made = build(
        Recipe(
            muxer="flac",
            video_codec=None,
            audio_codec="flac",
            sound=type(quiet)(np.zeros((1, round(seconds * 48_000)), np.float32), 48_000),
        )
    )
    buffer.write(made)
    data = bytearray(made)
    # STREAMINFO: the lower 36 bits of the eight bytes at 18 count samples; 0: unknown.
    (word,) = struct.unpack_from(">Q", data, 18)
    struct.pack_into(">Q", data, 18, word >> 36 << 36)
    return bytes(data)


def png(width: int, height: int) -> bytes:
    """A small picture whose header claims another size."""
    data = bytearray(image(picture(0, (16, 16))))
    struct.pack_into(">II", data, 16, width, height)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    return bytes(data)
