"""The boxes of an ISO media file (ISO/IEC 14496-12, section 4.2), read into a tree and written again byte for byte."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

_PARENTS = frozenset({b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl"})
"""Boxes that are looked into; what they hold is boxes and nothing else."""


@dataclass(slots=True)
class Box:
    """A box: what it holds is bytes, or other boxes.

    Attributes:
        kind: four bytes.
        body: what follows the header; empty for a parent.
        children: of a parent.
    """

    kind: bytes
    body: bytes = b""
    children: list[Box] = field(default_factory=list["Box"])

    def find(self, *path: bytes) -> Box | None:
        """The first box at a path below this one."""
        box: Box | None = self
        for kind in path:
            if box is None:
                return None
            box = next((child for child in box.children if child.kind == kind), None)
        return box

    def all(self, kind: bytes) -> list[Box]:
        """The children of a kind."""
        return [child for child in self.children if child.kind == kind]

    def put(self, box: Box, *, before: bytes) -> None:
        """Put a child into the place of the one of its kind; without one, before the first of another kind."""
        kinds = [child.kind for child in self.children]
        if box.kind in kinds:
            self.children[kinds.index(box.kind)] = box
        else:
            self.children.insert(kinds.index(before) if before in kinds else len(kinds), box)

    def to_bytes(self) -> bytes:
        """The box with its header."""
        body = b"".join(child.to_bytes() for child in self.children) if self.children else self.body
        return struct.pack(">I4s", len(body) + 8, self.kind) + body


@dataclass(frozen=True, slots=True)
class Span:
    """A box in a file: kind, where it begins, where its payload lies."""

    kind: bytes
    begin: int
    start: int
    stop: int


def spans(data: bytes | bytearray, start: int, stop: int) -> Iterator[Span]:
    """The boxes between two offsets; ends at the first that is not well-formed."""
    while start + 8 <= stop:
        size, kind, header = int.from_bytes(data[start : start + 4], "big"), bytes(data[start + 4 : start + 8]), 8
        if size == 1:
            size, header = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        elif size == 0:
            size = stop - start
        if size < header or start + size > stop:
            return
        yield Span(kind, start, start + header, start + size)
        start += size


def movie(data: bytes) -> Box | None:
    """The file's index; None: there is none, or more than one."""
    found = [span for span in spans(data, 0, len(data)) if span.kind == b"moov"]
    return _tree(data, found[0]) if len(found) == 1 else None


def _tree(data: bytes, span: Span) -> Box:
    inner = list(spans(data, span.start, span.stop)) if span.kind in _PARENTS else []
    if not inner or inner[-1].stop != span.stop:
        return Box(span.kind, data[span.start : span.stop])
    return Box(span.kind, children=[_tree(data, each) for each in inner])


def track_id(track: Box) -> int | None:
    """The number that names a track (section 8.3.2)."""
    header = track.find(b"tkhd")
    if header is None or len(header.body) < 24:
        return None
    return int.from_bytes(header.body[20:24] if header.body[0] == 1 else header.body[12:16], "big")


def handler(data: bytes, number: int) -> bytes:
    """The kind of a track of a file, such as `vide` or `tmcd` (section 8.4.3); empty: there is no such track."""
    index = movie(data)
    tracks = [] if index is None else [track for track in index.all(b"trak") if track_id(track) == number]
    box = tracks[0].find(b"mdia", b"hdlr") if tracks else None
    return b"" if box is None else box.body[8:12]


def timescale(header: Box | None) -> int:
    """Ticks a second of a movie header or a media header (sections 8.2.2, 8.4.2); 0: there is none."""
    if header is None or len(header.body) < 24:
        return 0
    at = 20 if header.body[0] == 1 else 12
    return int.from_bytes(header.body[at : at + 4], "big")


@dataclass(frozen=True, slots=True)
class Header:
    """The header of movie, track or media, in parts.

    Attributes:
        flags: three bytes.
        times: of creation and of the last change.
        middle: a clock's ticks a second, or a track's number and four bytes that are kept free.
        duration: in ticks.
        rest: what follows.
    """

    flags: bytes
    times: tuple[int, int]
    middle: bytes
    duration: int
    rest: bytes

    @classmethod
    def of(cls, box: Box) -> Header:
        """Read `mvhd`, `tkhd` or `mdhd`. Raises ValueError: it is too short."""
        wide, size = box.body[:1] == b"\x01", 8 if box.kind == b"tkhd" else 4
        form = f">QQ{size}sQ" if wide else f">II{size}sI"
        try:
            first, second, middle, duration = struct.unpack_from(form, box.body, 4)
        except struct.error as error:
            raise ValueError(f"a {box.kind!r} of {len(box.body)} bytes") from error
        return cls(box.body[1:4], (first, second), middle, duration, box.body[4 + struct.calcsize(form) :])

    def to_body(self) -> bytes:
        """With 32 bits a time where that is enough."""
        wide = max(*self.times, self.duration) >= 1 << 32
        form = f">QQ{len(self.middle)}sQ" if wide else f">II{len(self.middle)}sI"
        return bytes([wide]) + self.flags + struct.pack(form, *self.times, self.middle, self.duration) + self.rest


@dataclass(frozen=True, slots=True)
class Edit:
    """One entry of an edit list (section 8.6.6).

    Attributes:
        duration: in ticks of the movie's clock.
        start: what is shown first, in ticks of the track's clock; None: nothing is shown.
        rate: as it is written; 0x10000 is as recorded.
    """

    duration: int
    start: int | None
    rate: int = 0x10000


def read_edits(track: Box) -> list[Edit]:
    """A track's edit list; empty: it has none, and all of it is shown."""
    box = track.find(b"edts", b"elst")
    if box is None or len(box.body) < 8:
        return []
    form = ">QqI" if box.body[0] == 1 else ">IiI"
    step, count = struct.calcsize(form), int.from_bytes(box.body[4:8], "big")
    if 8 + count * step > len(box.body):
        return []
    values = [struct.unpack_from(form, box.body, 8 + i * step) for i in range(count)]
    return [Edit(duration, None if start < 0 else start, rate) for duration, start, rate in values]


def write_edits(track: Box, edits: list[Edit]) -> None:
    """Give a track an edit list."""
    wide = any(edit.duration >= 1 << 32 or (edit.start or 0) >= 1 << 31 for edit in edits)
    body = struct.pack(">II", int(wide) << 24, len(edits))
    for edit in edits:
        start = -1 if edit.start is None else edit.start
        body += struct.pack(">QqI" if wide else ">IiI", edit.duration, start, edit.rate)
    track.put(Box(b"edts", children=[Box(b"elst", body)]), before=b"mdia")
