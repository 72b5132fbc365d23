"""ISO media files taken apart and changed for tests; indexes lie behind the media, so that no offset changes."""

from __future__ import annotations

import struct

from avagent.media.iso_boxes import Box, movie, track_id
from avagent.media.iso_chunks import chunks_of


def track_of(data: bytes, number: int) -> Box:
    """A track by its number."""
    index = movie(data)
    assert index is not None
    return next(track for track in index.all(b"trak") if track_id(track) == number)


def samples_of(data: bytes, number: int) -> list[bytes]:
    """What the chunks of a track hold, joined: how it is cut into chunks does not matter."""
    return [b"".join(data[c.offset : c.offset + c.size] for c in chunks_of(track_of(data, number)))]


def own_boxes(data: bytes, number: int) -> list[bytes]:
    """All that describes a track, less where its chunks lie and what counts in the movie's clock."""
    track = track_of(data, number)
    media = track.find(b"mdia")
    table = track.find(b"mdia", b"minf", b"stbl")
    assert media is not None
    assert table is not None
    table.children = [box for box in table.children if box.kind not in (b"stco", b"co64")]
    others = [box.to_bytes() for box in track.children if box.kind not in (b"tkhd", b"edts", b"mdia")]
    return [*others, media.to_bytes()]


def set_track_edits(data: bytes, number: int, edits: list[tuple[int, int]]) -> bytes:
    """Give a track an edit list of (duration in ms, first tick or -1)."""
    index = movie(data)
    assert index is not None
    clock = int.from_bytes(index.find(b"mvhd").body[12:16], "big")  # type: ignore[union-attr]
    track = next(track for track in index.all(b"trak") if track_id(track) == number)
    rows = b"".join(struct.pack(">IiI", ms * clock // 1000, first, 65536) for ms, first in edits)
    body = struct.pack(">II", 0, len(edits)) + rows
    track.put(Box(b"edts", children=[Box(b"elst", body)]), before=b"mdia")
    return with_index(data, index)


def insert_in_moov(data: bytes, box: bytes) -> bytes:
    """Put a box behind all others of the index."""
    index = movie(data)
    assert index is not None
    index.children.append(Box(box[4:8], box[8:]))
    return with_index(data, index)


def with_index(data: bytes, index: Box) -> bytes:
    """The file with another index, which must be the last box."""
    start = data.rfind(b"moov") - 4
    assert start + int.from_bytes(data[start : start + 4], "big") == len(data)
    return data[:start] + index.to_bytes()
