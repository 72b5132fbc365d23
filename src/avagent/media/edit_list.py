"""Read and set the edit list of one track of an ISO media file (ISO/IEC 14496-12, section 8.6.6).

FFmpeg's muxer skips encoder priming by the edit list only for sound that starts at 0: sound that starts later would
play its priming, and the padding of the last block would stay audible. Both are mended here, after the file is written.
FFmpeg's demuxer, in turn, does not report the edited duration of a track that starts later.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction

from avagent.media.iso_boxes import Box, Edit, Span, movie, read_edits, spans, timescale, track_id

_EMPTY = -1
"""Media time of an edit that shows nothing."""
_AS_RECORDED = 0x10000


def set_edit(data: bytearray, track: int, *, delay: int, priming: int, length: int) -> bool:
    """Make a track start after `delay`, skip `priming` and last `length`.

    Args:
        data: the file, changed in place.
        track: number of the track in the file, from 0.
        delay, length: in ticks of the movie's clock.
        priming: in ticks of the track's own clock.

    Returns:
        False: the track has no edit list of the form that is needed (one edit, and an empty one before it if there is a
        delay), and nothing was changed.
    """
    edits = _edits(data, track)
    wanted = ([(delay, _EMPTY)] if delay > 0 else []) + [(length, priming)]
    if edits is None or [media == _EMPTY for _, media in edits.values] != [media == _EMPTY for _, media in wanted]:
        return False
    for index, values in enumerate(wanted):
        struct.pack_into(edits.form, data, edits.start + index * edits.step, *values)
    return True


def set_edit_length(data: bytearray, track: int, length: int) -> None:
    """Make the last edit of a track last `length` ticks of the movie's clock; nothing if it has no edit list."""
    edits = _edits(data, track)
    if edits is not None and edits.values:
        at = len(edits.values) - 1
        struct.pack_into(edits.form, data, edits.start + at * edits.step, length, edits.values[at][1])


def edited_duration(data: bytes, track: int) -> Fraction | None:
    """How long a track is shown, in s; None: it has no edit list, or one that puts several pieces together.

    Args:
        data: the file.
        track: number of the track, as its header has it.
    """
    index = movie(data)
    shown, ticks = _pieces(index, track), 0 if index is None else timescale(index.find(b"mvhd"))
    return Fraction(shown[0].duration, ticks) if len(shown) == 1 and shown[0].duration > 0 and ticks > 0 else None


def hidden_head(data: bytes, track: int) -> Fraction:
    """How much of a track an edit without a length hides at its beginning, in s: fragmented files have such edits.

    Args:
        data: the file.
        track: number of the track, as its header has it.
    """
    index = movie(data)
    shown, found = _pieces(index, track), _track(index, track)
    ticks = 0 if found is None else timescale(found.find(b"mdia", b"mdhd"))
    if len(shown) != 1 or shown[0].duration > 0 or ticks <= 0:
        return Fraction(0)
    return Fraction(shown[0].start or 0, ticks)


def is_spliced(data: bytes, track: int) -> bool:
    """Whether an edit list puts a track together from several pieces, or changes its pace; the number as above."""
    shown = _pieces(movie(data), track)
    return len(shown) > 1 or any(edit.rate != _AS_RECORDED for edit in shown)


def _pieces(index: Box | None, track: int) -> list[Edit]:
    found = _track(index, track)
    return [] if found is None else [edit for edit in read_edits(found) if edit.start is not None]


def _track(index: Box | None, number: int) -> Box | None:
    tracks = [] if index is None else [track for track in index.all(b"trak") if track_id(track) == number]
    return tracks[0] if len(tracks) == 1 else None


def moov_first(data: bytes) -> bool:
    """Whether the index comes before the media, so that the file plays while it is being fetched."""
    kinds = [box.kind for box in spans(data, 0, len(data))]
    return b"moov" in kinds and (b"mdat" not in kinds or kinds.index(b"moov") < kinds.index(b"mdat"))


@dataclass(frozen=True, slots=True)
class _Edits:
    """The entries (duration, media time) of an edit list, and where and how they are written."""

    values: list[tuple[int, int]]
    start: int
    step: int
    form: str


def _edits(data: bytes | bytearray, track: int) -> _Edits | None:
    box = _find(data, (b"moov", b"trak", b"edts", b"elst"), track)
    if box is None or box.stop - box.start < 8:
        return None
    form = ">Qq" if data[box.start] == 1 else ">Ii"
    start, step = box.start + 8, struct.calcsize(form) + 4
    count = int.from_bytes(data[box.start + 4 : start], "big")
    if start + count * step > box.stop:
        return None
    return _Edits([struct.unpack_from(form, data, start + i * step) for i in range(count)], start, step, form)


def _find(data: bytes | bytearray, path: tuple[bytes, ...], track: int = 0) -> Span | None:
    """The first box at a path; of tracks the one that comes as that number, from 0."""
    box = Span(b"", 0, 0, len(data))
    for kind in path:
        boxes = [b for b in spans(data, box.start, box.stop) if b.kind == kind]
        index = track if kind == b"trak" else 0
        if index >= len(boxes):
            return None
        box = boxes[index]
    return box
