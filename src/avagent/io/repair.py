"""A decision made real: a clip's media with its sound repaired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from avagent.core.actions import Action
from avagent.core.clip import VIDEO_SUFFIXES, Clip, Member
from avagent.core.errors import FailureReason, MediaError, Stage
from avagent.dsp.edit import DspEditor
from avagent.io.container import decode_audio, encode_audio, remux


def repair_sound(clip: Clip, actions: Sequence[Action], *, audio_codec: str = "source") -> Member:
    """The member that carries the clip's sound, with the actions applied; the clip's other members stay as they are.

    Args:
        clip: the original.
        actions: in order.
        audio_codec: `source` keeps the source's codec where it can be encoded well.

    Raises:
        MediaError: the media cannot be decoded or written.
        EditError: an action failed.
        ShardError: the sample holds no media.
    """
    sound = clip.sound()
    waveform = decode_audio(sound.data)
    if waveform is None:
        raise MediaError(
            f"clip {clip.key!r}: {sound.name} has no sound to repair", reason=FailureReason.NO_MEDIA, stage=Stage.WRITE
        )
    edited = DspEditor().edit(waveform, actions)
    if sound.suffix in VIDEO_SUFFIXES:
        data = remux(sound.data, edited, audio_codec=audio_codec)
    else:
        data = encode_audio(edited, sound.suffix, sound.data, audio_codec=audio_codec)
    return replace(sound, data=data)
