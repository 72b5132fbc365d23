"""What WAV, FLAC and MP3 note besides the sound, put into the new file as it is: no muxer writes all of it.

Recorders keep time code, place and take in WAV's chunks `bext` and `iXML` (EBU Tech 3285), editors their marks in
`cue `; FLAC has pictures, cue sheets and applications' blocks (RFC 9639, section 8), MP3 its ID3 tags.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_OF_THE_SOUND = frozenset({b"fmt ", b"fact", b"data", b"ds64", b"PEAK", b"levl", b"MD5 ", b"JUNK", b"FLLR", b"PAD "})
"""Chunks of WAV that describe the samples, or nothing."""
_FLAC_KEPT = frozenset({2, 4, 5, 6})
"""Blocks of FLAC: application, comments, cue sheet, picture. The others describe the samples, or nothing."""
_LAST_BLOCK = 0x80
_EXTENSIBLE = b"\xfe\xff"
"""The tag of WAV formats that name their speakers (WAVE_FORMAT_EXTENSIBLE)."""
_EXTENDED_SIZE = 40


def keep_tags(old: bytes, new: bytes, muxer: str) -> bytes:
    """The new file with what the old one notes; as it is where its parts are not found.

    Args:
        old: the file that is replaced.
        new: a file of the same format, with other sound.
        muxer: FFmpeg's name of the format.
    """
    match muxer:
        case "wav" if old[:4] in (b"RIFF", b"RF64", b"BW64") and new[:4] == b"RIFF":
            return _wav(old, new)
        case "flac" if old[:4] == new[:4] == b"fLaC":
            return _flac(old, new)
        case "mp3":
            return _mp3(old, new)
        case _:
            return new


def _wav(old: bytes, new: bytes) -> bytes:
    made = {kind: body for kind, body in _chunks(new) if kind in _OF_THE_SOUND}
    if b"fmt " not in made or b"data" not in made:
        return new
    made[b"fmt "] = _same_speakers(dict(_chunks(old)).get(b"fmt ", b""), made[b"fmt "])
    head = [(kind, made[kind]) for kind in (b"fmt ", b"fact") if kind in made]
    before: list[tuple[bytes, bytes]] = []
    after: list[tuple[bytes, bytes]] = []
    kept = before
    for kind, body in _chunks(old):
        if kind == b"data":
            kept = after
        elif kind not in _OF_THE_SOUND:
            kept.append((kind, body))
    chunks = [*before, *head, (b"data", made[b"data"]), *after]
    body = b"".join(struct.pack("<4sI", kind, len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return struct.pack("<4sI4s", b"RIFF", len(body) + 4, b"WAVE") + body


def _same_speakers(old: bytes, new: bytes) -> bytes:
    """The new format with the speakers that the old one names, by bits; without names if it has none."""
    named = old[:2] == _EXTENSIBLE and len(old) >= _EXTENDED_SIZE
    mask = old[20:24] if named else b"\0\0\0\0"
    if old[2:4] != new[2:4]:
        return new
    if new[:2] == _EXTENSIBLE and len(new) >= _EXTENDED_SIZE:
        return new[:20] + mask + new[24:]
    # FFmpeg writes the short form where it has no name for the speakers together.
    return _EXTENSIBLE + new[2:16] + b"\x16\0" + new[14:16] + mask + new[:2] + old[26:40] if named else new


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and contents; ends at one that is longer than the file, but for the samples."""
    place = 12
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        if place + 8 + size > len(data) and kind != b"data":
            return
        yield kind, data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2


def _flac(old: bytes, new: bytes) -> bytes:
    mine, theirs = list(_blocks(old)), list(_blocks(new))
    if not mine or not theirs or theirs[0][0] != 0:
        return new
    frames = new[4 + sum(len(body) + 4 for _, body in theirs) :]
    blocks = [theirs[0], *((kind, body) for kind, body in mine if kind in _FLAC_KEPT)]
    head = b"".join(
        struct.pack(">I", (kind | (_LAST_BLOCK if index == len(blocks) - 1 else 0)) << 24 | len(body)) + body
        for index, (kind, body) in enumerate(blocks)
    )
    return b"fLaC" + head + frames


def _blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    place, last = 4, False
    while not last and place + 4 <= len(data):
        (head,) = struct.unpack_from(">I", data, place)
        size, last = head & 0xFFFFFF, bool(head >> 24 & _LAST_BLOCK)
        if place + 4 + size > len(data):
            return
        yield head >> 24 & ~_LAST_BLOCK, data[place + 4 : place + 4 + size]
        place += 4 + size


def _mp3(old: bytes, new: bytes) -> bytes:
    """ITunes notes the old encoder's delay in its tag: then what the muxer wrote of it has to do."""
    tag = old[: _id3_size(old)]
    if not tag or b"iTunSMPB" in tag or _as_utf16("iTunSMPB") in tag:
        return new
    end = old[-128:] if old[-128:-125] == b"TAG" and new[-128:-125] != b"TAG" else b""
    return tag + new[_id3_size(new) :] + end


def _as_utf16(text: str) -> bytes:
    return text.encode("utf-16-le")


def _id3_size(data: bytes) -> int:
    """Bytes of the ID3v2 tag at the head (ID3v2.4, section 3.1); 0: there is none."""
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    return size + 10 + (10 if data[5] & 0x10 else 0)
