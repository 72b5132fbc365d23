"""Write a container again with other sound: everything else is copied, nothing else is encoded.

In mp4 and mov only the sound's track is made anew (:mod:`avagent.media.iso_sound`); FFmpeg's muxers write the other
containers, packet by packet. What was written is read back before it is given out (:mod:`avagent.media.written`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from avagent.core.errors import FailureReason, MediaError, ParameterError, Stage
from avagent.core.media import Waveform
from avagent.media.audio_codec import Encoding, Source, possible_encodings
from avagent.media.demux import audio_stream, open_media, video_stream
from avagent.media.edit_list import is_spliced
from avagent.media.iso_sound import SoundTrack, replace_sound
from avagent.media.kept_tags import keep_tags
from avagent.media.limits import DEFAULT_LIMITS, MediaLimits
from avagent.media.muxing import (
    KEEPS_START,
    MOV_MUXERS,
    WHOLE_MILLISECONDS,
    Job,
    mux_again,
    mux_sound,
    unsupported_edits,
)
from avagent.media.provenance_tag import add_tag, free_number, tag_name, written_by_muxer
from avagent.media.pyav import AnyPacket, layout_of, sample_format_of
from avagent.media.sound import first_time
from avagent.media.written import check_pictures, sound_fault

_SUFFIX_MUXERS: Mapping[str, str] = {"wav": "wav", "flac": "flac", "mp3": "mp3", "ogg": "ogg", "m4a": "ipod"}
_RAW: Mapping[str, Mapping[str, str]] = {"aac": {"mp4": "mp4", "mov": "mov", "mkv": "matroska", **_SUFFIX_MUXERS}}
"""Streams without a container have no place for an encoder's delay: they get the one that the member's suffix names."""
_WRITTEN = ("wav", "flac", "mp3", "ogg", "avi")


def remux(
    data: bytes,
    waveform: Waveform,
    *,
    audio_codec: str = "source",
    suffix: str = "",
    limits: MediaLimits = DEFAULT_LIMITS,
    tag: str = "",
) -> bytes:
    """The container with its sound replaced: the container that the bytes are, whatever the member is called.

    Video packets, their timestamps, flags and edit lists stay bit-identical (checked here); all other streams, chapters
    and metadata are carried. The new sound starts where the old one did (to 1 ms in Matroska), with encoder delay
    compensated: it is decoded again here, and an encoder whose sound does not come out in time is not used. The same
    input gives the same bytes.

    Args:
        data: mp4, mov, m4a, mkv, webm, avi, wav, flac, ogg or mp3; AAC without a container.
        waveform: the new sound.
        audio_codec: see :mod:`avagent.media.audio_codec`.
        suffix: of the member; it says what becomes of sound without a container.
        limits: for reading.
        tag: what the file is to say of itself besides, see :mod:`avagent.media.provenance_tag`; empty: nothing.

    Raises:
        MediaError: unreadable input; a container that cannot be written, for example `unsupported_stream`: it holds one
            that cannot be carried, or `unsupported_edit_list`; `unsupported_sound`: with no encoder does it come out as
            it should, such as a sound of a few samples in MP3.
        ParameterError: an `audio_codec` that is not known.
    """
    old, waveform = _from_zero(_look(data, suffix, limits, tag), waveform)
    faults: list[str] = []
    for encoding in possible_encodings(old.muxer, audio_codec, waveform, old.source):
        try:
            result = _written(data, old, waveform, encoding, limits)
        except (FFmpegError, ValueError) as error:
            faults.append(f"{encoding.encoder} sound ({error})")
            continue
        start = old.start if old.timed else None
        fault = sound_fault(result, waveform, start=start, rate=encoding.rate, muxer=old.muxer, limits=limits)
        if fault is None:
            check_pictures(data, result, limits)
            return result
        faults.append(f"{encoding.encoder} sound ({fault})")
    raise MediaError(
        f"cannot write the {old.muxer} container with {' or '.join(faults)}; choose another audio codec that the"
        " container can hold",
        reason=FailureReason.UNSUPPORTED_SOUND if audio_codec == "source" else FailureReason.WRITE_FAILED,
        stage=Stage.WRITE,
    )


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
        like: the member that is replaced: its container, codec, bit depth, bit rate, tags and cover art are kept where
            possible, see :func:`remux`.
        audio_codec: see :mod:`avagent.media.audio_codec`.
        limits: for reading `like`.

    Raises:
        ParameterError: an unknown suffix or codec.
        MediaError: as :func:`remux`.
    """
    muxer = _SUFFIX_MUXERS.get(suffix.lower())
    if muxer is None:
        raise ParameterError(f"cannot write a .{suffix} member; known suffixes: {', '.join(_SUFFIX_MUXERS)}")
    if like is not None:
        return remux(like, waveform, audio_codec=audio_codec, suffix=suffix, limits=limits)
    encoding = next(possible_encodings(muxer, audio_codec, waveform, Source()))
    try:
        return mux_sound(waveform, encoding, muxer)[0]
    except (FFmpegError, ValueError) as error:
        raise MediaError(
            f"cannot write the {muxer} container with {encoding.encoder} sound ({error}); choose another audio codec"
            " that the container can hold",
            reason=FailureReason.WRITE_FAILED,
            stage=Stage.WRITE,
        ) from error


def muxer_of(container: InputContainer, data: bytes, suffix: str = "") -> str:
    """The muxer that writes what the demuxer read; for a raw stream, that of the suffix."""
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
    if name in _WRITTEN:
        return name
    if (named := _RAW.get(name, {}).get(suffix.lower())) is not None:
        return named
    raise MediaError(
        f"cannot write {name} containers again; convert the clip to mp4, mov, mkv or webm",
        reason=FailureReason.UNSUPPORTED_MEDIA,
        stage=Stage.WRITE,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Old:
    """What is replaced.

    Attributes:
        muxer: FFmpeg's name of the container to write.
        source: what the sound was coded as.
        start: when the sound begins, in s on the container's clock.
        timed: whether something else is shown on that clock.
        track: the number of the sound's track in an ISO media file; None: it is none, or has no sound.
        tag: text of the tag to be written, and which of our tags it is; None: none.
    """

    muxer: str
    source: Source = field(default_factory=Source)
    start: float = 0.0
    timed: bool = False
    track: int | None = None
    tag: tuple[int, str] | None = None


def _look(data: bytes, suffix: str, limits: MediaLimits, tag: str) -> _Old:
    with open_media(data, limits) as container:
        muxer, stream = muxer_of(container, data, suffix), audio_stream(container)
        number = free_number([*container.metadata, *(key for s in container.streams for key in s.metadata)])
        tagged = (number, tag) if tag and number is not None else None
        if stream is None:
            return _Old(muxer=muxer, tag=tagged)
        track = stream.id if container.format.name.startswith("mov") else None
        if track is not None and is_spliced(data, track):
            raise unsupported_edits(f"track {track} with the sound")
        packets = [p for p in container.demux(stream) if p.size]
        timed = muxer in KEEPS_START or video_stream(container) is not None
        start = first_time(packets) if timed else 0.0
        return _Old(muxer=muxer, source=_source(stream, packets), start=start, timed=timed, track=track, tag=tagged)


def _from_zero(old: _Old, waveform: Waveform) -> tuple[_Old, Waveform]:
    """Sound that begins before the clock of its container does, by what an encoder delayed: that part is not shown."""
    early = min(round(-old.start * waveform.rate), waveform.length - 1)
    if early <= 0:
        return old, waveform
    return replace(old, start=0.0), Waveform(np.ascontiguousarray(waveform.samples[:, early:]), waveform.rate)


def _source(stream: AudioStream, packets: list[AnyPacket]) -> Source:
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
        layout=layout_of(context).name,
    )


def _written(data: bytes, old: _Old, waveform: Waveform, encoding: Encoding, limits: MediaLimits) -> bytes:
    start = round(old.start * encoding.rate)
    if old.track is not None and old.muxer in MOV_MUXERS:
        alone, sound = mux_sound(waveform, encoding, old.muxer)
        track = SoundTrack(
            file=alone,
            rate=encoding.rate,
            start=start,
            priming=sound.priming,
            length=sound.length,
            lists_channels=encoding.encoder.startswith("pcm_"),
        )
        result = replace_sound(data, old.track, track)
        if result is not None:
            return _tagged(result, old)
    if start > 0 and old.muxer in WHOLE_MILLISECONDS:
        # Encoders delay by fractions such as 6.5 ms: rounding a tie up would move the sound with every generation.
        start -= 1
    with open_media(data, limits) as container:
        noted = {tag_name(old.tag[0]): old.tag[1]} if old.tag and written_by_muxer(old.muxer) else {}
        result = mux_again(Job(container, audio_stream(container), waveform, encoding, start, data, noted), old.muxer)
    return _tagged(keep_tags(data, result, old.muxer), old)


def _tagged(data: bytes, old: _Old) -> bytes:
    return data if old.tag is None else add_tag(data, old.muxer, *old.tag)
