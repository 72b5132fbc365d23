"""A tag that says in the file itself what was done to its sound; what others have noted there stays as it is.

In mp4 and mov an item of iTunes' list (`----`, named AVAGENT), in WAV a field of LIST INFO (`IAV1`), in FLAC and Ogg a
Vorbis comment, in MP3 a user's text frame of ID3v2 (TXXX), in Matroska and WebM a tag of the segment. FFmpeg's muxers
write those of Ogg and Matroska; the others are put in here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np

from avagent.media.iso_boxes import Box, movie, spans
from avagent.media.iso_chunks import table_of

NAME = "AVAGENT"
_MOST = 9
"""Repairs of a repaired sound that are told apart: AVAGENT, AVAGENT_2, ..."""
_OF_OGG = ("ogg", "matroska", "webm")
_ITUNES = b"\0\0\0\0\0\0\0\0mdirappl" + bytes(9)
_MEAN = b"avagent"


def free_number(keys: Iterable[str]) -> int | None:
    """Which of our tags is the first that a file does not have, from 1 on; None: it has all of them."""
    taken = {key.upper() for key in keys}
    return next((n for n in range(1, _MOST + 1) if not {tag_name(n), _riff_code(n)} & taken), None)


def tag_name(number: int) -> str:
    """How a tag is called where names may be of any length."""
    return NAME if number == 1 else f"{NAME}_{number}"


def _riff_code(number: int) -> str:
    return f"IAV{number}"


def written_by_muxer(muxer: str) -> bool:
    """Whether FFmpeg's muxer of this name writes tags of any name."""
    return muxer in _OF_OGG


def add_tag(data: bytes, muxer: str, number: int, text: str) -> bytes:
    """The file with one tag more; as it is where its parts are not found, or its muxer has written the tag.

    Args:
        data: a whole file.
        muxer: FFmpeg's name of its format.
        number: of our tags, see `free_number`.
        text: ASCII.
    """
    try:
        return _with_tag(data, muxer, number, text.encode("ascii"))
    except (struct.error, IndexError):
        return data  # What was there is not what its format says: it stays as it is.


def _with_tag(data: bytes, muxer: str, number: int, value: bytes) -> bytes:
    name = tag_name(number).encode()
    match muxer:
        case "mp4" | "mov" | "ipod" | "3gp":
            return _iso(data, name, value)
        case "wav" if data[:4] == b"RIFF":
            return _wav(data, _riff_code(number).encode(), value)
        case "flac" if data[:4] == b"fLaC":
            return _flac(data, name + b"=" + value)
        case "mp3":
            return _mp3(data, b"\0" + name + b"\0" + value)
        case _:
            return data


def retagged(data: bytes, old: str, new: str) -> bytes | None:
    """The file as it would have been written with another text in its tag.

    Returns:
        None: it cannot be told by replacing bytes: the texts differ in length, the old one is not there exactly once,
            or the format sums up its bytes (Ogg, Matroska).
    """
    if old == new:
        return data
    summed = data[:4] in (b"OggS", b"\x1a\x45\xdf\xa3")
    if summed or not old or len(old) != len(new) or data.count(old.encode()) != 1:
        return None
    return data.replace(old.encode(), new.encode())


def _iso(data: bytes, name: bytes, value: bytes) -> bytes:
    index = movie(data)
    top = list(spans(data, 0, len(data)))
    if index is None or not index.children or top[-1].stop != len(data):
        return data
    place = next(span for span in top if span.kind == b"moov")
    user = index.find(b"udta")
    body = _with_item(b"" if user is None else user.body, _item(name, value))
    if body is None:
        return data
    if user is None:
        index.children.append(Box(b"udta", body))
    else:
        user.body = body
    grown = len(index.to_bytes()) - (place.stop - place.begin)
    try:
        for track in index.all(b"trak"):
            _move_chunks(table_of(track), place.begin, grown)
    except (ValueError, OverflowError):
        return data
    return data[: place.begin] + index.to_bytes() + data[place.stop :]


def _move_chunks(table: Box, after: int, by: int) -> None:
    """Chunks that lie behind a place begin so many bytes later. Raises ValueError, OverflowError: they cannot."""
    box = table.find(b"stco") or table.find(b"co64")
    if box is None:
        raise ValueError("a track without chunks")
    kind = ">u4" if box.kind == b"stco" else ">u8"
    places = np.frombuffer(box.body, kind, offset=8).astype(np.int64)
    moved = np.where(places > after, places + by, places)
    if box.kind == b"stco" and moved.size and int(moved.max()) >= 1 << 32:
        raise OverflowError("a chunk beyond 4 GiB")
    box.body = box.body[:8] + moved.astype(kind).tobytes()


def _item(name: bytes, value: bytes) -> bytes:
    parts = ((b"mean", bytes(4) + _MEAN), (b"name", bytes(4) + name), (b"data", struct.pack(">II", 1, 0) + value))
    return _boxed(b"----", b"".join(_boxed(kind, body) for kind, body in parts))


def _boxed(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, kind) + body


def _with_item(user: bytes, item: bytes) -> bytes | None:
    """The content of `udta` with one item more in its list; None: what is there is of another make."""
    boxes = list(spans(user, 0, len(user)))
    end = boxes[-1].stop if boxes else 0
    if user[end:].strip(b"\0"):
        return None
    meta = next((box for box in boxes if box.kind == b"meta"), None)
    if meta is None:
        made = bytes(4) + _boxed(b"hdlr", _ITUNES) + _boxed(b"ilst", item)
        return user[:end] + _boxed(b"meta", made) + user[end:]
    inner = list(spans(user, meta.start + 4, meta.stop))
    handler = next((box for box in inner if box.kind == b"hdlr"), None)
    if not inner or inner[-1].stop != meta.stop or handler is None:
        return None
    if user[handler.start + 8 : handler.start + 12] != b"mdir":
        return None
    listed = next((box for box in inner if box.kind == b"ilst"), None)
    if listed is None:
        body = user[meta.start : meta.stop] + _boxed(b"ilst", item)
    else:
        grown = _boxed(b"ilst", user[listed.start : listed.stop] + item)
        body = user[meta.start : listed.begin] + grown + user[listed.stop : meta.stop]
    return user[: meta.begin] + _boxed(b"meta", body) + user[meta.stop :]


def _wav(data: bytes, code: bytes, value: bytes) -> bytes:
    """In the list that is there, or in one before the samples."""
    padded = value + b"\0" + b"\0" * ((len(value) + 1) % 2)
    field = struct.pack("<4sI", code, len(value) + 1) + padded
    place = 12
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        if kind == b"LIST" and data[place + 8 : place + 12] == b"INFO":
            end = place + 8 + size + size % 2
            head = struct.pack("<4sI", b"LIST", end - place - 8 + len(field))
            return _riff(data[:place] + head + data[place + 8 : end] + field + data[end:])
        place += 8 + size + size % 2
    samples = _place_of_data(data)
    if samples is None:
        return data
    return _riff(data[:samples] + struct.pack("<4sI4s", b"LIST", 4 + len(field), b"INFO") + field + data[samples:])


def _place_of_data(data: bytes) -> int | None:
    place = 12
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        if kind == b"data":
            return place
        place += 8 + size + size % 2
    return None


def _riff(data: bytes) -> bytes:
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def _flac(data: bytes, comment: bytes) -> bytes:
    """A comment more (RFC 9639, section 8.6); a block for it, behind the first one, where there is none."""
    place, last = 4, False
    while not last and place + 4 <= len(data):
        (head,) = struct.unpack_from(">I", data, place)
        kind, size, last = head >> 24 & 0x7F, head & 0xFFFFFF, bool(head >> 31)
        if kind == 4:
            body = _commented(data[place + 4 : place + 4 + size], comment)
            block = struct.pack(">I", int(last) << 31 | kind << 24 | len(body)) + body
            return data if len(body) >= 1 << 24 else data[:place] + block + data[place + 4 + size :]
        place += 4 + size
    first = 4 + 4 + int.from_bytes(data[5:8], "big")
    alone = bool(data[4] & 0x80)
    body = _commented(struct.pack("<II", 0, 0), comment)
    block = struct.pack(">I", int(alone) << 31 | 4 << 24 | len(body)) + body
    return data[:4] + bytes([data[4] & 0x7F]) + data[5:first] + block + data[first:]


def _commented(body: bytes, comment: bytes) -> bytes:
    (vendor,) = struct.unpack_from("<I", body)
    (count,) = struct.unpack_from("<I", body, 4 + vendor)
    head = body[: 4 + vendor] + struct.pack("<I", count + 1)
    return head + body[8 + vendor :] + struct.pack("<I", len(comment)) + comment


def _mp3(data: bytes, text: bytes) -> bytes:
    """A frame more, the first one (ID3v2.3 and 2.4, sections 3 and 4); a tag for it where there is none."""
    if data[:3] != b"ID3":
        frame = _frame(4, text)
        return b"ID3\x04\0\0" + _seven_bits(len(frame)) + frame + data
    version, flags = data[3], data[5]
    if flags or version not in (2, 3, 4):
        return data  # Bytes stuffed, headers extended: what is behind the header is not simply frames.
    frame = _frame(version, text)
    size = sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True)) + len(frame)
    return data[:6] + _seven_bits(size) + frame + data[10:]


def _frame(version: int, text: bytes) -> bytes:
    if version == 2:
        return b"TXX" + len(text).to_bytes(3, "big") + text
    size = _seven_bits(len(text)) if version == 4 else len(text).to_bytes(4, "big")
    return b"TXXX" + size + b"\0\0" + text


def _seven_bits(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))
