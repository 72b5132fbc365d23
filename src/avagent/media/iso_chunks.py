"""Where the samples of the tracks of an ISO media file lie (ISO/IEC 14496-12, sections 8.6 and 8.7)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from avagent.media.iso_boxes import Box, Span, timescale

_CHUNK_S = 0.5
"""Sound comes in pieces so long between the pictures, that both can be played while the file is fetched."""


@dataclass(slots=True)
class Chunk:
    """Samples of one track that lie behind one another.

    Attributes:
        track: whose they are.
        number: of the chunk in its track.
        time: when they are decoded, in s.
        source: the file that they are in, or None: the one that is worked on.
        offset, size: where they lie there, in bytes.
    """

    track: Box
    number: int
    time: float
    source: bytes | None
    offset: int
    size: int


def chunks_of(track: Box, source: bytes | None = None) -> list[Chunk]:
    """The chunks of a track, in its order. Raises ValueError: its tables disagree."""
    table, clock = table_of(track), timescale(track.find(b"mdia", b"mdhd"))
    offsets, sizes = _offsets(table), _Sizes.of(track)
    firsts = _firsts(table, len(offsets), sizes.count)
    ends, times = sizes.before(firsts), _times(table, firsts) / max(clock, 1)
    return [
        Chunk(
            track=track,
            number=number,
            time=float(times[number]),
            source=source,
            offset=int(offset),
            size=int(ends[number + 1] - ends[number]),
        )
        for number, offset in enumerate(offsets)
    ]


def table_of(track: Box) -> Box:
    """The sample table of a track. Raises ValueError: it has none."""
    table = track.find(b"mdia", b"minf", b"stbl")
    if table is None:
        raise ValueError("a track without a sample table")
    return table


def _body(table: Box, *kinds: bytes) -> tuple[bytes, bytes]:
    """Kind and content of the first of these boxes. Raises ValueError: there is none."""
    for kind in kinds:
        if (box := table.find(kind)) is not None:
            return kind, box.body
    raise ValueError(f"no {kinds!r} in the sample table")


def _rows(body: bytes, start: int, form: str) -> npt.NDArray[np.int64]:
    """A counted table of unsigned numbers, int64 [rows, columns]."""
    count = int.from_bytes(body[start - 4 : start], "big")
    columns, width = len(form), struct.calcsize(">" + form[0])
    if start + count * columns * width > len(body):
        raise ValueError("a table longer than its box")
    flat = np.frombuffer(body, f">u{width}", count * columns, start)
    return flat.astype(np.int64).reshape(count, columns)


def _offsets(table: Box) -> npt.NDArray[np.int64]:
    kind, body = _body(table, b"stco", b"co64")
    return _rows(body, 8, "I" if kind == b"stco" else "Q")[:, 0]


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Bytes of a track's samples: listed one by one, or the same for all (PCM has a sample for every moment).

    Attributes:
        count: of samples.
        each: int64 [count]; None: they are all alike.
        packet: samples, and the bytes that they take together, where they are all alike.
    """

    count: int
    each: npt.NDArray[np.int64] | None
    packet: tuple[int, int] = (1, 1)

    @classmethod
    def of(cls, track: Box) -> _Sizes:
        kind, body = _body(table_of(track), b"stsz", b"stz2")
        count = int.from_bytes(body[8:12], "big")
        if kind == b"stsz":
            uniform = int.from_bytes(body[4:8], "big")
            return cls(count, None, _packet(track, uniform)) if uniform else cls(count, _rows(body, 12, "I")[:, 0])
        if body[7] == 4:  # two samples a byte
            packed = np.frombuffer(body, np.uint8, (count + 1) // 2, 12)
            return cls(count, np.stack([packed >> 4, packed & 15], axis=1).reshape(-1)[:count].astype(np.int64))
        return cls(count, _rows(body, 12, {8: "B", 16: "H"}[body[7]])[:, 0])

    def before(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Bytes of all samples before each of these."""
        if self.each is not None:
            return np.concatenate([[0], np.cumsum(self.each)])[numbers]
        samples, nbytes = self.packet
        return numbers // samples * nbytes


def _packet(track: Box, size: int) -> tuple[int, int]:
    """QuickTime counts samples of PCM as one byte each: the sample description says what they take."""
    handler = track.find(b"mdia", b"hdlr")
    _, body = _body(table_of(track), b"stsd")
    if handler is None or handler.body[8:12] != b"soun" or len(body) < ENTRY[0]:
        return 1, size
    version, channels, bits = (int.from_bytes(body[at : at + 2], "big") for at in (24, 32, 34))
    if version == 1:
        samples, _, nbytes, _ = struct.unpack_from(">IIII", body, ENTRY[0])
        return (samples, nbytes) if samples and nbytes else (1, size)
    if size > 1:
        return 1, size
    if version == 2:
        return 1, int.from_bytes(body[72:76], "big")
    samples, nbytes = _PACKETS.get(body[12:16], (1, bits // 8))
    return samples, max(nbytes * channels, 1)


_PACKETS = {b"ulaw": (1, 1), b"alaw": (1, 1), b"ima4": (64, 34), b"MAC3": (6, 2), b"MAC6": (6, 1)}
"""Samples in a packet, and bytes a channel, of what the sample description calls 16 bits though it is not."""


ENTRY = {0: 44, 1: 60, 2: 80}
"""Where the boxes in a sound's sample description begin, by its version (QuickTime File Format, sound media)."""


def _firsts(table: Box, chunks: int, samples: int) -> npt.NDArray[np.int64]:
    """The first sample of every chunk, and the number of samples."""
    rows = _rows(_body(table, b"stsc")[1], 8, "III")
    if chunks and (not len(rows) or rows[0, 0] != 1 or (np.diff(rows[:, 0]) <= 0).any()):
        raise ValueError("chunks that are not counted from 1 on")
    lasts = np.append(rows[1:, 0] - 1, chunks)
    counts = np.repeat(rows[:, 1], np.maximum(np.minimum(lasts, chunks) - rows[:, 0] + 1, 0))
    firsts = np.concatenate([[0], np.cumsum(counts)])
    if len(counts) != chunks or firsts[-1] != samples:
        raise ValueError(f"{firsts[-1]} samples in chunks, {samples} have a size")
    return firsts


def _times(table: Box, samples: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """When these samples are decoded, in ticks."""
    rows = _rows(_body(table, b"stts")[1], 8, "II")
    counts, steps = np.append(rows[:, 0], 0), np.append(rows[:, 1], 0)
    first = np.concatenate([[0], np.cumsum(counts)])
    ticks = np.concatenate([[0], np.cumsum(counts * steps)])
    row = np.minimum(np.searchsorted(first, samples, side="right") - 1, len(steps) - 1)
    return ticks[row] + (samples - first[row]) * steps[row]


def check_places(chunks: list[Chunk], top: list[Span]) -> None:
    """Raise ValueError unless the chunks lie side by side where samples may lie."""
    places = sorted((chunk.offset, chunk.offset + chunk.size) for chunk in chunks if chunk.size)
    if any(end > start for (_, end), (start, _) in pairwise(places)):
        raise ValueError("two chunks overlap")
    for start, stop in places:
        if not any(s.kind == b"mdat" and s.start <= start and stop <= s.stop for s in top):
            raise ValueError("a chunk outside of the media data")


@dataclass(frozen=True, slots=True)
class Samples:
    """The encoded sound: its samples behind one another, their sizes, how many make a chunk, and how long one is."""

    data: bytes
    sizes: _Sizes
    per_chunk: int
    seconds: float

    @classmethod
    def of(cls, track: Box, file: bytes) -> Samples:
        """Those of a track of a file. Raises ValueError: its tables disagree."""
        data = b"".join(file[c.offset : c.offset + c.size] for c in chunks_of(track, file))
        ticks = int(_times(table_of(track), np.array([1]))[0])
        seconds = max(ticks, 1) / timescale(track.find(b"mdia", b"mdhd"))
        return cls(data, _Sizes.of(track), max(round(_CHUNK_S / seconds), 1), seconds)

    def into(self, track: Box) -> list[Chunk]:
        """Describe the chunks in the track's sample table; where they lie is filled in later."""
        table, count = table_of(track), self.sizes.count
        firsts = np.append(np.arange(0, count, self.per_chunk), count)
        ends = self.sizes.before(firsts)
        full, rest = divmod(count, self.per_chunk)
        rows = ([(1, self.per_chunk, 1)] if full else []) + ([(full + 1, rest, 1)] if rest else [])
        body = struct.pack(">II", 0, len(rows)) + b"".join(struct.pack(">III", *row) for row in rows)
        table.put(Box(b"stsc", body), before=b"stsz")
        table.children = [box for box in table.children if box.kind not in (b"stco", b"co64")]
        table.children.append(Box(b"co64", struct.pack(">II", 0, len(firsts) - 1)))
        return [
            Chunk(
                track=track,
                number=number,
                time=float(firsts[number] * self.seconds),
                source=self.data,
                offset=int(ends[number]),
                size=int(ends[number + 1] - ends[number]),
            )
            for number in range(len(firsts) - 1)
        ]


def set_offsets(chunks: list[Chunk], place: int, *, wide: bool) -> None:
    """Say in the tracks' tables where the chunks lie that are written behind one another from a place on."""
    places: dict[int, dict[int, int]] = {}
    boxes: dict[int, Box] = {}
    for chunk in chunks:
        table = table_of(chunk.track)
        boxes[id(table)] = table
        places.setdefault(id(table), {})[chunk.number] = place
        place += chunk.size
    for key, table in boxes.items():
        box = next(box for box in table.children if box.kind in (b"stco", b"co64"))
        offsets = np.array([places[key][number] for number in range(len(places[key]))], np.int64)
        box.kind = b"co64" if wide else b"stco"
        box.body = struct.pack(">II", 0, len(offsets)) + offsets.astype(">u8" if wide else ">u4").tobytes()
