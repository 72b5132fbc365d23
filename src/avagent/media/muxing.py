"""Containers written by FFmpeg's muxers: packets copied, with new sound among them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.stream import Stream

from avagent.core.errors import FailureReason, MediaError, Stage
from avagent.core.media import Waveform
from avagent.media.audio_codec import EncodedSound, Encoding, configure, encode
from avagent.media.demux import is_cover, video_stream
from avagent.media.edit_list import edited_duration, is_spliced, moov_first, set_edit, set_edit_length
from avagent.media.iso_boxes import handler
from avagent.media.pyav import (
    AnyPacket,
    add_copied_stream,
    add_picture_attachment,
    add_sound_stream,
    context_of,
    fill_decoding_times,
    keep_frame_rate,
    mux,
    ogg_picture,
)

MOV_MUXERS = ("mp4", "mov", "ipod", "3gp")
KEEPS_START = (*MOV_MUXERS, "matroska", "webm")
"""Containers with a clock of their own: sound may start later than 0."""
WHOLE_MILLISECONDS = ("matroska", "webm")
_ATTACHES = ("matroska", "webm")
_NOT_CARRIED = ("major_brand", "minor_version", "compatible_brands")
"""Metadata that the demuxer reports, but that describes the file that was read."""
_ENCODER_TAGS = ("encoder", "BPS", "DURATION", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES")
"""Stream metadata that describes the sound that is replaced; also with a language behind it, and `_STATISTICS_...`."""
_MADE_ANEW = (b"tmcd", b"text")
"""Tracks of QuickTime that its muxer makes of metadata and chapters: time code, chapter titles."""


def unsupported_edits(what: str) -> MediaError:
    """The error for an edit list that cannot be written again."""
    return MediaError(
        f"the edit list of {what} puts several pieces together, or changes the pace: its sound cannot be replaced;"
        " export the clip from the editing program",
        reason=FailureReason.UNSUPPORTED_EDIT_LIST,
        stage=Stage.WRITE,
    )


def unsupported_stream(stream: Stream, muxer: str, why: str) -> MediaError:
    """The error for a stream that the container cannot carry again."""
    context = context_of(stream)
    codec = "a codec that is not known here" if context is None else context.name
    title = stream.metadata.get("handler_name") or stream.metadata.get("title") or ""
    return MediaError(
        f"stream {stream.index} ({stream.type}, {codec}{', ' + title if title else ''}) cannot be written to a {muxer}"
        f" container again ({why}): the sound is left as it is, so that nothing is lost",
        reason=FailureReason.UNSUPPORTED_STREAM,
        stage=Stage.WRITE,
    )


@dataclass(frozen=True, slots=True)
class Job:
    """What to write.

    Attributes:
        container: that is copied; None: the sound alone is written.
        old: its sound.
        waveform: what takes its place.
        encoding: how.
        start: when it begins, in samples at the encoder's rate.
        data: the file that `container` was opened from.
        noted: tags to be written besides those of the container, by name.
    """

    container: InputContainer | None
    old: AudioStream | None
    waveform: Waveform
    encoding: Encoding
    start: int
    data: bytes = b""
    noted: Mapping[str, str] = field(default_factory=dict[str, str])


def mux_sound(waveform: Waveform, encoding: Encoding, muxer: str) -> tuple[bytes, EncodedSound]:
    """A file with nothing but sound, which begins at 0. Raises FFmpegError, ValueError: the muxer refuses it."""
    data, _, sound = _run(Job(None, None, waveform, encoding, 0), muxer, {})
    if muxer in MOV_MUXERS:
        set_edit(data, 0, delay=0, priming=sound.priming, length=sound.length)
    return bytes(data), sound


def mux_again(job: Job, muxer: str) -> bytes:
    """A container with other sound, in a format that FFmpeg's name of its muxer tells.

    Raises:
        FFmpegError, ValueError: the muxer refuses the sound.
        MediaError: it refuses something else.
    """
    options = {"movflags": "+faststart"} if moov_first(job.data) else {}
    result, copies, sound = _run(job, muxer, options)
    if muxer in MOV_MUXERS:
        _set_edits(result, job, copies, sound)
    return bytes(result)


def _run(job: Job, muxer: str, options: dict[str, str]) -> tuple[bytearray, list[Stream | None], EncodedSound]:
    """The file; the streams that its streams are copies of, None for the sound; what was encoded."""
    buffer = io.BytesIO()

    def reread(_url: str, _flags: int, _options: dict[str, str]) -> _Reread:
        """To move the index to the front, the muxer reads back what it has written."""
        return _Reread(buffer)

    with av.open(
        buffer,
        mode="w",
        format=muxer,
        container_options=_muxer_options(job, muxer) | options,
        metadata_errors="surrogateescape",
        io_open=reread,
    ) as output:
        written = _Writer(output, job, muxer).run()
    return bytearray(buffer.getbuffer()), *written


def _set_edits(result: bytearray, job: Job, copies: list[Stream | None], sound: EncodedSound) -> None:
    # Cover pictures are no tracks.
    tracks = [stream for stream in copies if stream is None or not is_cover(stream)]
    for track, stream in enumerate(tracks):
        if stream is None:
            set_edit(result, track, delay=job.start, priming=sound.priming, length=sound.length)
        elif is_spliced(job.data, stream.id):
            raise unsupported_edits(f"track {stream.id}")
        elif (shown := edited_duration(job.data, stream.id)) is not None:
            set_edit_length(result, track, round(shown * job.encoding.rate))


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


def _muxer_options(job: Job, muxer: str) -> dict[str, str]:
    options = {"fflags": "+bitexact"}
    if muxer in MOV_MUXERS:
        # Edit lists count in the movie's clock: at 1 ms they would move the sound by up to 48 samples.
        options["movie_timescale"] = str(job.encoding.rate)
        video = None if job.container is None else video_stream(job.container)
        if video is not None and video.time_base is not None:
            options["video_track_timescale"] = str(video.time_base.denominator)
    return options


@dataclass(slots=True)
class _Writer:
    """One output container on its way."""

    output: OutputContainer
    job: Job
    muxer: str

    def run(self) -> tuple[list[Stream | None], EncodedSound]:
        """Write everything."""
        job = self.job
        packets = [] if job.container is None else [p for p in job.container.demux() if p.size]
        copies, stream, order = self._add_streams(packets)
        for index in copies:
            fill_decoding_times([p for p in packets if p.stream_index == index])
        self._add_metadata()
        try:
            self.output.start_encoding()
        except FFmpegError as error:
            self._blame(copies, error)
            raise
        sound = encode(stream, job.waveform, job.encoding, job.start)
        position = 0
        for packet in (p for p in packets if p.stream_index in copies):
            time = _time(packet)
            while position < len(sound.packets) and _time(sound.packets[position]) <= time:
                mux(self.output, [sound.packets[position]])
                position += 1
            packet.stream = copies[packet.stream_index]
            mux(self.output, [packet])
        mux(self.output, sound.packets[position:])
        return order, sound

    def _blame(self, copies: dict[int, Stream], error: FFmpegError) -> None:
        """Raise MediaError if a stream of a kind that muxers are choosy about may be why the header is refused."""
        container = self.job.container
        for stream in container.streams if container is not None else ():
            if stream.index in copies and stream.type not in ("video", "audio"):
                raise unsupported_stream(stream, self.muxer, str(error)) from error

    def _add_streams(self, packets: list[AnyPacket]) -> tuple[dict[int, Stream], AudioStream, list[Stream | None]]:
        job = self.job
        copies: dict[int, Stream] = {}
        order: list[Stream | None] = []
        sound: AudioStream | None = None
        for stream in job.container.streams if job.container is not None else ():
            if job.old is not None and stream.index == job.old.index:
                sound = self._add_sound()
                sound.metadata.update({k: v for k, v in stream.metadata.items() if not _describes_encoding(k)})
                sound.disposition = stream.disposition
                order.append(None)
            elif self._made_anew(stream) or (is_cover(stream) and self.muxer == "wav"):
                continue  # A cover in WAV is part of a tag, which is kept as it is.
            elif is_cover(stream) and self.muxer in _ATTACHES:
                add_picture_attachment(self.output, stream, next(p for p in packets if p.stream_index == stream.index))
                order.append(stream)
            elif is_cover(stream) and self.muxer == "ogg" and "METADATA_BLOCK_PICTURE" not in self.output.metadata:
                cover = next(p for p in packets if p.stream_index == stream.index)
                self.output.metadata["METADATA_BLOCK_PICTURE"] = ogg_picture(stream, cover)
            else:
                copies[stream.index] = self._copy(stream)
                if self.muxer in WHOLE_MILLISECONDS:
                    keep_frame_rate(copies[stream.index], stream, packets)
                order.append(stream)
        if sound is None:
            sound = self._add_sound()
            order.append(None)
        return copies, sound, order

    def _made_anew(self, stream: Stream) -> bool:
        return self.muxer in MOV_MUXERS and stream.type == "data" and handler(self.job.data, stream.id) in _MADE_ANEW

    def _add_sound(self) -> AudioStream:
        encoding = self.job.encoding
        stream = add_sound_stream(self.output, encoding.encoder, encoding.rate)
        configure(stream.codec_context, encoding)
        stream.time_base = Fraction(1, encoding.rate)
        return stream

    def _copy(self, stream: Stream) -> Stream:
        try:
            return add_copied_stream(self.output, stream)
        except ValueError as error:
            raise unsupported_stream(stream, self.muxer, str(error)) from error

    def _add_metadata(self) -> None:
        container = self.job.container
        if container is None:
            return
        self.output.metadata.update({k: v for k, v in container.metadata.items() if k not in _NOT_CARRIED})
        self.output.metadata.update(self.job.noted)
        chapters = container.chapters()
        if chapters:
            self.output.set_chapters(chapters)


def _describes_encoding(key: str) -> bool:
    return key.startswith("_STATISTICS") or key.split("-", maxsplit=1)[0] in _ENCODER_TAGS


def _time(packet: AnyPacket) -> Fraction:
    ticks = packet.dts if packet.dts is not None else packet.pts
    return Fraction(ticks or 0) * packet.time_base
