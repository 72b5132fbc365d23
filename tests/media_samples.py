"""Small media files for tests, muxed in memory. Video is encoded by mpeg4, libvpx or ffv1 only: none is GPL."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.stream import VideoStream

from avagent.core.errors import FailureReason, MediaError
from avagent.core.media import Waveform
from avagent.media.pyav import frame_of

VP8 = {"deadline": "realtime", "cpu-used": "8", "g": "10"}
"""Options that make libvpx fast."""


def tone_bursts(seconds: float = 2.0, rate: int = 48_000, channels: int = 2, seed: int = 1) -> Waveform:
    """Noise bursts over a quiet tone: every lag shows in the correlation; on the 16-bit grid, below full scale."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    t = np.arange(n) / rate
    envelope = 0.05 + 0.6 * (np.sin(2 * np.pi * 1.3 * t + rng.uniform(0, 6)) > 0.6)
    noise = rng.standard_normal((channels, n))
    # The encoders' low-pass filters would cost SNR on white noise: keep the energy below 4 kHz.
    kernel = np.hanning(max(3, rate // 4000))
    noise = np.stack([np.convolve(row, kernel / np.linalg.norm(kernel), mode="same") for row in noise])
    samples = 0.15 * envelope * noise + 0.05 * np.sin(2 * np.pi * 330 * t)
    return Waveform((np.round(np.clip(samples, -0.95, 0.95) * 32768) / 32768).astype(np.float32), rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What to mux."""

    muxer: str = "mp4"
    video_codec: str | None = "mpeg4"
    video_options: dict[str, str] = field(default_factory=lambda: {"bf": "2", "g": "10"})
    size: tuple[int, int] = (64, 48)
    frames: int = 50
    frame_rate: int = 25
    still: bool = False
    audio_codec: str | None = "aac"
    audio_options: dict[str, str] = field(default_factory=dict[str, str])
    sound: Waveform | None = None
    audio_start: float = 0.0
    video_start: float = 0.0
    dropped_audio: tuple[int, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    subtitles: bool = False
    options: dict[str, str] = field(default_factory=dict[str, str])


def build(recipe: Recipe) -> bytes:
    """Mux a clip."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=recipe.muxer, container_options={"fflags": "+bitexact", **recipe.options}) as out:
        out.metadata.update(recipe.metadata)
        packets: list[Packet] = []
        video = _add_video(out, recipe) if recipe.video_codec else None
        audio = _add_audio(out, recipe) if recipe.audio_codec else None
        text = _add_text(out, recipe) if recipe.subtitles else None
        if video is not None:
            packets += encode_video(video, recipe)
        if audio is not None:
            packets += [p for i, p in enumerate(encode_sound(audio, recipe)) if i not in recipe.dropped_audio]
        if text is not None:
            packets += _subtitle_packets(text, recipe)
        for packet in sorted(packets, key=lambda p: float((p.dts or 0) * p.time_base)):
            out.mux(packet)
    return buffer.getvalue()


def _add_text(out: av.container.OutputContainer, recipe: Recipe) -> av.stream.Stream:
    return out.add_mux_stream("mov_text" if recipe.muxer in ("mp4", "mov") else "subrip")


def picture(index: int, size: tuple[int, int]) -> np.ndarray:
    """A bright square that moves by a few pixels a frame over a gradient, uint8 [height, width, 3]."""
    width, height = size
    image = np.empty((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(20, 180, width, dtype=np.uint8)
    image[..., 1] = np.linspace(60, 120, height, dtype=np.uint8)[:, None]
    image[..., 2] = 40
    x = index * 3 % max(1, width - 16)
    image[8:24, x : x + 16] = (250, 240, 230)
    return image


def _add_video(out: av.container.OutputContainer, recipe: Recipe) -> VideoStream:
    stream = out.add_stream(recipe.video_codec, rate=recipe.frame_rate, options=dict(recipe.video_options))
    stream.width, stream.height = recipe.size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1
    stream.codec_context.flags |= 1 << 23  # AV_CODEC_FLAG_BITEXACT
    return stream


def encode_video(stream: VideoStream, recipe: Recipe) -> list[Packet]:
    """The packets of the moving square."""
    offset = round(recipe.video_start * recipe.frame_rate)
    packets: list[Packet] = []
    for index in range(recipe.frames):
        frame = av.VideoFrame.from_ndarray(picture(0 if recipe.still else index, recipe.size), format="rgb24")
        frame.pts, frame.time_base = index + offset, Fraction(1, recipe.frame_rate)
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]


def _add_audio(out: av.container.OutputContainer, recipe: Recipe) -> AudioStream:
    sound = recipe.sound or tone_bursts(recipe.frames / recipe.frame_rate)
    stream = out.add_stream(recipe.audio_codec, rate=sound.rate, options=dict(recipe.audio_options))
    stream.layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[sound.channels]
    stream.codec_context.flags |= 1 << 23
    stream.codec_context.bit_rate = 96_000 * sound.channels
    return stream


def encode_sound(stream: AudioStream, recipe: Recipe) -> list[Packet]:
    """The packets of the sound."""
    sound = recipe.sound or tone_bursts(recipe.frames / recipe.frame_rate)
    context = stream.codec_context
    context.open()
    offset = round(recipe.audio_start * sound.rate)
    packets: list[Packet] = []
    step = context.frame_size or 1024
    for first in range(0, sound.length, step):
        values = _as_format(sound.samples[:, first : first + step], context.format.name)
        # PyAV's own way fails for eight planes and more.
        frame = frame_of(values, context.format.name, context.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = sound.rate, offset + first, Fraction(1, sound.rate)
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]


def _as_format(block: np.ndarray, name: str) -> np.ndarray:
    kind = name.removesuffix("p")
    values = {
        "flt": lambda: block,
        "dbl": lambda: block.astype(np.float64),
        "s16": lambda: np.round(block * 32768).astype(np.int16),
        "s32": lambda: np.round(block * 32768).astype(np.int32) << 16,
        "u8": lambda: np.round(block * 128 + 128).astype(np.uint8),
    }[kind]()
    return np.ascontiguousarray(values)


def _subtitle_packets(stream: av.stream.Stream, recipe: Recipe) -> list[Packet]:
    packets: list[Packet] = []
    for index, text in enumerate(("first line", "second line")):
        body = text.encode()
        packet = Packet(len(body).to_bytes(2, "big") + body if recipe.muxer in ("mp4", "mov") else body)
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = 200 + 700 * index
        packet.duration = 500
        packets.append(packet)
    return packets


def lag_in_samples(reference: np.ndarray, other: np.ndarray) -> int:
    """By how many samples `other` comes after `reference`: the peak of their cross-correlation."""
    a, b = reference.mean(axis=0).astype(np.float64), other.mean(axis=0).astype(np.float64)
    size = 1 << (len(a) + len(b)).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size)), size)
    peak = int(correlation.argmax())
    return peak if peak < size // 2 else peak - size


def snr_db(reference: np.ndarray, other: np.ndarray) -> float:
    """Signal-to-noise ratio in dB over the common length; inf where they are equal."""
    n = min(reference.shape[1], other.shape[1])
    a, b = reference[:, :n].astype(np.float64), other[:, :n].astype(np.float64)
    noise = float(((a - b) ** 2).sum())
    return float("inf") if noise == 0 else 10 * float(np.log10((a**2).sum() / noise))


def image(pixels: np.ndarray, codec: str = "png") -> bytes:
    context = av.CodecContext.create(codec, "w")
    context.height, context.width = pixels.shape[:2]
    context.pix_fmt = {"png": "rgba" if pixels.shape[2] == 4 else "rgb24", "mjpeg": "yuvj420p"}[codec]
    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgba" if pixels.shape[2] == 4 else "rgb24")
    return b"".join(bytes(p) for p in [*context.encode(frame.reformat(format=context.pix_fmt)), *context.encode(None)])


def spoil(data: bytearray, kind: str, indices: list[int]) -> None:
    """Overwrite packets of a stream in place."""
    with av.open(io.BytesIO(bytes(data))) as container:
        stream = next(s for s in container.streams if s.type == kind)
        places = [(p.pos, p.size) for p in container.demux(stream) if p.size]
    for index in indices:
        position, size = places[index]
        data[position : position + size] = b"\x5a" * size


def reason_of(call: object, *args: object, **options: object) -> FailureReason:
    with pytest.raises(MediaError) as caught:
        call(*args, **options)  # type: ignore[operator]
    assert str(caught.value)
    return caught.value.reason


def faststart(data: bytes) -> bytes:
    """Move the index to the front, reading back what was written."""
    buffer = io.BytesIO()

    def reopen(_url: str, _flags: int, _options: dict[str, str]) -> io.BytesIO:
        return io.BytesIO(buffer.getvalue())

    with (
        av.open(io.BytesIO(data)) as source,
        av.open(buffer, "w", format="mp4", container_options={"movflags": "+faststart"}, io_open=reopen) as out,
    ):
        copies = [out.add_stream_from_template(s, opaque=True) for s in source.streams]
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                out.mux(packet)
    return buffer.getvalue()


def song_with_cover(title: str = "Meow") -> bytes:
    """An mp3 with a picture on it."""
    buffer = io.BytesIO()
    sound = build(Recipe(muxer="mp3", video_codec=None, audio_codec="libmp3lame"))
    with av.open(io.BytesIO(sound)) as source, av.open(buffer, "w", format="mp3") as out:
        out.metadata["title"] = title
        copy = out.add_stream_from_template(source.streams.audio[0])
        cover = out.add_stream("png", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "rgb24"
        cover.disposition = 1 << 10
        packets = [*cover.encode(av.VideoFrame.from_ndarray(picture(0, (32, 32)), format="rgb24")), *cover.encode(None)]
        for packet in packets:
            out.mux(packet)
        for packet in source.demux():
            if packet.size:
                packet.stream = copy
                out.mux(packet)
    return buffer.getvalue()
