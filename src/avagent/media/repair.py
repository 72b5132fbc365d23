"""A decision made real: a clip's media with its sound repaired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from avagent.core.actions import Action
from avagent.core.clip import Clip, Member
from avagent.core.errors import FailureReason, MediaError, Stage
from avagent.dsp.actions.edit import DspEditor
from avagent.media.container import DEFAULT_LIMITS, MediaLimits, decode_audio, remux
from avagent.media.decoder_process import Decoder, DirectDecoder


def repair_sound(
    clip: Clip,
    actions: Sequence[Action],
    *,
    audio_codec: str = "source",
    limits: MediaLimits = DEFAULT_LIMITS,
    decoder: Decoder | None = None,
    tag: str = "",
) -> Member:
    """The member that carries the clip's sound, with the actions applied; the clip's other members stay as they are.

    Args:
        clip: the original.
        actions: in order.
        audio_codec: `source` keeps the source's codec where it can be encoded well.
        limits: of the media.
        tag: what the repaired file says of itself, see :mod:`avagent.media.provenance_tag`; empty: nothing.
        decoder: what media are decoded and encoded in; this process unless given.

    Raises:
        MediaError: the media cannot be decoded or written.
        EditError: an action failed.
        ShardError: the sample holds no media.
    """
    sound = clip.sound()
    decoder = (decoder or DirectDecoder()).for_clip()
    waveform = decoder.run(decode_audio, sound.data, limits=limits)
    if waveform is None:
        raise MediaError(
            f"clip {clip.key!r}: {sound.name} has no sound to repair", reason=FailureReason.NO_MEDIA, stage=Stage.WRITE
        )
    edited = DspEditor().edit(waveform, actions)
    suffix = sound.suffix.rpartition(".")[2]
    data = decoder.run(remux, sound.data, edited, audio_codec=audio_codec, suffix=suffix, limits=limits, tag=tag)
    return replace(sound, data=data)
