"""Decode the sound of a container at its own rate and layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
from avagent.media.edit_list import edited_duration, hidden_head
from avagent.media.limits import DEFAULT_LIMITS, MediaLimits, over_limit
from avagent.media.pyav import AnyPacket, decode_sound, values_of
from avagent.media.timeline import Timeline

_PLACEHOLDER = 0x7FFFF000
"""Sizes from here on tell nothing: who writes into a pipe cannot know them, and puts 2 or 4 GiB, or a little less (SoX:
this). Members of 2 GiB are not read at all, see `limits.member_bytes`."""
_LINK_S = Fraction(1, 4)
"""Times of Ogg that go back by more begin another link; by less, they are those of Vorbis' blocks of two lengths."""
_EXACT_CLOCKS = ("mov", "wav", "flac")
"""Formats whose declared duration counts samples: what is missing from it is missing from the file."""


@dataclass(slots=True)
class _Track:
    """The samples so far, placed by their timestamps."""

    limits: MediaLimits
    channels: int = 0
    after_damage: bool = False
    timeline: Timeline | None = None
    chained: bool = False
    """Whether timestamps that start again say that another stream begins behind this one (RFC 3533, section 4)."""
    _ahead: Fraction = Fraction(0)
    _end: Fraction | None = None
    """By how much later than their timestamps samples come, and when the samples so far end, in s."""

    def add(self, frame: AudioFrame) -> None:
        if frame.samples == 0:
            return
        line = self.timeline
        channels = frame.layout.nb_channels
        if line is None:
            self.channels = channels
            line = self.timeline = Timeline(frame.sample_rate, self._check_size)
        if (frame.sample_rate, channels) != (line.rate, self.channels):
            raise unsupported(
                f"the sound changes from {self.channels} channels at {line.rate} Hz to {channels}"
                f" channels at {frame.sample_rate} Hz half-way; transcode the clip to one layout"
            )
        pts, clock = frame.pts, frame.time_base
        time = None if pts is None or clock is None else pts * clock
        if self.chained:
            time = None if time is None else time + self._ahead
            time = self._behind(time, Fraction(frame.samples, line.rate))
        line.add(_to_float(frame), time, after_damage=self.after_damage)
        self.after_damage = False

    def _behind(self, time: Fraction | None, duration: Fraction) -> Fraction | None:
        if time is not None and self._end is not None and time < self._end - _LINK_S:
            self._ahead += self._end - time
            time = self._end
        begin = time if time is not None else self._end
        self._end = None if begin is None else begin + duration
        return time

    def _check_size(self, length: int) -> None:
        limit, rate = self.limits, 1 if self.timeline is None else self.timeline.rate
        too_long = length > limit.media_seconds * rate
        if too_long or length * self.channels * 4 > limit.sound_bytes:
            raise over_limit(
                f"the sound decodes to more than {length / rate:.0f} s of {self.channels} channels, the limits are"
                f" {limit.media_seconds:.0f} s and {limit.sound_bytes} bytes",
                "media_seconds" if too_long else "sound_bytes",
            )


def decode_audio(data: bytes, *, limits: MediaLimits = DEFAULT_LIMITS) -> Waveform | None:
    """The sound as float32 [channels, samples] at its own rate; None: the member has no sound.

    Sample 0 is the first sample to be presented (`StreamInfo.audio_start` on the container's clock): edit lists are
    applied, and encoder priming and padding are trimmed where the container tells of them. The timestamps say where
    the samples lie (:mod:`avagent.media.timeline`): holes are silent, what overlaps is heard once. A few packets that
    cannot be decoded (:attr:`MediaLimits.damaged_packets`) count as holes; a container that ends before its declared
    end is refused.

    Raises:
        MediaError: broken, truncated or unsupported sound, NaN or Inf among the samples, more than the limits allow.
    """
    found = decode_timed(data, limits=limits)
    return None if found is None else found[0]


def decode_timed(data: bytes, *, limits: MediaLimits = DEFAULT_LIMITS) -> tuple[Waveform, Fraction] | None:
    """As :func:`decode_audio`, and when sample 0 is presented, in s on the container's clock."""
    with open_media(data, limits, look_ahead=False) as container:
        stream = audio_stream(container)
        return None if stream is None else sound_of(data, container, stream, container.demux(stream), limits)


def sound_of(
    data: bytes, container: InputContainer, stream: AudioStream, packets: Iterable[AnyPacket], limits: MediaLimits
) -> tuple[Waveform, Fraction]:
    """What the packets of a stream of `data` decode to, and when that begins; see :func:`decode_timed`."""
    _check_riff(data)
    track = _Track(limits, chained=container.format.name == "ogg")
    for frame in _frames(packets, track):
        track.add(frame)
    line = track.timeline
    if line is None or line.empty:
        raise corrupt("the member declares a sound stream, but no sample of it can be decoded")
    samples = line.samples()
    length = _trusted_length(data, container, stream, Waveform(samples, line.rate))
    samples = samples[:, :length]
    if not np.isfinite(samples).all():
        bad = samples.size - int(np.isfinite(samples).sum())
        raise MediaError(
            f"the sound holds {bad} samples that are NaN or infinite; export it again from its source",
            reason=FailureReason.NON_FINITE_SAMPLES,
        )
    return Waveform(np.ascontiguousarray(samples), line.rate), line.start


def _check_riff(data: bytes) -> None:
    """Raise for a WAV file that was cut off: FFmpeg goes by the size of the file, whatever the header declares."""
    declared = int.from_bytes(data[4:8], "little") if data[:4] == b"RIFF" else 0
    if declared < _PLACEHOLDER and len(data) < 0.95 * (declared + 8):
        raise corrupt(f"the member holds {len(data)} of the {declared + 8} bytes declared: it is truncated")


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


def _trusted_length(data: bytes, container: InputContainer, stream: AudioStream, sound: Waveform) -> int:
    """Samples to keep: a codec's last block is longer than the sound; the declared duration says where it ends."""
    if not container.format.name.startswith(_EXACT_CLOCKS):
        return sound.length
    duration = edited_duration(data, stream.id) if container.format.name.startswith("mov") else None
    if duration is None and stream.duration is not None and stream.time_base is not None:
        duration = stream.duration * stream.time_base
        duration -= hidden_head(data, stream.id) if container.format.name.startswith("mov") else 0
    if duration is None:
        return sound.length
    declared = round(duration * sound.rate)
    if sound.length < 0.95 * declared - 0.25 * sound.rate:
        raise corrupt(
            f"the sound ends after {sound.length / sound.rate:.2f} s of the {float(duration):.2f} s declared:"
            " the member is truncated"
        )
    block = max(stream.codec_context.frame_size or 0, 2048)
    return declared if 0 < sound.length - declared <= block else sound.length


def _to_float(frame: AudioFrame) -> FloatArray:
    """One frame as float32 [channels, samples], full scale ±1."""
    values = values_of(frame)
    if values.dtype.kind == "f":
        return np.asarray(values, np.float32)
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - 128.0) / 128.0
    return values.astype(np.float32) * np.float32(2.0 ** (1 - 8 * values.dtype.itemsize))
