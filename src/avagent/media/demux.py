"""Open media from memory, within limits, and say what is in it. Nothing is decoded here."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from fractions import Fraction
from itertools import accumulate

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from avagent.core.errors import FailureReason, MediaError
from avagent.core.media import StreamInfo
from avagent.media.limits import DEFAULT_LIMITS, MediaLimits, over_limit
from avagent.media.pyav import AnyPacket, audio_context, layout_of, samples_of, video_context
from avagent.media.timeline import drift_of

# Playlist and script demuxers (hls, concat, ...) would let a member of a shard open files and addresses of its choice.
_FORMATS = (
    "mov,mp4,matroska,webm,avi,ogg,wav,flac,mp3,aac,png_pipe,jpeg_pipe"
    ",mpegts,mpeg,flv,asf,aiff,caf,w64,au,ac3,eac3,wv,tta,amr"
)

_ISO_STARTS = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")


def corrupt(message: str) -> MediaError:
    """The error for media that cannot be decoded."""
    return MediaError(f"{message}; replace the member or drop the clip", reason=FailureReason.CORRUPT_MEDIA)


def unsupported(message: str) -> MediaError:
    """The error for media of a kind that is not handled."""
    return MediaError(message, reason=FailureReason.UNSUPPORTED_MEDIA)


@contextmanager
def open_media(
    data: bytes, limits: MediaLimits = DEFAULT_LIMITS, *, look_ahead: bool = True
) -> Generator[InputContainer]:
    """A container opened for reading; errors of FFmpeg inside the block become :class:`MediaError`.

    Args:
        data: the file.
        limits: what it may declare.
        look_ahead: read and decode a little, to learn each stream's start and the picture's format and reordering;
            False: trust the headers of mp4 and mov for everything else (1 ms instead of 15 ms at 720p).

    Raises:
        MediaError: zero bytes, not a media file, broken headers or packets, declared values beyond the limits.
    """
    if not data:
        raise corrupt("the media member has zero bytes")
    options = {"format_whitelist": _FORMATS}
    if not look_ahead and data[4:8] in _ISO_STARTS:
        options["probesize"] = "32"
    try:
        container = av.open(
            io.BytesIO(data),
            mode="r",
            # Opening decodes a little, before the declared size can be looked at.
            options={"max_pixels": str(limits.picture_pixels)},
            container_options=options,
            metadata_errors="surrogateescape",
        )
    except (FFmpegError, ValueError) as error:
        if isinstance(error, MemoryError):
            raise _no_memory() from error
        raise corrupt(
            f"cannot open the media member ({len(data)} bytes): {_reason(error)}. It is damaged, or not one of mp4,"
            " mov, mkv, webm, avi, MPEG-TS, MPEG-PS, FLV, ASF, wav, flac, mp3, ogg, m4a, aac, AIFF, CAF, Wave64,"
            " jpg, png"
        ) from error
    with container:
        _apply_limits(container, limits, look_ahead=look_ahead)
        with ffmpeg_errors(container):
            yield container


@contextmanager
def ffmpeg_errors(container: InputContainer) -> Generator[None]:
    """Errors of FFmpeg inside the block become :class:`MediaError`."""
    try:
        yield
    except FFmpegError as error:
        if isinstance(error, MemoryError):
            raise _no_memory() from error
        raise corrupt(f"cannot decode the {container.format.name} member: {_reason(error)}") from error


def _no_memory() -> MediaError:
    # FFmpeg says the same where the rows that it adds for itself exceed the pixels that it is allowed.
    return over_limit("the media need more memory, or larger pictures, than they may", "decode_memory_mib")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _apply_limits(container: InputContainer, limits: MediaLimits, *, look_ahead: bool) -> None:
    if len(container.streams) > limits.streams:
        raise over_limit(
            f"the member declares {len(container.streams)} streams, the limit is {limits.streams}", "streams"
        )
    durations = [seconds(stream.duration, stream.time_base) or 0.0 for stream in container.streams]
    _limit_duration(max([(container.duration or 0) / 1e6, *durations]), limits)
    for video in container.streams.video:
        unknown_may_be = look_ahead and not _is_image(container) and not is_cover(video)
        _limit_picture(video, limits, unknown_is_too_large=unknown_may_be)
    for audio in container.streams.audio:
        _limit_sound(audio, limits)


def _limit_duration(longest: float, limits: MediaLimits) -> None:
    if longest > limits.media_seconds:
        raise over_limit(
            f"the member declares {longest:.0f} s, the limit is {limits.media_seconds:.0f} s", "media_seconds"
        )


def _limit_picture(stream: VideoStream, limits: MediaLimits, *, unknown_is_too_large: bool) -> None:
    """Image members tell their size only when they are decoded; of others FFmpeg forgets one beyond `max_pixels`."""
    context = video_context(stream)
    if context is not None:
        context.options["max_pixels"] = str(limits.picture_pixels)
    width, height = (context.width, context.height) if context is not None else (0, 0)
    unknown = unknown_is_too_large and context is not None and 0 in (width, height)
    if max(width, height) > limits.picture_side or width * height > limits.picture_pixels or unknown:
        size = "an impossible size or too many pixels" if unknown else f"{width}x{height}"
        raise over_limit(
            f"the member declares pictures of {size}, the limits are"
            f" {limits.picture_side} a side and {limits.picture_pixels} pixels",
            "picture_side" if max(width, height) > limits.picture_side else "picture_pixels",
        )
    if stream.frames > limits.pictures:
        raise over_limit(f"the member declares {stream.frames} pictures, the limit is {limits.pictures}", "pictures")


def _limit_sound(stream: AudioStream, limits: MediaLimits) -> None:
    context = audio_context(stream)
    if context is None:
        return
    channels, rate = layout_of(context).nb_channels, context.sample_rate
    if channels > limits.channels or rate > limits.sample_rate:
        raise over_limit(
            f"the member declares {channels} channels at {rate} Hz, the limits are {limits.channels} channels and"
            f" {limits.sample_rate} Hz",
            "channels" if channels > limits.channels else "sample_rate",
        )


def _is_image(container: InputContainer) -> bool:
    return container.format.name.endswith("_pipe")


def is_cover(stream: Stream) -> bool:
    """Whether the stream is a picture that belongs to a song, not to a clip."""
    return bool(stream.disposition & Disposition.attached_pic)


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The sound that a player would choose; None: there is none.

    Raises:
        MediaError: no decoder for it.
    """
    stream = container.streams.best("audio")
    if not isinstance(stream, AudioStream):
        stream = next(iter(container.streams.audio), None)
    if stream is None:
        return None
    if audio_context(stream) is None:
        raise unsupported("the sound is coded in a format that this FFmpeg build cannot decode; transcode the clip")
    return stream


def video_stream(container: InputContainer) -> VideoStream | None:
    """The moving picture that a player would choose; None: there is none. Cover art does not count.

    Raises:
        MediaError: no decoder for it.
    """
    candidates = [s for s in container.streams.video if not is_cover(s)]
    if not candidates:
        return None
    best = container.streams.best("video")
    stream = next((s for s in candidates if best is not None and s.index == best.index), candidates[0])
    if video_context(stream) is None:
        raise unsupported("the picture is coded in a format that this FFmpeg build cannot decode; transcode the clip")
    return stream


def seconds(value: int | None, time_base: Fraction | None) -> float | None:
    """A timestamp in s."""
    return None if value is None or time_base is None else float(value * time_base)


def start_of(stream: Stream | None) -> float:
    """First presentation time in s, 0 where the container does not tell."""
    return 0.0 if stream is None else seconds(stream.start_time, stream.time_base) or 0.0


def _durations(
    container: InputContainer,
    streams: list[Stream],
    packets: Iterable[AnyPacket],
    stamps: list[tuple[Fraction, AnyPacket]],
) -> dict[int, float]:
    """Duration in s by stream: as declared, else (Matroska) from the first packet to the end of the last.

    Then the sound's packets and their times, in s, are put into `stamps`.
    """
    known = {s.index: seconds(s.duration, s.time_base) for s in streams}
    found = {index: duration for index, duration in known.items() if duration is not None}
    if len(found) == len(streams):
        return found
    spans: dict[int, tuple[Fraction, Fraction]] = {}
    # All streams: subtitles may outlast sound and picture.
    for packet in packets:
        if packet.pts is not None and packet.size:
            start = packet.pts * packet.time_base
            end = start + (packet.duration or 0) * packet.time_base
            first, last = spans.get(packet.stream_index, (start, end))
            spans[packet.stream_index] = min(first, start), max(last, end)
            if packet.stream_index == streams[0].index:
                stamps.append((start, packet))
    if spans and container.duration is not None:
        end, declared = float(max(last for _, last in spans.values())), container.duration / 1e6
        if end < 0.9 * declared - 0.5:
            raise corrupt(f"the member ends after {end:.2f} s of the {declared:.2f} s declared: it is truncated")
    wanted = {stream.index for stream in streams}
    return {index: float(last - first) for index, (first, last) in spans.items() if index in wanted} | found


def _drift(stream: AudioStream, packets: list[tuple[Fraction, AnyPacket]]) -> float:
    """How far the packets' times run away from the samples in them: see :func:`avagent.media.timeline.drift_of`."""
    context = stream.codec_context
    counts = [samples_of(context, packet) for _, packet in packets]
    if not all(counts) or not context.sample_rate:
        return 0.0
    taken = [0.0, *accumulate(count / context.sample_rate for count in counts)]
    return drift_of([float(time - packets[0][0]) for time, _ in packets], taken[:-1])


def probe(data: bytes, *, limits: MediaLimits = DEFAULT_LIMITS) -> StreamInfo:
    """What the container declares, without decoding.

    Raises:
        MediaError: see :func:`open_media`.
    """
    with open_media(data, limits) as container:
        return stream_info(container, container.demux(), limits)


def stream_info(container: InputContainer, packets: Iterable[AnyPacket], limits: MediaLimits) -> StreamInfo:
    """What an open container declares; `packets`, of all streams, are looked at where it declares no durations.

    Raises:
        MediaError: no decoder for a stream, a duration beyond the limits.
    """
    audio, video = audio_stream(container), video_stream(container)
    rate = None if video is None else video.average_rate
    stamps: list[tuple[Fraction, AnyPacket]] = []
    durations = _durations(container, [s for s in (audio, video) if s is not None], packets, stamps)
    _limit_duration(max(durations.values(), default=0.0), limits)
    return StreamInfo(
        has_audio=audio is not None,
        has_video=video is not None,
        audio_duration=None if audio is None else durations.get(audio.index),
        video_duration=None if video is None else durations.get(video.index),
        audio_start=start_of(audio),
        video_start=start_of(video),
        audio_codec=None if audio is None else audio.codec_context.codec.canonical_name,
        video_codec=None if video is None else video.codec_context.codec.canonical_name,
        rate=None if audio is None else audio.codec_context.sample_rate,
        channels=None if audio is None else layout_of(audio.codec_context).nb_channels,
        width=None if video is None else video.codec_context.width,
        height=None if video is None else video.codec_context.height,
        frame_rate=None if rate is None else float(rate),
        audio_drift=0.0 if audio is None else _drift(audio, stamps),
    )
