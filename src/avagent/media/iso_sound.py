"""Put another sound into an ISO media file (mp4, mov, m4a) and leave all else as it is.

A muxer writes what it knows: edit lists of other tracks, telemetry, tracks in codecs that FFmpeg does not know, cover
pictures, what phones note about place and device would be lost. So only the sound's own track is made anew; the other
tracks, their samples and all metadata are copied byte for byte (ISO/IEC 14496-12; QuickTime File Format).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from avagent.media.iso_boxes import Box, Edit, Header, Span, movie, read_edits, spans, timescale, track_id, write_edits
from avagent.media.iso_chunks import ENTRY, Chunk, Samples, check_places, chunks_of, set_offsets, table_of

_MOVED = frozenset({b"moof", b"sidx", b"mfra", b"mvex", b"cmov", b"saio", b"iloc", b"rmra"})
"""What refers to places in the file in ways that are not followed here: fragments, encryption, compression."""
_WIDE_CLOCK = 1 << 31


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundTrack:
    """The new sound.

    Attributes:
        file: an ISO media file that holds it, and nothing else.
        rate: of its clock, in Hz.
        start: when it begins, in samples on the clock of the whole file.
        priming: samples before it that are not to be heard.
        length: of what is heard, in samples.
        lists_channels: whether the samples are in the order that the old track describes (PCM in QuickTime).
    """

    file: bytes
    rate: int
    start: int
    priming: int
    length: int
    lists_channels: bool


def replace_sound(data: bytes, track: int, sound: SoundTrack) -> bytes | None:
    """The file with the sound of one track replaced.

    Args:
        data: the file.
        track: number of the track, as its header has it.
        sound: what replaces it.

    Returns:
        None: the file is not plain enough (fragments, samples in other files, tables that disagree).
    """
    try:
        return _replace(data, track, sound)
    except (ValueError, struct.error, IndexError):
        return None


def _replace(data: bytes, number: int, sound: SoundTrack) -> bytes:
    top = list(spans(data, 0, len(data)))
    index, new = movie(data), movie(sound.file)
    if index is None or new is None or not _plain(top, index):
        raise ValueError("not a plain file")
    tracks = index.all(b"trak")
    old = [track for track in tracks if track_id(track) == number]
    if len(old) != 1:
        raise ValueError(f"{len(old)} tracks have the number {number}")
    copied = [chunk for track in tracks if track is not old[0] for chunk in chunks_of(track)]
    check_places(copied, top)
    samples = Samples.of(new.all(b"trak")[0], sound.file)
    _adopt(old[0], new.all(b"trak")[0], sound)
    _set_clock(index, old[0], sound)
    _without_gapless_tag(index)
    made = samples.into(old[0])
    return _assemble(data, top, index, _interleaved(copied, made))


def _plain(top: list[Span], index: Box) -> bool:
    kinds = {span.kind for span in top} | {box.kind for box in index.children}
    for track in index.all(b"trak"):
        table = track.find(b"mdia", b"minf", b"stbl")
        if table is None or not table.children:
            return False
        kinds |= {box.kind for box in table.children}
    return not kinds & _MOVED and b"mdat" in kinds and all(_in_this_file(track) for track in index.all(b"trak"))


def _in_this_file(track: Box) -> bool:
    """Whether all of a track's samples are here (section 8.7.2: the flag 1 of every reference)."""
    box = track.find(b"mdia", b"minf", b"dinf")
    references = next((s for s in spans(box.body, 0, len(box.body)) if s.kind == b"dref"), None) if box else None
    if box is None or references is None:
        return False
    return all(box.body[s.start + 3] & 1 for s in spans(box.body, references.start + 8, references.stop))


def _adopt(old: Box, new: Box, sound: SoundTrack) -> None:
    """The old track with the new one's samples, clock and codec; its names, language, flags and references stay."""
    media, other = old.find(b"mdia"), new.find(b"mdia")
    if media is None or other is None:
        raise ValueError("a track without media")
    header, its = media.find(b"mdhd"), other.find(b"mdhd")
    info, table = media.find(b"minf"), table_of(new)
    if header is None or its is None or info is None:
        raise ValueError("a track without a header")
    language, clock = Header.of(header), Header.of(its)
    made = replace(clock, times=language.times, rest=language.rest)
    media.put(Box(b"mdhd", made.to_body()), before=b"hdlr")
    if sound.lists_channels:
        _keep_channel_order(table_of(old), table)
    info.put(table, before=b"")


def _keep_channel_order(old: Box, new: Box) -> None:
    """Put the old sample description's `chan` into the new one."""
    before, after = old.find(b"stsd"), new.find(b"stsd")
    kept = None if before is None else next(_channel_lists(before.body), None)
    if before is None or after is None or kept is None:
        return
    order = before.body[kept.begin : kept.stop]
    place = next(_channel_lists(after.body), None)
    body = after.body + order if place is None else after.body[: place.begin] + order + after.body[place.stop :]
    entry = len(body) - 8
    after.body = body[:8] + struct.pack(">I", entry) + body[12:]


def _channel_lists(body: bytes) -> Iterator[Span]:
    """The boxes `chan` in a sound's sample description (one entry)."""
    start = ENTRY.get(int.from_bytes(body[24:26], "big"), len(body))
    yield from (span for span in spans(body, start, len(body)) if span.kind == b"chan")


def _set_clock(index: Box, track: Box, sound: SoundTrack) -> None:
    """Let the movie's clock count samples exactly, and show of the sound what is to be heard."""
    head = index.find(b"mvhd")
    ticks = timescale(head)
    if head is None or not ticks:
        raise ValueError("a movie without a clock")
    factor = math.lcm(ticks, sound.rate) // ticks
    if ticks * factor >= _WIDE_CLOCK:
        factor = -(-sound.rate // ticks)
    clock = ticks * factor
    durations: list[int] = []
    for other in index.all(b"trak"):
        header = other.find(b"tkhd")
        if header is None:
            raise ValueError("a track without a header")
        values = Header.of(header)
        edits = [replace(edit, duration=edit.duration * factor) for edit in read_edits(other)]
        duration = values.duration * factor
        if other is track:
            delay, shown = (round(n * clock / sound.rate) for n in (sound.start, sound.length))
            edits = ([Edit(delay, None)] if delay else []) + [Edit(shown, sound.priming)]
            duration = delay + shown
        if edits:
            write_edits(other, edits)
        header.body = replace(values, duration=duration).to_body()
        durations.append(duration)
    whole = replace(Header.of(head), middle=struct.pack(">I", clock), duration=max(durations))
    head.body = whole.to_body()


def _without_gapless_tag(index: Box) -> None:
    """ITunes notes the old encoder's delay as `iTunSMPB`: of the new sound it would not be true."""
    for box in index.children:
        at = box.body.find(b"iTunSMPB")
        if at >= 0 and (begin := box.body.rfind(b"----", 0, at)) >= 0:
            box.body = box.body[:begin] + b"free" + box.body[begin + 4 :]


def _interleaved(copied: list[Chunk], sound: list[Chunk]) -> list[Chunk]:
    """The other tracks in the order that they lie in, the sound between them by its time."""
    chunks: list[Chunk] = []
    position = 0
    for chunk in sorted(copied, key=lambda c: c.offset):
        while position < len(sound) and sound[position].time <= chunk.time:
            chunks.append(sound[position])
            position += 1
        chunks.append(chunk)
    return chunks + sound[position:]


def _assemble(data: bytes, top: list[Span], index: Box, chunks: list[Chunk]) -> bytes:
    first = next(span for span in top if span.kind == b"mdat")
    kept = [span for span in top if span.kind != b"mdat" or span is first]
    media = sum(chunk.size for chunk in chunks)
    wide = len(data) + media >= 1 << 32
    header = struct.pack(">I4sQ", 1, b"mdat", media + 16) if wide else struct.pack(">I4s", media + 8, b"mdat")
    set_offsets(chunks, 0, wide=wide)
    size = len(index.to_bytes())
    before = kept[: kept.index(first)]
    place = sum(size if span.kind == b"moov" else span.stop - span.begin for span in before) + len(header)
    set_offsets(chunks, place, wide=wide)
    result = bytearray()
    for span in kept:
        if span is first:
            result += header
            for chunk in chunks:
                result += (data if chunk.source is None else chunk.source)[chunk.offset : chunk.offset + chunk.size]
        else:
            result += index.to_bytes() if span.kind == b"moov" else data[span.begin : span.stop]
    # Cameras note things behind the last box, in forms of their own.
    return bytes(result) + data[top[-1].stop :]
