"""Write a container again with other sound: everything else is copied packet by packet, nothing else is encoded."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.stream import Stream

from avagent.core.errors import FailureReason, MediaError, ParameterError, Stage
from avagent.core.media import Waveform
from avagent.media.audio_codec import EncodedSound, Encoding, Source, choose_encoding, configure, encode
from avagent.media.demux import audio_stream, open_media, video_stream
from avagent.media.edit_list import moov_first, set_edit
from avagent.media.limits import DEFAULT_LIMITS, MediaLimits
from avagent.media.pyav import AnyPacket, add_copied_stream, add_sound_stream, mux, sample_format_of
from avagent.media.sound import first_time

_SUFFIX_MUXERS: Mapping[str, str] = {"wav": "wav", "flac": "flac", "mp3": "mp3", "ogg": "ogg", "m4a": "ipod"}
_MOV_MUXERS = ("mp4", "mov", "ipod", "3gp")
_KEEPS_START = (*_MOV_MUXERS, "matroska", "webm")
"""Containers with a clock of their own: sound may start later than 0."""
_WHOLE_MILLISECONDS = ("matroska", "webm")
_NOT_CARRIED = ("major_brand", "minor_version", "compatible_brands")
"""Metadata that the demuxer reports, but that describes the file that was read."""
_ENCODER_TAGS = ("encoder", "BPS", "DURATION", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES")
"""Stream metadata that describes the sound that is replaced; also with a language behind it, and `_STATISTICS_...`."""


def remux(
    data: bytes, waveform: Waveform, *, audio_codec: str = "source", limits: MediaLimits = DEFAULT_LIMITS
) -> bytes:
    """The container with its sound replaced.

    Video packets, their timestamps and flags stay bit-identical (checked here); subtitles, data, chapters and metadata
    are carried where the muxer can write them. The new sound starts where the old one did (to 1 ms in Matroska), with
    encoder delay compensated. The same input gives the same bytes.

    Args:
        data: mp4, mov, m4a, mkv or webm.
        waveform: the new sound.
        audio_codec: see :mod:`avagent.media.audio_codec`.
        limits: for reading.

    Raises:
        MediaError: unreadable input, a container that cannot be written, a result that is not as promised.
        ParameterError: an `audio_codec` that is not known.
    """
    with open_media(data, limits) as container:
        muxer = muxer_of(container, data)
        result = _write(container, muxer, waveform, audio_codec, faststart=moov_first(data))
    _check_copied(data, result, limits)
    return result


def encode_audio(
    waveform: Waveform,
    suffix: str,
    like: bytes | None = None,
    *,
    audio_codec: str = "source",
    limits: MediaLimits = DEFAULT_LIMITS,
) -> bytes:
    """A separate audio member.

    Args:
        waveform: the sound.
        suffix: `wav`, `flac`, `mp3`, `ogg` or `m4a`.
        like: the member that is replaced: its codec, bit depth, bit rate, tags and cover art are kept where possible.
        audio_codec: see :mod:`avagent.media.audio_codec`.
        limits: for reading `like`.

    Raises:
        ParameterError: an unknown suffix or codec.
        MediaError: as :func:`remux`.
    """
    muxer = _SUFFIX_MUXERS.get(suffix.lower())
    if muxer is None:
        raise ParameterError(f"cannot write a .{suffix} member; known suffixes: {', '.join(_SUFFIX_MUXERS)}")
    if like is None:
        return _write(None, muxer, waveform, audio_codec)
    with open_media(like, limits) as container:
        return _write(container, muxer, waveform, audio_codec)


def muxer_of(container: InputContainer, data: bytes) -> str:
    """The muxer that writes what the demuxer read."""
    name = container.format.name
    if name.startswith("mov"):
        brand = container.metadata.get("major_brand", "")
        if brand.startswith("qt"):
            return "mov"
        if brand.startswith(("M4A", "M4B")):
            return "ipod"
        return "3gp" if brand.startswith("3g") else "mp4"
    if name.startswith("matroska"):
        # EBML DocType (element 0x4282), RFC 8794 section 11.2.4: in the first header of the file.
        return "webm" if b"\x42\x82\x84webm" in data[:128] else "matroska"
    if name in _SUFFIX_MUXERS.values():
        return name
    raise MediaError(
        f"cannot write {name} containers again; convert the clip to mp4, mov, mkv or webm",
        reason=FailureReason.UNSUPPORTED_MEDIA,
        stage=Stage.WRITE,
    )


def _write(
    container: InputContainer | None, muxer: str, waveform: Waveform, audio_codec: str, *, faststart: bool = False
) -> bytes:
    old = None if container is None else audio_stream(container)
    packets = [] if container is None else [p for p in container.demux() if p.size]
    own = [] if old is None else [p for p in packets if p.stream_index == old.index]
    encoding = choose_encoding(muxer, audio_codec, waveform, _source(old, own))
    start = round(first_time(own) * encoding.rate) if muxer in _KEEPS_START else 0
    if start > 0 and muxer in _WHOLE_MILLISECONDS:
        # Encoders delay by fractions such as 6.5 ms: rounding a tie up would move the sound with every generation.
        start -= 1
    options = _muxer_options(container, muxer, encoding)
    if faststart:
        options["movflags"] = "+faststart"
    job = _Job(container, old, packets, waveform, encoding, start)
    try:
        try:
            return _run(job, muxer, options)
        except FFmpegError:
            # Some tracks can be read but not written: QuickTime's chapter text, which is made anew from the chapters.
            if container is None or not container.streams.data:
                raise
            return _run(replace(job, carry_data=False), muxer, options)
    except (FFmpegError, ValueError) as error:
        raise MediaError(
            f"cannot write the {muxer} container with {encoding.encoder} sound: {error};"
            " choose another audio codec that the container can hold",
            reason=FailureReason.WRITE_FAILED,
            stage=Stage.WRITE,
        ) from error


@dataclass(frozen=True, slots=True)
class _Job:
    """What to write: the packets of `container`, with `waveform` in the place of the stream `old`."""

    container: InputContainer | None
    old: AudioStream | None
    packets: list[AnyPacket]
    waveform: Waveform
    encoding: Encoding
    start: int
    carry_data: bool = True


def _run(job: _Job, muxer: str, options: dict[str, str]) -> bytes:
    buffer = io.BytesIO()

    def reread(_url: str, _flags: int, _options: dict[str, str]) -> _Reread:
        """To move the index to the front, the muxer reads back what it has written."""
        return _Reread(buffer)

    with av.open(
        buffer,
        mode="w",
        format=muxer,
        container_options=options,
        metadata_errors="surrogateescape",
        io_open=reread,
    ) as output:
        track, sound = _Writer(output, job).run()
    if muxer not in _MOV_MUXERS:
        return buffer.getvalue()
    data = bytearray(buffer.getbuffer())
    set_edit(data, track, delay=job.start, priming=sound.priming, length=sound.length)
    return bytes(data)


class _Reread(io.RawIOBase):
    """A second position in a buffer that is being written."""

    def __init__(self, buffer: io.BytesIO) -> None:
        self._buffer = buffer
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        with self._buffer.getbuffer() as view:
            block = bytes(view[self._position : None if size < 0 else self._position + size])
        self._position += len(block)
        return block

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._buffer.getbuffer().nbytes}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position


def _muxer_options(container: InputContainer | None, muxer: str, encoding: Encoding) -> dict[str, str]:
    options = {"fflags": "+bitexact"}
    if muxer in _MOV_MUXERS:
        # Edit lists count in the movie's clock: at 1 ms they would move the sound by up to 48 samples.
        options["movie_timescale"] = str(encoding.rate)
        video = None if container is None else video_stream(container)
        if video is not None and video.time_base is not None:
            options["video_track_timescale"] = str(video.time_base.denominator)
    return options


def _source(stream: AudioStream | None, packets: list[AnyPacket]) -> Source:
    if stream is None:
        return Source()
    ticks = sum(p.duration or 0 for p in packets)
    seconds = float(ticks * stream.time_base) if stream.time_base is not None else 0.0
    measured = round(sum(p.size for p in packets) * 8 / seconds) if seconds > 0 else None
    context = stream.codec_context
    sample_format = sample_format_of(context)
    integer = sample_format is not None and sample_format.name.rstrip("p") in ("u8", "s16", "s32")
    return Source(
        codec=context.codec.canonical_name,
        bit_rate=measured or context.bit_rate,
        bits=sample_format.bits if sample_format is not None and integer else None,
        layout=context.layout.name,
    )


@dataclass(slots=True)
class _Writer:
    """One output container on its way."""

    output: OutputContainer
    job: _Job

    def run(self) -> tuple[int, EncodedSound]:
        """Write everything; returns the number of the sound's track, and what was encoded."""
        job = self.job
        copies, stream = self._add_streams()
        self._add_metadata()
        self.output.start_encoding()
        sound = encode(stream, job.waveform, job.encoding, job.start)
        position = 0
        for packet in (p for p in job.packets if p.stream_index in copies):
            time = _time(packet)
            while position < len(sound.packets) and _time(sound.packets[position]) <= time:
                mux(self.output, [sound.packets[position]])
                position += 1
            packet.stream = copies[packet.stream_index]
            mux(self.output, [packet])
        mux(self.output, sound.packets[position:])
        return stream.index, sound

    def _add_streams(self) -> tuple[dict[int, Stream], AudioStream]:
        job = self.job
        copies: dict[int, Stream] = {}
        sound: AudioStream | None = None
        for stream in job.container.streams if job.container is not None else ():
            if job.old is not None and stream.index == job.old.index:
                sound = self._add_sound()
                sound.metadata.update({k: v for k, v in stream.metadata.items() if not _describes_encoding(k)})
                sound.disposition = stream.disposition
            elif (job.carry_data or stream.type != "data") and (copy := self._copy(stream)) is not None:
                copies[stream.index] = copy
        return copies, sound or self._add_sound()

    def _add_sound(self) -> AudioStream:
        encoding = self.job.encoding
        stream = add_sound_stream(self.output, encoding.encoder, encoding.rate)
        configure(stream.codec_context, encoding)
        stream.time_base = Fraction(1, encoding.rate)
        return stream

    def _copy(self, stream: Stream) -> Stream | None:
        try:
            return add_copied_stream(self.output, stream)
        except ValueError:
            if stream.type in ("video", "audio"):
                raise
            return None

    def _add_metadata(self) -> None:
        container = self.job.container
        if container is None:
            return
        self.output.metadata.update({k: v for k, v in container.metadata.items() if k not in _NOT_CARRIED})
        chapters = container.chapters()
        if chapters:
            self.output.set_chapters(chapters)


def _describes_encoding(key: str) -> bool:
    return key.startswith("_STATISTICS") or key.split("-", maxsplit=1)[0] in _ENCODER_TAGS


def _time(packet: AnyPacket) -> Fraction:
    ticks = packet.dts if packet.dts is not None else packet.pts
    return Fraction(ticks or 0) * packet.time_base


def _check_copied(data: bytes, result: bytes, limits: MediaLimits) -> None:
    """Raise unless every video packet is there with its bytes, timestamps and flags."""
    before, after = _video_packets(data, limits), _video_packets(result, limits)
    if before != after:
        first = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(after))
        raise MediaError(
            "the container cannot be written without changing its video stream"
            f" (packet {first} of {len(before)} differs); convert the clip to a plain mp4 or mkv first",
            reason=FailureReason.WRITE_FAILED,
            stage=Stage.WRITE,
        )


def _video_packets(data: bytes, limits: MediaLimits) -> list[tuple[int, Fraction | None, Fraction | None, bool]]:
    with open_media(data, limits, look_ahead=False) as container:
        return [
            (
                hash(bytes(p)),
                None if p.pts is None else p.pts * p.time_base,
                None if p.dts is None else p.dts * p.time_base,
                p.is_keyframe,
            )
            for p in container.demux(video=tuple(range(len(container.streams.video))))
            if p.size
        ]
