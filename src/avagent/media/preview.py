"""Small pictures and players of a clip for a web page: WebP, and WebM with VP8 and Opus, which every browser plays.

A page gets none of a clip's own bytes: what it shows is encoded here, in the process that decodes what is not trusted.
VP8 and WebP by libvpx and libwebp (BSD), never by the GPL encoders of the same library.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.codec.context import CodecContext
from av.container import OutputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from avagent.core.media import ByteArray, FloatArray, Waveform
from avagent.dsp.resampling import resample_single
from avagent.media.demux import corrupt
from avagent.media.limits import DEFAULT_LIMITS, MediaLimits
from avagent.media.picture import all_pictures
from avagent.media.pyav import (
    AnyPacket,
    add_picture_stream,
    add_sound_stream,
    encode_picture,
    encode_sound,
    frame_of,
    mux,
    pixels_of,
)

WEBP_QUALITY = 70
_OPUS_RATE = 48_000
_FRAME = 960
"""Samples in a frame of Opus, 20 ms."""
_CLOCK = Fraction(1, 1000)
_FRAMES_A_SECOND = 15.0
_LEAST_SIDE = 16


@dataclass(slots=True)
class _Film:
    """A moving picture made small: its coded pictures in order, and a few of them as they are seen."""

    width: int = 0
    height: int = 0
    packets: list[tuple[bytes, int, bool]] = field(default_factory=list[tuple[bytes, int, bool]])
    """Bytes, time in ms, whether it is a keyframe."""
    stills: list[tuple[ByteArray, float]] = field(default_factory=list[tuple[ByteArray, float]])


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayerChoice:
    """How players are made.

    Attributes:
        seconds: only so much of the beginning.
        picture_rate: bit rate of the picture, in bit/s; 0: players have sound alone.
        sound_rate: bit rate of the sound, in bit/s.
        max_side: of the pictures, in pixels.
        stills: how many pictures, evenly spread over `seconds`.
    """

    seconds: float
    picture_rate: int
    sound_rate: int
    max_side: int
    stills: int


def make_players(
    video: bytes | None, sounds: Sequence[Waveform], choice: PlayerChoice, *, limits: MediaLimits = DEFAULT_LIMITS
) -> dict[str, Any]:
    """One moving picture with each of several sounds, as WebM; and pictures of it.

    Args:
        video: the container with the picture; None: sound alone.
        sounds: starting together.
        choice: how.
        limits: of the media.

    Returns:
        `players`: one WebM a sound; `stills`: WebP; `times`: of the stills, in s.

    Raises:
        MediaError: the picture cannot be decoded.
    """
    film = _Film() if video is None else _filmed(video, choice, limits)
    return {
        "players": [_player(film, sound, choice) for sound in sounds],
        "stills": [encode_webp(pixels) for pixels, _ in film.stills],
        "times": [time for _, time in film.stills],
    }


def encode_webp(pixels: ByteArray, quality: int = WEBP_QUALITY) -> bytes:
    """A picture, uint8 [height, width, 3], as WebP."""
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    encoder = _encoder("libwebp", frame.width, frame.height, {"quality": str(quality), "compression_level": "4"})
    frame = frame.reformat(format="yuv420p")
    frame.pts = 0
    packets = [*encode_picture(encoder, frame), *encode_picture(encoder, None)]
    return b"".join(bytes(packet) for packet in packets)


def _filmed(video: bytes, choice: PlayerChoice, limits: MediaLimits) -> _Film:
    film = _Film()
    targets = [(i + 0.5) * choice.seconds / choice.stills for i in range(choice.stills)]
    encoder: VideoCodecContext | None = None
    first: ByteArray | None = None
    for frame, time in _thinned(video, choice.seconds, limits):
        if not film.width:
            film.width, film.height = _small(frame, choice.max_side)
            encoder = _vp8(film.width, film.height, choice.picture_rate) if choice.picture_rate else None
        pixels = _upright(frame, film.width, film.height)
        while targets and time >= targets[0]:
            targets.pop(0)
            film.stills.append((pixels, time))
        if encoder is not None:
            small = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            small.pts, small.time_base = round(time * 1000), _CLOCK
            _keep(film, encode_picture(encoder, small))
        first = pixels if first is None else first
    if encoder is not None:
        _keep(film, encode_picture(encoder, None))
    if first is not None and not film.stills:
        film.stills.append((first, 0.0))
    return film


def _thinned(video: bytes, seconds: float, limits: MediaLimits) -> Iterator[tuple[VideoFrame, float]]:
    """Pictures from the first sample of the sound on, at most 15 a second."""
    least, before = 0.95 / _FRAMES_A_SECOND, -1.0
    for frame, time in all_pictures(video, limits=limits):
        if time > seconds:
            return
        if time >= 0.0 and time - before >= least:
            before = time
            yield frame, time


def _small(frame: VideoFrame, max_side: int) -> tuple[int, int]:
    """Even width and height, upright, within a square."""
    turned = round(frame.rotation / 90) % 2
    width, height = (frame.height, frame.width) if turned else (frame.width, frame.height)
    scale = min(1.0, max_side / max(width, height))
    return tuple(max(_LEAST_SIDE, 2 * round(side * scale / 2)) for side in (width, height))  # pyright: ignore[reportReturnType]


def _upright(frame: VideoFrame, width: int, height: int) -> ByteArray:
    turns = round(frame.rotation / 90) % 4
    stored = (height, width) if turns % 2 else (width, height)
    pixels = pixels_of(frame.reformat(width=stored[0], height=stored[1], format="rgb24"))
    return np.ascontiguousarray(np.rot90(pixels, turns))


def _vp8(width: int, height: int, bit_rate: int) -> VideoCodecContext:
    encoder = _encoder("libvpx", width, height, {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"})
    encoder.bit_rate = bit_rate
    return encoder


def _encoder(name: str, width: int, height: int, options: dict[str, str]) -> VideoCodecContext:
    encoder = cast("VideoCodecContext", CodecContext.create(name, "w"))
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = _CLOCK, Fraction(round(_FRAMES_A_SECOND), 1)
    encoder.thread_count = 1
    encoder.options = options
    return encoder


def _keep(film: _Film, packets: Sequence[AnyPacket]) -> None:
    film.packets += [(bytes(packet), packet.pts or 0, packet.is_keyframe) for packet in packets]


def _player(film: _Film, sound: Waveform, choice: PlayerChoice) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as output:
        if film.packets:
            _declare_picture(output, film)
        stream = add_sound_stream(output, "libopus", _OPUS_RATE)
        stream.bit_rate, stream.layout = choice.sound_rate, "mono"
        for index, block in enumerate(_blocks(_for_opus(sound, choice.seconds))):
            frame = frame_of(block, "flt", "mono")
            frame.sample_rate, frame.pts = _OPUS_RATE, index * _FRAME
            frame.time_base = Fraction(1, _OPUS_RATE)
            mux(output, encode_sound(stream, frame))
        mux(output, encode_sound(stream, None))
        mux(output, list(_picture_packets(output, film)))
    return file.getvalue()


def _declare_picture(output: OutputContainer, film: _Film) -> None:
    stream = add_picture_stream(output, "libvpx", rate=round(_FRAMES_A_SECOND))
    stream.width, stream.height, stream.pix_fmt = film.width, film.height, "yuv420p"
    stream.time_base = _CLOCK


def _picture_packets(output: OutputContainer, film: _Film) -> Iterator[AnyPacket]:
    for data, time, key in film.packets:
        packet: AnyPacket = Packet(data)
        packet.pts = packet.dts = time
        packet.time_base, packet.is_keyframe = _CLOCK, key
        packet.stream = output.streams.video[0]
        yield packet


def _for_opus(sound: Waveform, seconds: float) -> FloatArray:
    """Mono at 48 kHz, float32 [samples], within full scale."""
    cut = sound.mono()[: round(seconds * sound.rate)]
    if not cut.size:
        raise corrupt("a clip without a sample of sound has no player")
    return np.clip(np.nan_to_num(resample_single(cut, sound.rate, _OPUS_RATE)), -1.0, 1.0)


def _blocks(samples: FloatArray) -> Iterator[FloatArray]:
    for start in range(0, samples.size, _FRAME):
        yield samples[start : start + _FRAME][np.newaxis]
