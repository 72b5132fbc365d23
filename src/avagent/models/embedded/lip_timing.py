"""When lips tell whether a clip is in time."""

from __future__ import annotations

from functools import cache

from avagent.core.media import Waveform
from avagent.core.ports import ClipView
from avagent.core.timing import TimeCue
from avagent.dsp.measures.lips import LEAST_SECONDS, NAME, lip_cue
from avagent.models.embedded.captioner import FRAMES
from avagent.models.embedded.runtime import process_tagger
from avagent.models.embedded.yamnet import read_labels

SPEECH = ("Speech", "Child speech, kid speaking", "Conversation", "Narration, monologue")
LEAST_SPEECH = 0.2
"""Probability over the whole sound; below it lips are not looked at."""


def lips_of(view: ClipView, waveform: Waveform, frames: int = FRAMES, *, tempos: bool = True) -> TimeCue:
    """What the lips of a clip say of its (edited) sound; silent with the reason where there is no talking face.

    Faces are looked for in at most `frames` pictures. Without `tempos`, at the picture's tempo alone.

    Raises:
        ClipError: sound or picture cannot be decoded.
    """
    if waveform.duration < LEAST_SECONDS:
        return TimeCue(name=NAME, reason="face_too_short")
    heard = process_tagger().heard(view)
    if heard is None or float(heard[_speech_classes()].max()) < LEAST_SPEECH:
        return TimeCue(name=NAME, reason="no_speech")
    mouth = process_tagger().mouth(view, frames)
    return TimeCue(name=NAME, reason=mouth) if isinstance(mouth, str) else lip_cue(mouth, waveform, tempos=tempos)


@cache
def _speech_classes() -> list[int]:
    labels = read_labels()
    return [labels.index(name) for name in SPEECH]
