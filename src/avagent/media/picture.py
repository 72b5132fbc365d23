"""Pictures and motion of a container; pictures from separate image members."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from av.container import InputContainer
from av.error import ArgumentError, InvalidDataError
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from avagent.core.media import ByteArray, Frames, Motion
from avagent.dsp.measures.motion import motion_energy
from avagent.media.demux import (
    audio_stream,
    corrupt,
    open_media,
    start_of,
    video_stream,
)
from avagent.media.limits import DEFAULT_LIMITS, MediaLimits, over_limit
from avagent.media.pyav import AnyPacket, decode_video, pixels_of

_MOTION_WIDTH = 96
"""Width in pixels of the grey pictures that motion is measured on: a moving hand is left, grain and noise are not."""

_MOTION_HEIGHT = 16 * _MOTION_WIDTH

_LEAST_DECODED = 0.4
"""Pictures a packet: two packets may hold the two fields of one picture, and some hold pictures that are not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What one decoding pass over a moving picture gives."""

    frames: Frames
    motion: Motion | None


@dataclass(frozen=True, slots=True)
class Track:
    """The packets of a moving picture, and the moment that counts as 0.

    `coded` are all of them: an edit list hides some that shown ones refer to, and FFmpeg drops what they decode to.
    `clock` is the stream's time base: asked of the stream for every picture, it would be reckoned every time.
    """

    stream: VideoStream
    packets: list[AnyPacket]
    coded: list[AnyPacket]
    origin: float
    clock: Fraction | None

    def time_of(self, frame: VideoFrame, index: int) -> float:
        """Presentation time in s; counted by the average rate where the container gives no timestamps."""
        # The stream's clock: PyAV leaves frames that were held back without one.
        if frame.pts is not None and self.clock is not None:
            return frame.pts * self.clock.numerator / self.clock.denominator - self.origin
        return index / float(self.stream.average_rate or 25)


def sample_frames(
    data: bytes,
    count: int = 8,
    *,
    exact: bool = False,
    max_side: int = 360,
    origin: float | None = None,
    limits: MediaLimits = DEFAULT_LIMITS,
) -> Frames | None:
    """At most `count` pictures spread over the clip, scaled to at most `max_side` pixels; None: no moving picture.

    Only keyframes are decoded, so that a clip with few of them gives fewer pictures; `exact` decodes everything and
    gives pictures at evenly spread times. Times are in s from the first sample of the sound (from the first picture
    where there is no sound), so that a picture at t belongs to sample t x rate; `origin`, in s on the container's
    clock, replaces that.

    Raises:
        MediaError: see :func:`avagent.media.demux.open_media`; no picture of the stream can be decoded.
    """
    if exact:
        picture = decode_picture(data, count, max_side=max_side, origin=origin, limits=limits)
        return None if picture is None else picture.frames
    with open_media(data, limits) as container:
        track = _read(container, origin, limits)
        if track is None:
            return None
        keys = _spread([p for p in track.packets if p.is_keyframe], count)
        shrink = _Rgb(max_side)
        if keys:
            return _stack([(shrink(frame), time) for frame, time in _decode_alone(track, keys, limits)])
    # An edit list hides the only keyframes.
    return sample_frames(data, count, exact=True, max_side=max_side, origin=origin, limits=limits)


def decode_motion(data: bytes, *, origin: float | None = None, limits: MediaLimits = DEFAULT_LIMITS) -> Motion | None:
    """Motion energy of every picture; None: fewer than two pictures. Times as in :func:`sample_frames`.

    Raises:
        MediaError: as :func:`sample_frames`.
    """
    with open_media(data, limits) as container:
        track = _read(container, origin, limits)
        if track is None:
            return None
        grey = _Grey()
        return _motion((grey(frame), time) for frame, time in _decode_all(track, limits))


def decode_picture(
    data: bytes,
    count: int = 8,
    *,
    max_side: int = 360,
    origin: float | None = None,
    limits: MediaLimits = DEFAULT_LIMITS,
) -> Picture | None:
    """Evenly spread pictures and the motion energy from one full decoding pass; None: no moving picture.

    Raises:
        MediaError: as :func:`sample_frames`.
    """
    with open_media(data, limits) as container:
        track = _read(container, origin, limits)
        return None if track is None else picture_of(track, count, max_side=max_side, limits=limits)


def picture_of(
    track: Track, count: int, *, max_side: int, limits: MediaLimits, least_keyframes: int | None = None
) -> Picture:
    """At most `count` pictures and the motion energy of a moving picture, decoded from end to end, once.

    Args:
        track: its packets.
        count: pictures at most.
        max_side: in pixels.
        limits: of the media.
        least_keyframes: where there are so many keyframes, pictures are chosen among these; None: among all.

    Raises:
        MediaError: as :func:`sample_frames`.
    """
    keys = [p for p in track.packets if p.is_keyframe]
    among = track.packets if least_keyframes is None or len(keys) < max(1, least_keyframes) else keys
    wanted = {p.pts for p in _spread(among, count)}
    by_index = None in wanted
    step = max(len(track.packets) / count, 1.0)
    kept: list[tuple[ByteArray, float]] = []
    grey, shrink = _Grey(), _Rgb(max_side)

    def small() -> Iterator[tuple[ByteArray, float]]:
        for index, (frame, time) in enumerate(_decode_all(track, limits)):
            if (index >= len(kept) * step) if by_index else (frame.pts in wanted):
                kept.append((shrink(frame), time))
            yield grey(frame), time

    motion = _motion(small())
    return Picture(frames=_stack(kept[:count]), motion=motion)


def decode_frames_at(
    data: bytes,
    times: Sequence[float],
    *,
    max_side: int = 360,
    origin: float | None = None,
    limits: MediaLimits = DEFAULT_LIMITS,
) -> Frames | None:
    """The picture shown at each moment, decoded in full; None: no moving picture. Times as in :func:`sample_frames`.

    Args:
        times: ascending, in s; before the first picture it stands for itself, after the last it stays.

    Raises:
        MediaError: as :func:`sample_frames`.
    """
    with open_media(data, limits) as container:
        track = _read(container, origin, limits)
        if track is None or not times:
            return None
        shrink = _Rgb(max_side)
        kept: list[tuple[ByteArray, float]] = []
        shown: tuple[VideoFrame, float] | None = None
        for frame, time in _decode_all(track, limits):
            while shown is not None and len(kept) < len(times) and times[len(kept)] < time:
                kept.append((shrink(shown[0]), shown[1]))
            shown = frame, time
        while shown is not None and len(kept) < len(times):
            kept.append((shrink(shown[0]), shown[1]))
        return _stack(kept)


def all_pictures(
    data: bytes, *, origin: float | None = None, limits: MediaLimits = DEFAULT_LIMITS
) -> Iterator[tuple[VideoFrame, float]]:
    """Every picture as it is decoded; none where there is no moving picture. Times as in :func:`sample_frames`.

    Raises:
        MediaError: as :func:`sample_frames`.
    """
    with open_media(data, limits) as container:
        track = _read(container, origin, limits)
        if track is not None:
            yield from _decode_all(track, limits)


def decode_images(
    images: Sequence[bytes],
    *,
    duration: float | None = None,
    max_side: int = 360,
    limits: MediaLimits = DEFAULT_LIMITS,
) -> Frames | None:
    """Separate pictures (jpg, png) as frames of the first one's size; transparent ones on white. None: no images.

    Nothing tells when separate pictures were taken: their times are spread evenly over `duration` in s, or all 0.

    Raises:
        MediaError: a picture that cannot be decoded or is beyond the limits.
    """
    decoded: list[tuple[ByteArray, float]] = []
    shrink = _Rgb(max_side)
    for index, data in enumerate(images):
        with open_media(data, limits) as container:
            try:
                frame = next(iter(container.decode(video=0)), None) if container.streams.video else None
            except ArgumentError as error:
                raise over_limit(
                    f"image member {index} has more than {limits.picture_pixels} pixels, or an impossible size",
                    "picture_pixels",
                ) from error
            if frame is None:
                raise corrupt(f"image member {index} holds no picture")
            _check_size(frame, limits)
            decoded.append((shrink(frame), (index + 0.5) / len(images) * (duration or 0.0)))
    return _stack(decoded) if decoded else None


def _read(container: InputContainer, origin: float | None, limits: MediaLimits) -> Track | None:
    stream = video_stream(container)
    if stream is None:
        return None
    track = track_of(stream, container.demux(stream), 0.0, limits)
    return replace(track, origin=start_of(audio_stream(container) or stream) if origin is None else origin)


def track_of(stream: VideoStream, packets: Iterable[AnyPacket], origin: float, limits: MediaLimits) -> Track:
    """The packets of one stream, looked through.

    Raises:
        MediaError: there are none, or more than the limits allow.
    """
    coded: list[AnyPacket] = []
    for packet in packets:
        if packet.size:
            coded.append(packet)
            check_count(len(coded), limits)
    shown = [packet for packet in coded if not packet.is_discard]
    if not shown:
        raise corrupt("the member declares a video stream, but holds no packet of it: it is empty or truncated")
    return Track(stream, shown, coded, origin, stream.time_base)


def _spread(packets: list[AnyPacket], count: int) -> list[AnyPacket]:
    """At most `count` of the packets, nearest to the middles of as many equal stretches of time."""
    if len(packets) <= count:
        return packets
    ordered = sorted(packets, key=_clock)
    clock = np.array([_clock(p) for p in ordered], np.float64)
    targets = clock[0] + (np.arange(count) + 0.5) / count * (clock[-1] - clock[0])
    picked = sorted({int(np.abs(clock - t).argmin()) for t in targets})
    return [ordered[i] for i in picked]


def _clock(packet: AnyPacket) -> int:
    return packet.pts if packet.pts is not None else packet.dts or 0


def _decode_alone(track: Track, keys: list[AnyPacket], limits: MediaLimits) -> Iterator[tuple[VideoFrame, float]]:
    """Decode keyframes one by one."""
    context = track.stream.codec_context
    for index, packet in enumerate(keys):
        try:
            decoded = [*decode_video(context, packet), *decode_video(context, None)]
        except InvalidDataError:
            decoded = []
        context.flush_buffers()
        for frame in decoded[:1]:
            _check_size(frame, limits)
            yield frame, track.time_of(frame, index)


def _decode_all(track: Track, limits: MediaLimits) -> Iterator[tuple[VideoFrame, float]]:
    context = track.stream.codec_context
    # Many clips are worked on beside each other: a second thread would cost a tenth more in all and crowd the others.
    context.thread_count = 1
    damaged = index = 0
    for packet in (*track.coded, None):
        try:
            decoded = decode_video(context, packet)
        except InvalidDataError:
            damaged += 1
            continue
        for frame in decoded:
            _check_size(frame, limits)
            yield frame, track.time_of(frame, index)
            index += 1
            check_count(index, limits)
    packets = len(track.packets)
    if damaged > max(1, limits.damaged_packets * packets):
        raise corrupt(f"{damaged} of {packets} packets of the picture cannot be decoded")
    if index < _LEAST_DECODED * packets:
        raise corrupt(f"only {index} pictures come out of {packets} packets")


def _check_size(frame: VideoFrame, limits: MediaLimits) -> None:
    too_wide = max(frame.width, frame.height) > limits.picture_side
    if too_wide or frame.width * frame.height > limits.picture_pixels:
        raise over_limit(
            f"a picture of {frame.width}x{frame.height} is beyond the limit of {limits.picture_pixels} pixels",
            "picture_side" if too_wide else "picture_pixels",
        )


def check_count(count: int, limits: MediaLimits) -> None:
    """Raise MediaError for more pictures than the limits allow."""
    if count > limits.pictures:
        raise over_limit(f"the member holds more than {limits.pictures} pictures", "pictures")


class _Grey:
    """Shrinks pictures to grey ones of one size, that of the first: calls change their pictures' size half-way.

    One scaler for all of them, for setting it up costs more than its use.
    """

    def __init__(self) -> None:
        self._scaler = VideoReformatter()
        self._height: int | None = None

    def __call__(self, frame: VideoFrame) -> ByteArray:
        if self._height is None:
            height = max(2, round(frame.height * _MOTION_WIDTH / frame.width / 2) * 2)
            # A picture one pixel wide would become the largest of all.
            self._height = min(height, _MOTION_HEIGHT)
        small = self._scaler.reformat(
            frame, width=_MOTION_WIDTH, height=self._height, format="gray", interpolation=Interpolation.AREA, threads=1
        )
        return pixels_of(small)


def _motion(grey: Iterator[tuple[ByteArray, float]]) -> Motion | None:
    motion = motion_energy(grey)
    return motion if motion.energy.size > 1 else None


class _Rgb:
    """Makes upright RGB pictures of one size: that of the first, at most `max_side` pixels a side."""

    def __init__(self, max_side: int) -> None:
        self._max_side = max_side
        self._scaler = VideoReformatter()
        self._size: tuple[int, int] | None = None
        self._turns = 0

    def __call__(self, frame: VideoFrame) -> ByteArray:
        if self._size is None:
            scale = min(1.0, self._max_side / max(frame.width, frame.height))
            self._size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
            self._turns = round(frame.rotation / 90) % 4
        clear = any(component.is_alpha for component in frame.format.components)
        pixels = self._scaled(frame, "rgba" if clear else "rgb24")
        return np.ascontiguousarray(np.rot90(_on_white(pixels) if clear else pixels, self._turns))

    def _scaled(self, frame: VideoFrame, form: str) -> ByteArray:
        width, height = self._size or (frame.width, frame.height)
        return pixels_of(
            self._scaler.reformat(
                frame, width=width, height=height, format=form, interpolation=Interpolation.AREA, threads=1
            )
        )


def _on_white(rgba: ByteArray) -> ByteArray:
    alpha = rgba[..., 3:].astype(np.float32) / 255.0
    return np.round(rgba[..., :3] * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8)


def _stack(pictures: list[tuple[ByteArray, float]]) -> Frames:
    if not pictures:
        raise corrupt("no picture of the video stream can be decoded")
    return Frames(np.stack([pixels for pixels, _ in pictures]), np.array([time for _, time in pictures], np.float64))
