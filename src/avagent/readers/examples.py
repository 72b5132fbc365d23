"""What both readers give of a clip, before its sound is decoded."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from avagent.core.clip import Clip
from avagent.core.errors import MediaError, ParameterError, ShardError
from avagent.core.media import Waveform
from avagent.core.state import Outcome
from avagent.media.container import decode_audio, probe
from avagent.media.decoder_process import process_decoder
from avagent.shards.formats import DEFAULT_OPTIONS, ShardOptions, format_of
from avagent.shards.record_member import record_of
from avagent.shards.samples import BadSample, Loose


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedClip:
    """A clip of a refined shard.

    Attributes:
        key: of the clip.
        video: the container with the picture; empty: there is none.
        sound: what holds the sound: the separate file if there is one, else the container.
        suffix: of `sound`, such as `mp4` or `wav`.
        codec: of the sound, as FFmpeg calls it; empty: no sound.
        rate: in Hz; 0: no sound.
        record: the clip's `avagent.json`; empty: it was not refined.
    """

    key: str
    video: bytes
    sound: bytes
    suffix: str
    codec: str
    rate: int
    record: str


def iter_clips(
    shard: str, outcomes: Collection[str] = (), options: ShardOptions = DEFAULT_OPTIONS
) -> Iterator[EncodedClip]:
    """The clips of a shard in order; what is bad is passed over, as it is in `_errors` of a refined folder.

    Args:
        shard: URL of a WebDataset or TFRecord shard.
        outcomes: only clips with such an outcome (`improved`, `unchanged`, `not_evaluable`); none: all.
        options: how shards are read.

    Raises:
        OSError: the shard cannot be read.
        ParameterError: an outcome that does not exist.
    """
    wanted = check_outcomes(outcomes)
    for item in format_of(shard).iter_samples(shard, options):
        if isinstance(item, BadSample | Loose):
            continue
        try:
            found = encoded(item.clip(), options)
        except (ShardError, MediaError):
            continue
        if not wanted or outcome_of(found.record) in wanted:
            yield found


def check_outcomes(outcomes: Collection[str]) -> frozenset[str]:
    """The same, checked. Raises ParameterError."""
    if unknown := sorted(set(outcomes) - set(Outcome)):
        raise ParameterError(f"unknown outcome {unknown[0]!r}; known: {', '.join(Outcome)}")
    return frozenset(outcomes)


def encoded(clip: Clip, options: ShardOptions = DEFAULT_OPTIONS) -> EncodedClip:
    """What is in a clip. Raises ShardError, MediaError: it holds no media that can be opened."""
    sound, video = clip.sound(), clip.video()
    streams = process_decoder(options.decoding).run(probe, sound.data, limits=options.media)
    return EncodedClip(
        key=clip.key,
        video=video.data if video is not None else b"",
        sound=sound.data,
        suffix=sound.suffix,
        codec=streams.audio_codec or "",
        rate=streams.rate or 0,
        record=record_of(clip),
    )


def decoded(sound: bytes, options: ShardOptions = DEFAULT_OPTIONS) -> Waveform | None:
    """The sound of a container, decoded as a run decodes it: in a process that can be killed, within limits.

    Raises:
        MediaError: it cannot be decoded, or not within the limits.
    """
    return process_decoder(options.decoding).run(decode_audio, sound, limits=options.media)


def outcome_of(record: str) -> str | None:
    """The outcome that a record tells; None: there is no record."""
    return json.loads(record).get("outcome") if record else None
