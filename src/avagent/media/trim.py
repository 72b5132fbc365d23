"""Cut a stretch out of a recording by copying packets: picture and sound are not encoded again.

In mp4 and mov the picture is copied from the keyframe at or before the start, and an edit list (ISO/IEC 14496-12,
section 8.6.6) hides what lies before it: the clip starts where it was asked to, sound and picture alike, or rather with
the next picture: players show the first picture of a track from its beginning, also where it should have begun in the
middle of that picture, and would show it early against the sound. Matroska and
WebM cannot hide anything, so there the clip starts at that keyframe. Sound without a picture: WAV and FLAC are cut at
the sample (they are lossless), other formats at a packet. What was reached is in :class:`Trimmed`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.stream import Stream
from av.video.stream import VideoStream

from avagent.core.errors import FailureReason, MediaError, ParameterError, Stage
from avagent.core.media import Waveform
from avagent.media.demux import audio_stream, corrupt, open_media, start_of, video_stream
from avagent.media.edit_list import set_edit_length
from avagent.media.limits import DEFAULT_LIMITS, MediaLimits
from avagent.media.muxing import MOV_MUXERS, WHOLE_MILLISECONDS
from avagent.media.pyav import AnyPacket, add_copied_stream, fill_decoding_times, fill_durations, keep_frame_rate, mux
from avagent.media.remux import encode_audio, muxer_of, remux
from avagent.media.sound import decode_audio, decode_timed
from avagent.media.written import aspect_of, same_width

_LOSSLESS = ("wav", "flac")
_SAMPLES_AS: Mapping[str, str] = {"avi": "pcm_s16le", "matroska": "flac"}
"""What samples are written as that no packet could be copied of; elsewhere as the container usually has sound."""
_CLOCK_S = Fraction(1, 900)
"""Matroska tells times in milliseconds."""
_PREROLL_S = Fraction(1, 10)
"""Sound before the start that decoders need to get going: a block of AAC, 80 ms of Opus (RFC 7845, section 4.6)."""
_MOVIE_CLOCK = 90_000
_SOON_S = Fraction(1, 10)
_ROUNDING = Fraction(1, 1_000_000)
"""Moments are asked for in binary fractions: 3.3 s is a little less than 3.3."""


class CutKind(StrEnum):
    """How a stretch was cut out."""

    EXACT = "exact"
    KEYFRAME = "keyframe"
    PACKET = "packet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed:
    """A stretch of a recording.

    Attributes:
        data: the file.
        kind: `exact`: from `start` on, which is when a picture begins; `keyframe`: from the keyframe before it, which
            the container cannot hide;
            `packet`: from the packet of sound that holds it.
        start: where the clip begins in the recording, in s.
    """

    data: bytes
    kind: CutKind
    start: float


def trim(data: bytes, start: float, end: float, *, limits: MediaLimits = DEFAULT_LIMITS) -> Trimmed:
    """The part of a recording between two moments, in s from its beginning; shorter where the recording ends before.

    Raises:
        ParameterError: `end` does not come after `start`, or `start` is negative.
        MediaError: the recording cannot be read or written, or has nothing there.
    """
    if not 0 <= start < end:
        raise ParameterError(f"0 <= start < end is needed, got {start} s and {end} s")
    with open_media(data, limits) as container:
        muxer = muxer_of(container, data)
        both = audio_stream(container) is not None and video_stream(container) is not None
    if muxer in _LOSSLESS:
        return _cut_samples(data, muxer, start, end, limits)
    if not both:
        return _copy(data, muxer, start, end, limits)[0]
    if muxer != "avi":
        with suppress(MediaError):
            return _copy(data, muxer, start, end, limits)[0]
    picture, stretch = _copy(data, muxer, start, end, limits, sound=False)
    return _with_samples(data, picture, stretch, limits)


def _copy(
    data: bytes, muxer: str, start: float, end: float, limits: MediaLimits, *, sound: bool = True
) -> tuple[Trimmed, _Stretch]:
    with open_media(data, limits) as container:
        stretch = _choose(container, Fraction(start), Fraction(end), hides=muxer in MOV_MUXERS)
        audio = audio_stream(container) if sound else None
        streams = [s for s in (video_stream(container), audio) if s is not None and stretch.packets.get(s.index)]
        return _copied(muxer, streams, stretch, limits), stretch


def _with_samples(data: bytes, picture: Trimmed, stretch: _Stretch, limits: MediaLimits) -> Trimmed:
    """The cut with the sound's samples, where its packets cannot be copied.

    AVI has no clock by which sound could begin in the middle of a packet; FFmpeg's muxers write fewer codecs than its
    demuxers read; what comes out of some codecs (TTA, Vorbis) hangs on the packets before.
    """
    found = decode_timed(data, limits=limits)
    if found is None:
        return picture
    sound, begin = found
    # The muxer may have moved the pictures, so that none is decoded before 0.
    with open_media(picture.data, limits) as container:
        codec = _SAMPLES_AS.get(muxer_of(container, picture.data), "source")
        stream = video_stream(container)
        moved = Fraction(start_of(stream)) - stretch.first
    first, last = (round((moment - begin) * sound.rate) for moment in (stretch.zero - moved, stretch.end))
    part = np.pad(sound.samples[:, max(first, 0) : max(last, 0)], ((0, 0), (max(-first, 0), 0)))
    if part.shape[1] == 0:
        return picture
    written = remux(picture.data, Waveform(part, sound.rate), audio_codec=codec, limits=limits)
    return replace(picture, data=written)


def _cut_samples(data: bytes, suffix: str, start: float, end: float, limits: MediaLimits) -> Trimmed:
    sound = decode_audio(data, limits=limits)
    first = 0 if sound is None else round(start * sound.rate)
    if sound is None or first >= sound.length:
        raise _nothing(start)
    part = np.ascontiguousarray(sound.samples[:, first : round(end * sound.rate)])
    cut = encode_audio(Waveform(part, sound.rate), suffix, like=data, limits=limits)
    return Trimmed(data=cut, kind=CutKind.EXACT, start=start)


def _nothing(start: float) -> MediaError:
    return corrupt(f"the recording has nothing at {start:g} s, where the clip should begin: it is shorter")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """What to copy.

    Attributes:
        packets: by stream.
        zero, end: the moment that becomes 0, and the last one, in s on the container's clock.
        origin: when the recording begins on it.
        first: when the first picture is shown in the cut, in s.
        kind: how it is cut.
    """

    packets: Mapping[int, list[AnyPacket]]
    zero: Fraction
    end: Fraction
    origin: Fraction
    first: Fraction
    kind: CutKind


def _choose(container: InputContainer, start: Fraction, end: Fraction, *, hides: bool) -> _Stretch:
    audio, video = audio_stream(container), video_stream(container)
    streams: list[Stream] = [s for s in (video, audio) if s is not None]
    if not streams:
        raise corrupt("the recording has neither sound nor picture")
    origin = min(Fraction(start_of(stream)) for stream in streams)
    begin, stop = origin + start, origin + end
    every: dict[int, list[AnyPacket]] = {stream.index: [] for stream in streams}
    for packet in container.demux(streams):
        if packet.size and packet.pts is not None:
            every[packet.stream_index].append(packet)
    for packets in every.values():
        fill_durations(packets)
    if hides and video is not None:
        begin = _next_picture(every[video.index], begin)
    picture = [] if video is None else _pictures(every[video.index], begin, stop)
    zero = begin if hides or not picture else _time(picture[0])
    chosen: dict[int, list[AnyPacket]] = {} if video is None else {video.index: picture}
    if audio is not None:
        chosen[audio.index] = _sounds(every[audio.index], zero, stop, _PREROLL_S if hides else Fraction(0))
        if not hides and not picture and chosen[audio.index]:
            zero = _time(chosen[audio.index][0])
    if not any(chosen.values()):
        raise _nothing(float(start))
    kind = CutKind.EXACT if hides or zero == begin else CutKind.KEYFRAME if picture else CutKind.PACKET
    first = min((_time(packet) - zero for packet in picture), default=Fraction(0))
    first = max(first, Fraction(0)) if hides else first
    return _Stretch(packets=chosen, zero=zero, end=stop, origin=origin, first=first, kind=kind)


def _copied(muxer: str, streams: Sequence[Stream], stretch: _Stretch, limits: MediaLimits) -> Trimmed:
    """A file with the chosen packets of these streams. Raises MediaError: it does not hold them as they are."""
    wanted = [[_time(packet) - stretch.zero for packet in stretch.packets[stream.index]] for stream in streams]
    data = _write(muxer, streams, stretch)
    found = [list[Fraction]() for _ in streams]
    with open_media(data, limits, look_ahead=False) as container:
        for stream, written in zip(streams, container.streams, strict=True):
            if isinstance(stream, VideoStream) and isinstance(written, VideoStream):
                aspects = aspect_of(stream), aspect_of(written)
                if not same_width(*aspects):
                    raise _not_cut(muxer, f"pixels that are {aspects[0]} as wide as high would become {aspects[1]}")
        for packet in container.demux():
            if packet.size:
                found[packet.stream_index].append(_time(packet))
    for stream, times, kept in zip(streams, wanted, found, strict=True):
        moved = [time - old for time, old in zip(kept, times, strict=False)]
        steady = bool(moved) and all(abs(by - (found[0][0] - wanted[0][0])) <= _CLOCK_S for by in moved)
        if len(kept) != len(times) or not steady:
            raise _not_cut(muxer, f"the packets of its {stream.type} do not keep their times")
    if any(stream.type == "audio" for stream in streams):
        decode_timed(data, limits=limits)
    return Trimmed(data=data, kind=stretch.kind, start=float(stretch.zero - stretch.origin))


def _not_cut(muxer: str, why: str) -> MediaError:
    return MediaError(
        f"cannot cut the {muxer} container: {why}; cut the recording yourself",
        reason=FailureReason.WRITE_FAILED,
        stage=Stage.WRITE,
    )


def _next_picture(packets: list[AnyPacket], moment: Fraction) -> Fraction:
    """When the first picture from a moment on begins; far from one, as in a slide show, when the one shown does."""
    times = sorted(_time(packet) for packet in packets)
    later = [time for time in times if time >= moment - _ROUNDING]
    earlier = [time for time in times if time < moment]
    if later and (later[0] - moment <= _SOON_S or not earlier):
        return later[0]
    return earlier[-1] if earlier and max(_end(packet) for packet in packets) > moment else moment


def _pictures(packets: list[AnyPacket], start: Fraction, end: Fraction) -> list[AnyPacket]:
    """From the keyframe at or before the start to the last picture before the end, with all that it refers to."""
    keys = [i for i, p in enumerate(packets) if p.is_keyframe and _time(p) <= start]
    first = keys[-1] if keys else 0
    shown = [i for i in range(first, len(packets)) if start < _end(packets[i]) and _time(packets[i]) < end]
    return packets[first : shown[-1] + 1] if shown else []


def _sounds(packets: list[AnyPacket], start: Fraction, end: Fraction, preroll: Fraction) -> list[AnyPacket]:
    return [p for p in packets if _end(p) > start - preroll and _time(p) < end] if _reaches(packets, start) else []


def _reaches(packets: list[AnyPacket], start: Fraction) -> bool:
    return any(_end(packet) > start for packet in packets)


def _write(muxer: str, streams: Sequence[Stream], stretch: _Stretch) -> bytes:
    buffer = io.BytesIO()
    hides = muxer in MOV_MUXERS
    options = {"fflags": "+bitexact", "avoid_negative_ts": "disabled" if hides else "make_non_negative"}
    if hides:
        options["movie_timescale"] = str(_MOVIE_CLOCK)
    try:
        with av.open(
            buffer, mode="w", format=muxer, container_options=options, metadata_errors="surrogateescape"
        ) as output:
            copies = {stream.index: add_copied_stream(output, stream) for stream in streams}
            if muxer in WHOLE_MILLISECONDS:
                for stream in streams:
                    keep_frame_rate(copies[stream.index], stream, stretch.packets[stream.index])
            output.start_encoding()
            _mux_all(output, copies, stretch)
    except (FFmpegError, ValueError) as error:
        raise _not_cut(muxer, str(error)) from error
    if not hides:
        return buffer.getvalue()
    result = bytearray(buffer.getbuffer())
    for track, stream in enumerate(streams):
        _set_length(result, track, stretch.packets[stream.index], stretch)
    return bytes(result)


def _mux_all(output: OutputContainer, copies: Mapping[int, Stream], stretch: _Stretch) -> None:
    packets = [p for index in copies for p in stretch.packets[index]]
    for index in copies:
        fill_decoding_times(stretch.packets[index])
    for packet in sorted(packets, key=_decoding_time):
        shift = round(stretch.zero / packet.time_base)
        packet.pts = (packet.pts or 0) - shift
        packet.dts = None if packet.dts is None else packet.dts - shift
        packet.stream = copies[packet.stream_index]
        mux(output, [packet])


def _set_length(data: bytearray, track: int, packets: list[AnyPacket], stretch: _Stretch) -> None:
    """End the track where the stretch ends: its last packet may be longer. Times are those after the shift."""
    begin = max(min(_time(packet) for packet in packets), Fraction(0))
    last = min(max(_end(packet) for packet in packets), stretch.end - stretch.zero)
    set_edit_length(data, track, round((last - begin) * _MOVIE_CLOCK))


def _time(packet: AnyPacket) -> Fraction:
    return Fraction(packet.pts or 0) * packet.time_base


def _end(packet: AnyPacket) -> Fraction:
    return Fraction((packet.pts or 0) + (packet.duration or 0)) * packet.time_base


def _decoding_time(packet: AnyPacket) -> Fraction:
    return Fraction(packet.dts if packet.dts is not None else packet.pts or 0) * packet.time_base
