"""TFRecord shards for tests, made from the format's definition and not by what is tested."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Iterable, Mapping

import google_crc32c

from avagent import storage

MP4 = b"\x00\x00\x00\x18ftypmp42"


def crc32c(data: bytes) -> int:
    """CRC-32C by polynomial division, bit by bit (RFC 3720, B.4: polynomial 0x1EDC6F41, here reflected)."""
    if len(data) > 100_000:  # too slow
        return google_crc32c.value(data)
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    """One frame."""
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def records(items: Iterable[bytes]) -> bytes:
    return b"".join(record(item) for item in items)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def chunk(field: int, data: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return bytes([field << 3 | 2]) + varint(len(data)) + data


def feature(value: bytes | float | list[bytes]) -> bytes:
    """A `tf.train.Feature`; numbers packed, as TensorFlow writes them."""
    match value:
        case bytes():
            return chunk(1, chunk(1, value))
        case list():
            return chunk(1, b"".join(chunk(1, item) for item in value))
        case float():
            return chunk(2, chunk(1, struct.pack("<f", value)))
        case int():
            return chunk(3, chunk(1, varint(value)))


def features(values: Mapping[str, bytes | int | float | list[bytes]]) -> bytes:
    return b"".join(chunk(1, chunk(1, name.encode()) + chunk(2, feature(value))) for name, value in values.items())


def example(values: Mapping[str, bytes | int | float | list[bytes]]) -> bytes:
    """A `tf.train.Example`."""
    return chunk(1, features(values))


def sequence(context: Mapping[str, bytes | int | float | list[bytes]], lists: Mapping[str, list[bytes | int]]) -> bytes:
    """A `tf.train.SequenceExample`."""
    entries = (
        chunk(1, chunk(1, name.encode()) + chunk(2, b"".join(chunk(1, feature(step)) for step in steps)))
        for name, steps in lists.items()
    )
    return chunk(1, features(context)) + chunk(2, b"".join(entries))


def read_records(url: str) -> list[bytes]:
    """The data of a file's records, checksums checked."""
    data = storage.read_bytes(url)
    if url.endswith(".gz"):
        data = gzip.decompress(data)
    found: list[bytes] = []
    while data:
        (length,) = struct.unpack_from("<Q", data)
        found.append(data[12 : 12 + length])
        assert data[: 16 + length] == record(found[-1])
        data = data[16 + length :]
    return found


def read_reasons(output: str, name: str) -> list[dict]:
    text = storage.read_text(storage.join(output, "_errors", f"{name}.errors.jsonl"))
    return [json.loads(line) for line in text.splitlines()]
