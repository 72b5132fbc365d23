"""A member's sound, pictures and motion from one opening of it, each packet read and decoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from avagent.core.errors import Failure, MediaError
from avagent.core.media import StreamInfo, Waveform
from avagent.media.demux import audio_stream, ffmpeg_errors, open_media, start_of, stream_info, video_stream
from avagent.media.limits import DEFAULT_LIMITS, MediaLimits
from avagent.media.picture import Picture, check_count, picture_of, track_of
from avagent.media.pyav import AnyPacket
from avagent.media.sound import sound_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureChoice:
    """Which pictures of a moving one are handed out.

    Attributes:
        count: at most.
        max_side: in pixels.
        least_keyframes: where there are so many keyframes, pictures are chosen among them.
        sound_at_zero: whether times count from the first sample of the member's sound, if it has any; else, and for
            a sound that lies in another member, from the first picture: no common clock says otherwise.
    """

    count: int
    max_side: int
    least_keyframes: int
    sound_at_zero: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedMember:
    """What is in a media member. A part that cannot be had is a failure in its place: the others may be fine.

    Attributes:
        streams: what the member declares.
        sound: None: there is none, or it was not asked for.
        picture: None: there is no moving picture, or it was not asked for.
    """

    streams: StreamInfo
    sound: Waveform | Failure | None = None
    picture: Picture | Failure | None = None


def decode_member(
    data: bytes, *, sound: bool = True, pictures: PictureChoice | None = None, limits: MediaLimits = DEFAULT_LIMITS
) -> DecodedMember:
    """All that is asked for of a member.

    Args:
        data: the file.
        sound: whether to decode its sound, as :func:`avagent.media.sound.decode_audio` does.
        pictures: which pictures to hand out, and the motion with them; None: its picture is not decoded.
        limits: of the media.

    Raises:
        MediaError: the member cannot be opened, or breaks off.
    """
    with open_media(data, limits) as container:
        audio, video = audio_stream(container), video_stream(container)
        heard, seen = audio if sound else None, video if pictures is not None else None
        packets = list(_packets(container, seen, limits))
        return DecodedMember(
            streams=stream_info(container, packets, limits),
            sound=None if heard is None else _part(container, lambda: _hear(data, container, heard, packets, limits)),
            picture=None
            if seen is None or pictures is None
            else _part(container, lambda: _see(seen, audio, packets, pictures, limits)),
        )


def _packets(container: InputContainer, video: VideoStream | None, limits: MediaLimits) -> Iterator[AnyPacket]:
    pictures = 0
    for packet in container.demux():
        if video is not None and packet.stream.index == video.index:
            pictures += packet.size > 0
            check_count(pictures, limits)
        yield packet


def _of(stream: Stream, packets: list[AnyPacket]) -> Iterator[AnyPacket]:
    # By `stream`, not `stream_index`: the empty packet that ends a stream carries no index.
    return (packet for packet in packets if packet.stream.index == stream.index)


def _part(container: InputContainer, make: Callable[[], T]) -> T | Failure:
    try:
        with ffmpeg_errors(container):
            return make()
    except MediaError as error:
        return error.failure()


def _hear(
    data: bytes, container: InputContainer, stream: AudioStream, packets: list[AnyPacket], limits: MediaLimits
) -> Waveform:
    own = _of(stream, packets)
    return sound_of(data, container, stream, own, limits)[0]


def _see(
    stream: VideoStream,
    audio: AudioStream | None,
    packets: list[AnyPacket],
    pictures: PictureChoice,
    limits: MediaLimits,
) -> Picture:
    own = _of(stream, packets)
    origin = start_of((audio if pictures.sound_at_zero else None) or stream)
    return picture_of(
        track_of(stream, own, origin, limits),
        pictures.count,
        max_side=pictures.max_side,
        least_keyframes=pictures.least_keyframes,
        limits=limits,
    )
