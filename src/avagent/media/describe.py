"""All that a container says of itself, and what would become of it if its sound were repaired."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from avagent.core.errors import MediaError
from avagent.media.demux import audio_stream, open_media
from avagent.media.iso_boxes import movie, read_edits, timescale, track_id
from avagent.media.limits import DEFAULT_LIMITS, MediaLimits
from avagent.media.pyav import context_of
from avagent.media.remux import remux
from avagent.media.sound import decode_audio


def describe_media(data: bytes, *, limits: MediaLimits = DEFAULT_LIMITS) -> dict[str, Any]:
    """The container by its content, its streams, edit lists, chapters and tags, as plain values.

    Args:
        data: the file.
        limits: of the media.

    Returns:
        `container` (FFmpeg's name), `seconds`, `streams` (a table each: number, type, codec, packets, bytes, hash of
        the packets, times in s, and what its kind has), `edit_lists` (by number of the track: `from` and `for`, in s;
        from None: nothing is shown), `chapters` (how many), `tags`.

    Raises:
        MediaError: it cannot be opened.
    """
    with open_media(data, limits) as container:
        payloads = _payloads(container)
        return {
            "container": container.format.name,
            "seconds": None if container.duration is None else container.duration / 1e6,
            "streams": [_stream(stream, payloads[stream.index]) for stream in container.streams],
            "edit_lists": _edit_lists(data),
            "chapters": len(container.chapters()),
            "tags": {key: _printable(value) for key, value in container.metadata.items()},
        }


def try_repair(
    data: bytes, *, suffix: str = "", audio_codec: str = "source", limits: MediaLimits = DEFAULT_LIMITS
) -> dict[str, Any]:
    """What a repair would make of the container, found by writing it again with its own sound.

    Returns:
        `possible`, and if it is not, `reason` and `message`; else `codec` of the new sound, and for each stream by its
        number whether it is `carried` packet by packet, `made_anew` or `left_out`.

    Raises:
        MediaError: it cannot be read.
    """
    sound = decode_audio(data, limits=limits)
    if sound is None:
        return {"possible": False, "reason": "no_media", "message": "there is no sound"}
    try:
        result = remux(data, sound, audio_codec=audio_codec, suffix=suffix, limits=limits)
    except MediaError as error:
        return {"possible": False, "reason": str(error.reason), "message": str(error)}
    before, after = describe_media(data, limits=limits), describe_media(result, limits=limits)
    with open_media(data, limits) as container:
        heard = audio_stream(container)
        replaced = None if heard is None else heard.index
    hashes = {stream["sha256"] for stream in after["streams"]}
    left = {
        stream["type"]
        for stream in after["streams"]
        if stream["sha256"] not in {s["sha256"] for s in before["streams"]}
    }
    fates: dict[str, str] = {}
    for stream in before["streams"]:
        if stream["index"] == replaced:
            fate = "made_anew"
        elif stream["sha256"] in hashes:
            fate = "carried"
        else:
            fate = "made_anew" if stream["type"] in left - {"audio"} else "left_out"
        fates[str(stream["index"])] = fate
    codecs = [stream["codec"] for stream in after["streams"] if stream["type"] == "audio"]
    return {"possible": True, "codec": codecs[0] if codecs else None, "container": after["container"], "streams": fates}


@dataclass(slots=True)
class _Payload:
    """The packets of a stream, summed up."""

    packets: int = 0
    nbytes: int = 0
    digest: Any = field(default_factory=hashlib.sha256)


def _payloads(container: InputContainer) -> dict[int, _Payload]:
    found = {stream.index: _Payload() for stream in container.streams}
    for packet in container.demux():
        if packet.size:
            payload = found.setdefault(packet.stream_index, _Payload())
            payload.packets += 1
            payload.nbytes += packet.size
            payload.digest.update(bytes(packet))
    return found


def _stream(stream: Stream, payload: _Payload) -> dict[str, Any]:
    context, base = context_of(stream), stream.time_base
    ticks = {"start": stream.start_time, "duration": stream.duration}
    told: dict[str, Any] = {
        "index": stream.index,
        "id": stream.id,
        "type": stream.type,
        "codec": None if context is None else context.name,
        **{name: None if value is None or base is None else float(value * base) for name, value in ticks.items()},
        "packets": payload.packets,
        "bytes": payload.nbytes,
        "sha256": payload.digest.hexdigest(),
        "disposition": [flag.name for flag in type(stream.disposition) if flag.value and flag in stream.disposition],
        "tags": {key: _printable(value) for key, value in stream.metadata.items()},
    }
    if isinstance(stream, AudioStream):
        told |= {"rate": stream.codec_context.sample_rate, "channels": stream.codec_context.channels}
        told["layout"] = stream.codec_context.layout.name
    if isinstance(stream, VideoStream):
        rate = stream.average_rate
        told |= {"width": stream.codec_context.width, "height": stream.codec_context.height}
        told["frame_rate"] = None if rate is None else float(rate)
    return told


def _edit_lists(data: bytes) -> dict[str, list[dict[str, float | None]]]:
    """Of an ISO media file, by the number that a track's header has; none of other files."""
    index = movie(data)
    clock = 0 if index is None else timescale(index.find(b"mvhd"))
    found: dict[str, list[dict[str, float | None]]] = {}
    for track in index.all(b"trak") if index is not None and clock else ():
        own = timescale(track.find(b"mdia", b"mdhd"))
        edits = read_edits(track)
        if edits and own:
            found[str(track_id(track))] = [
                {
                    "from": None if edit.start is None else edit.start / own,
                    "for": edit.duration / clock,
                    "rate": edit.rate / 0x10000,
                }
                for edit in edits
            ]
    return found


def _printable(text: str) -> str:
    """Metadata may hold bytes that are no text."""
    return text.encode("utf-8", "replace").decode()
