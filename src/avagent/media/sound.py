"""Decode the sound of a container at its own rate and layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from avagent.core.errors import FailureReason, MediaError
from avagent.core.media import FloatArray, Waveform
from avagent.media.demux import (
    audio_stream,
    corrupt,
    open_media,
    unsupported,
)
from avagent.media.edit_list import edited_duration
from avagent.media.limits import DEFAULT_LIMITS, MediaLimits, over_limit
from avagent.media.pyav import AnyPacket, decode_sound

_GAP = 0.030
"""A jump of the timestamps beyond this, in s, is a hole in the recording and becomes silence. Less is jitter."""
_GAP_AFTER_DAMAGE = 0.002
"""The same right behind a packet that could not be decoded: wider than the 1 ms clock of Matroska."""
_EXACT_CLOCKS = ("mov", "wav", "flac")
"""Formats whose declared duration counts samples: what is missing from it is missing from the file."""


@dataclass(slots=True)
class _Track:
    """The samples so far, placed by their timestamps."""

    limits: MediaLimits
    rate: int = 0
    channels: int = 0
    start: Fraction | None = None
    start_s: float = 0.0
    length: int = 0
    after_damage: bool = False
    blocks: list[FloatArray] = field(default_factory=list["FloatArray"])

    def add(self, frame: AudioFrame) -> None:
        if frame.samples == 0:
            return
        if not self.rate:
            self.rate, self.channels = frame.sample_rate, frame.layout.nb_channels
        if (frame.sample_rate, frame.layout.nb_channels) != (self.rate, self.channels):
            raise unsupported(
                f"the sound changes from {self.channels} channels at {self.rate} Hz to {frame.layout.nb_channels}"
                f" channels at {frame.sample_rate} Hz half-way; transcode the clip to one layout"
            )
        if frame.pts is not None and frame.time_base is not None:
            self._place(frame.pts, frame.time_base)
        self._append(_to_float(frame))

    def _place(self, pts: int, clock: Fraction) -> None:
        if self.start is None:
            self.start = pts * clock - Fraction(self.length, self.rate)
            self.start_s = float(self.start)
        gap = (_GAP_AFTER_DAMAGE if self.after_damage else _GAP) * self.rate
        # Exact arithmetic only where a hole is near: on every block it would cost half as much as decoding.
        if (pts * clock.numerator / clock.denominator - self.start_s) * self.rate - self.length < 0.5 * gap:
            self.after_damage = False
            return
        hole = round((pts * clock - self.start) * self.rate) - self.length
        if hole > gap:
            self._check_size(hole)
            self._append(np.zeros((self.channels, hole), np.float32))
        self.after_damage = False

    def _append(self, block: FloatArray) -> None:
        self._check_size(block.shape[1])
        self.blocks.append(block)
        self.length += block.shape[1]

    def _check_size(self, more: int) -> None:
        length = self.length + more
        limit = self.limits
        too_long = length > limit.media_seconds * self.rate
        if too_long or length * self.channels * 4 > limit.sound_bytes:
            raise over_limit(
                f"the sound decodes to more than {length / self.rate:.0f} s of {self.channels} channels, the limits are"
                f" {limit.media_seconds:.0f} s and {limit.sound_bytes} bytes",
                "media_seconds" if too_long else "sound_bytes",
            )


def decode_audio(data: bytes, *, limits: MediaLimits = DEFAULT_LIMITS) -> Waveform | None:
    """The sound as float32 [channels, samples] at its own rate; None: the member has no sound.

    Sample 0 is the first sample to be presented (`StreamInfo.audio_start` on the container's clock): edit lists are
    applied, and encoder priming and padding are trimmed where the container tells of them. Holes in the timestamps are
    filled with silence, so that what follows stays in time. A few packets that cannot be decoded
    (:attr:`MediaLimits.damaged_packets`) count as holes; a container that ends before its declared end is refused.

    Raises:
        MediaError: broken, truncated or unsupported sound, NaN or Inf among the samples, more than the limits allow.
    """
    with open_media(data, limits, look_ahead=False) as container:
        stream = audio_stream(container)
        return None if stream is None else sound_of(data, container, stream, container.demux(stream), limits)


def sound_of(
    data: bytes, container: InputContainer, stream: AudioStream, packets: Iterable[AnyPacket], limits: MediaLimits
) -> Waveform:
    """What the packets of a stream of `data` decode to; see :func:`decode_audio`."""
    _check_riff(data)
    track = _Track(limits)
    for frame in _frames(packets, track):
        track.add(frame)
    if not track.length:
        raise corrupt("the member declares a sound stream, but no sample of it can be decoded")
    length = _trusted_length(data, container, stream, track)
    samples = np.concatenate(track.blocks, axis=1)[:, :length]
    if not np.isfinite(samples).all():
        bad = samples.size - int(np.isfinite(samples).sum())
        raise MediaError(
            f"the sound holds {bad} samples that are NaN or infinite; export it again from its source",
            reason=FailureReason.NON_FINITE_SAMPLES,
        )
    return Waveform(np.ascontiguousarray(samples), track.rate)


def _check_riff(data: bytes) -> None:
    """Raise for a WAV file that was cut off: FFmpeg goes by the size of the file, whatever the header declares."""
    declared = int.from_bytes(data[4:8], "little") + 8 if data[:4] == b"RIFF" else 0
    # Writers that cannot seek leave 0xFFFFFFFF.
    if declared < 0xFFFFFFFF and len(data) < 0.95 * declared:
        raise corrupt(f"the member holds {len(data)} of the {declared} bytes declared: it is truncated")


def first_time(packets: list[AnyPacket]) -> float:
    """Presentation time in s of the first sample that one stream's packets decode to; 0 where nothing tells it."""
    for packet in packets:
        try:
            frames = decode_sound(packet)
        except FFmpegError:
            continue
        for frame in frames:
            if frame.samples:
                return 0.0 if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)
    return 0.0


def _frames(packets: Iterable[AnyPacket], track: _Track) -> Iterator[AudioFrame]:
    count = damaged = 0
    last: FFmpegError | None = None
    for packet in packets:
        count += packet.size > 0
        try:
            decoded = decode_sound(packet)
        except FFmpegError as error:
            damaged, last, track.after_damage = damaged + 1, error, True
            continue
        yield from decoded
    if last is not None and damaged > max(1, track.limits.damaged_packets * count):
        raise corrupt(f"{damaged} of {count} packets of the sound cannot be decoded ({last.strerror})")


def _trusted_length(data: bytes, container: InputContainer, stream: AudioStream, track: _Track) -> int:
    """Samples to keep: a codec's last block is longer than the sound; the declared duration says where it ends."""
    if not container.format.name.startswith(_EXACT_CLOCKS):
        return track.length
    duration = edited_duration(data, stream.index) if container.format.name.startswith("mov") else None
    if duration is None and stream.duration is not None and stream.time_base is not None:
        duration = stream.duration * stream.time_base
    if duration is None:
        return track.length
    declared = round(duration * track.rate)
    if track.length < 0.95 * declared - 0.25 * track.rate:
        raise corrupt(
            f"the sound ends after {track.length / track.rate:.2f} s of the {float(duration):.2f} s declared:"
            " the member is truncated"
        )
    block = max(stream.codec_context.frame_size or 0, 2048)
    return declared if 0 < track.length - declared <= block else track.length


def _to_float(frame: AudioFrame) -> FloatArray:
    """One frame as float32 [channels, samples], full scale ±1."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype.kind == "f":
        return np.asarray(values, np.float32)
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - 128.0) / 128.0
    return values.astype(np.float32) * np.float32(2.0 ** (1 - 8 * values.dtype.itemsize))
