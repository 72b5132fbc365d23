"""Typed doors to the places where PyAV's stubs say less than PyAV does."""

from __future__ import annotations

import ctypes
import struct
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.audio.format import AudioFormat
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.plane import AudioPlane
from av.audio.stream import AudioStream
from av.codec.context import CodecContext
from av.container import OutputContainer
from av.packet import Packet, PacketSideData, packet_sidedata_type_from_literal
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from avagent.core.media import ByteArray

if TYPE_CHECKING:
    AnyPacket = Packet[Any]
else:
    AnyPacket = Packet
StreamT = TypeVar("StreamT", bound=Stream)

# pyright: reportUnknownMemberType=false


def context_of(stream: Stream) -> CodecContext | None:
    """The stream's codec context; None: FFmpeg has no decoder for it."""
    return cast("CodecContext | None", stream.codec_context)


def audio_context(stream: AudioStream) -> AudioCodecContext | None:
    """As :func:`context_of`."""
    return cast("AudioCodecContext | None", stream.codec_context)


def video_context(stream: VideoStream) -> VideoCodecContext | None:
    """As :func:`context_of`."""
    return cast("VideoCodecContext | None", stream.codec_context)


def layout_of(context: AudioCodecContext) -> AudioLayout:
    """The stream's channel layout."""
    return _kept(context.layout)


def _kept(layout: AudioLayout) -> AudioLayout:
    """A layout that stays in memory for good if it lists its channels one by one, as QuickTime's `chan` may.

    PyAV copies FFmpeg's AVChannelLayout by value: of such a list two owners would be left, and each would free it.
    """
    if is_list(layout.name):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    return layout


def is_list(layout: str) -> bool:
    """Whether a layout's name lists channels one by one, such as `2 channels (FR+FL)`; `5.1(side)` is a name."""
    return " channels (" in layout


def samples_of(context: AudioCodecContext, packet: AnyPacket) -> int:
    """Samples of each channel that a packet holds, by its codec's rules; 0: they do not tell."""
    name, extradata = context.codec.canonical_name, context.extradata or b""
    if name.startswith("pcm_"):
        digits = "".join(c for c in name.split("_")[1] if c.isdigit())
        each = layout_of(context).nb_channels * (int(digits) // 8 if digits else 1)
        return packet.size // each if each else 0  # Damaged headers tell of no channels.
    if name == "opus":
        return _opus_samples(bytes(packet)[:2])
    if name == "flac" and extradata[:2] == extradata[2:4] and extradata[:2]:
        return int.from_bytes(extradata[:2], "big")
    return context.frame_size if name in _EVEN else 0


_EVEN = ("aac", "ac3", "eac3", "mp2", "mp3")
"""Codecs of which every packet of a stream holds as many samples."""


def _opus_samples(head: bytes) -> int:
    """RFC 6716, section 3.1: frame size by configuration, number of frames by code; at 48 kHz."""
    config, code = head[0] >> 3, head[0] & 3
    silk, celt = (480, 960, 1920, 2880), (120, 240, 480, 960)
    frame = silk[config % 4] if config < 12 else silk[config % 2] if config < 16 else celt[config % 4]
    return frame * (head[1] & 63 if code == 3 and len(head) > 1 else min(code, 1) + 1)


def sample_format_of(context: AudioCodecContext) -> AudioFormat | None:
    """The decoder's sample format; None: damaged headers do not tell."""
    return cast("AudioFormat | None", context.format)


def decode_video(context: VideoCodecContext, packet: AnyPacket | None) -> list[VideoFrame]:
    """The pictures that come out when a packet goes in; None: those that are held back."""
    return context.decode(packet)


def decode_sound(packet: AnyPacket) -> list[AudioFrame]:
    """The frames that come out when a packet of a sound stream goes in."""
    frames = cast("list[AudioFrame]", packet.decode())
    for frame in frames:
        _kept(frame.layout)
    return frames


def values_of(frame: AudioFrame) -> npt.NDArray[Any]:
    """The samples of a frame as they are coded, [channels, samples]."""
    name = frame.format.name
    dtype, planar = _DTYPES[name.removesuffix("p")], name.endswith("p")
    channels = frame.layout.nb_channels
    count = frame.samples if planar else frame.samples * channels
    values: npt.NDArray[Any] = np.empty((channels if planar else 1, count), dtype)
    for index, row in enumerate(values):
        # `frame.planes` reads on until a null pointer, which FFmpeg does not set behind 8 planes and more.
        row[:] = np.frombuffer(cast("Any", AudioPlane(frame, index)), dtype, count)
    return values if planar else values.reshape(-1, channels).T


def frame_of(values: npt.NDArray[Any], sample_format: str, layout: str) -> AudioFrame:
    """A frame of samples [channels, samples], of the dtype that the sample format has."""
    planar = sample_format.endswith("p")
    frame = AudioFrame(format=sample_format, layout=layout, samples=values.shape[1])
    for index, row in enumerate(values if planar else values.T.reshape(1, -1)):
        AudioPlane(frame, index).update(row.tobytes())
    return frame


_DTYPES: Mapping[str, type[np.generic[Any]]] = {
    "u8": np.uint8,
    "s16": np.int16,
    "s32": np.int32,
    "flt": np.float32,
    "dbl": np.float64,
}


def encode_sound(stream: AudioStream, frame: AudioFrame | None) -> list[AnyPacket]:
    """The packets that come out when a frame goes in; None: those that are held back."""
    return cast("list[AnyPacket]", stream.encode(frame))


def encode_picture(context: VideoCodecContext, frame: VideoFrame | None) -> list[AnyPacket]:
    """The packets that come out when a picture goes in; None: those that are held back."""
    return cast("list[AnyPacket]", context.encode(frame))


def add_picture_stream(output: OutputContainer, encoder: str, rate: int) -> VideoStream:
    """A new stream for a video encoder. Raises ValueError if the container cannot hold its codec."""
    return cast("VideoStream", output.add_stream(encoder, rate=rate))


def add_sound_stream(output: OutputContainer, encoder: str, rate: int) -> AudioStream:
    """A new stream for an audio encoder. Raises ValueError if the container cannot hold its codec."""
    return cast("AudioStream", output.add_stream(encoder, rate=rate))


def add_copied_stream(output: OutputContainer, stream: StreamT) -> StreamT:
    """A new stream for another one's packets. Raises ValueError if the container cannot hold them."""
    copied = output.add_stream_from_template(stream, opaque=True)
    source = context_of(stream)
    if source is not None:
        # Two tags can stand for one codec (hvc1, hev1): players tell them apart. AVI has numbers, its own.
        with suppress(UnicodeDecodeError):
            copied.codec_context.codec_tag = source.codec_tag
    copied.metadata.update(stream.metadata)
    copied.disposition = stream.disposition
    return copied


def keep_frame_rate(copied: Stream, source: Stream, packets: Iterable[AnyPacket]) -> None:
    """Let a copied stream tell how long a picture lasts, where all last as long: the last one has no other measure."""
    context = context_of(copied)
    if not isinstance(source, VideoStream) or not isinstance(context, VideoCodecContext) or not source.average_rate:
        return
    durations = {packet.duration for packet in packets if packet.stream_index == source.index}
    if len(durations) == 1 and all(durations):
        context.framerate = source.average_rate


def add_picture_attachment(output: OutputContainer, stream: Stream, packet: AnyPacket) -> None:
    """Matroska keeps a cover picture as an attached file, which FFmpeg's demuxer shows as a stream with one packet."""
    name, kind = stream.metadata.get("filename", "cover"), stream.metadata.get("mimetype", "image/jpeg")
    copied = output.add_attachment(name, kind, bytes(packet))
    copied.metadata.update(stream.metadata)


def ogg_picture(stream: Stream, packet: AnyPacket) -> str:
    """A cover picture as Ogg keeps it: FLAC's picture block in Base64 (RFC 9639, section 8.8), front cover."""
    context = cast("VideoCodecContext", context_of(stream))
    kind = "image/png" if context.name.endswith("png") else "image/jpeg"
    data, title = bytes(packet), stream.metadata.get("title", "").encode()
    parts = struct.pack(">II", 3, len(kind)) + kind.encode() + struct.pack(">I", len(title)) + title
    size = struct.pack(">IIIII", context.width, context.height, 24, 0, len(data))
    return b64encode(parts + size + data).decode()


def mux(output: OutputContainer, packets: Sequence[AnyPacket]) -> None:
    """Write packets."""
    output.mux(packets)


def fill_decoding_times(packets: Sequence[AnyPacket]) -> None:
    """Give the packets of one stream the decoding times that Matroska does not keep, if any lacks one.

    FFmpeg works them out, but not for the first pictures that are out of order; muxers then refuse its guesses.
    """
    shown = [packet.pts for packet in packets if packet.pts is not None]
    if len(shown) < len(packets) or all(packet.dts is not None for packet in packets):
        return
    ordered = sorted(shown)
    delay = max(at - pts for at, pts in zip(ordered, shown, strict=True))
    for packet, at in zip(packets, ordered, strict=True):
        packet.dts = at - delay


def fill_durations(packets: Sequence[AnyPacket]) -> None:
    """Let packets of one stream that do not tell how long they last (WavPack in Matroska) last until the next one."""
    ordered = sorted((p for p in packets if p.pts is not None), key=lambda p: p.pts or 0)
    for packet, following in pairwise(ordered):
        if not packet.duration:
            packet.duration = (following.pts or 0) - (packet.pts or 0)
    if len(ordered) > 1 and not ordered[-1].duration:
        ordered[-1].duration = ordered[-2].duration


def mark_padding(packet: AnyPacket, samples: int) -> None:
    """Tell decoders that so many samples at the end of a packet are not part of the sound."""
    kind = packet_sidedata_type_from_literal("skip_samples")
    mark = PacketSideData(kind, 10)  # pyright: ignore[reportCallIssue]
    # libavcodec's AV_PKT_DATA_SKIP_SAMPLES: samples to skip at the start, at the end, and two reasons.
    mark.update(struct.pack("<IIBB", 0, samples, 0, 0))
    packet.set_sidedata(mark)


def pixels_of(frame: VideoFrame) -> ByteArray:
    """The pixels of a frame of 8 bits a component."""
    return cast("ByteArray", frame.to_ndarray())
