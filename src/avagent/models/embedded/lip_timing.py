"""When lips tell whether a clip is in time, and what they tell."""

from __future__ import annotations

from functools import cache

import numpy as np

from avagent.core.facts import Facts
from avagent.core.media import Waveform
from avagent.core.ports import ClipView
from avagent.core.timing import TimeCue, lag_grid
from avagent.dsp.measures.lips import LEAST_SECONDS, NAME, lip_cue
from avagent.models.embedded.captioner import FRAMES
from avagent.models.embedded.runtime import process_tagger
from avagent.models.embedded.synchronization import Timing
from avagent.models.embedded.yamnet import read_labels

SPEECH = ("Speech", "Child speech, kid speaking", "Conversation", "Narration, monologue")
LEAST_SPEECH = 0.2
"""Probability over the whole sound; below it lips are not looked at."""
EARLY_MS, LATE_MS = -45.0, 125.0
"""Lags that are not noticed: the detectability thresholds of ITU-R BT.1359-1. Sound may be late by more than early."""
IN_TIME, OUT_OF_TIME, UNRELATED = 0.7, 0.2, 0.1
"""Before anything is known of a clip with a face that talks: in time, moved by any lag within 2 s, or another voice."""
IN_TIME_MS = 20.0
"""Standard deviation of the lag of clips that are in time."""
SURE = 0.95


def lips_of(view: ClipView, waveform: Waveform, frames: int = FRAMES) -> TimeCue:
    """What the lips of a clip say of its (edited) sound; silent with the reason where there is no talking face.

    Faces are looked for in at most `frames` pictures.

    Raises:
        ClipError: sound or picture cannot be decoded.
    """
    if waveform.duration < LEAST_SECONDS:
        return TimeCue(name=NAME, reason="face_too_short")
    heard = process_tagger().heard(view)
    if heard is None or float(heard[_speech_classes()].max()) < LEAST_SPEECH:
        return TimeCue(name=NAME, reason="no_speech")
    mouth = process_tagger().mouth(view, frames)
    return TimeCue(name=NAME, reason=mouth) if isinstance(mouth, str) else lip_cue(mouth, waveform)


def lip_timing(view: ClipView, waveform: Waveform, facts: Facts, frames: int = FRAMES) -> Timing | None:
    """The judgement of the lips alone; None: they are silent, and the picture's motion may tell.

    Raises:
        ClipError: sound or picture cannot be decoded.
    """
    if facts.muted:
        return None
    cue = lips_of(view, waveform, frames)
    return judged(cue) if cue.spoke else None


def judged(cue: TimeCue) -> Timing:
    """Bayes' rule over being in time, having been moved, and being another voice."""
    lags, ratio = lag_grid(), np.exp(cue.at_tempo_one.astype(np.float64))
    near = np.exp(-0.5 * (lags / IN_TIME_MS) ** 2)
    left = IN_TIME * float((ratio * near).sum() / near.sum())
    moved = OUT_OF_TIME * ratio / lags.size
    unnoticed = (lags >= EARLY_MS) & (lags <= LATE_MS)
    outside = float(moved[~unnoticed].sum())
    inside = left + float(moved[unnoticed].sum())
    total = inside + outside + UNRELATED
    if (1.0 - SURE) * total < UNRELATED:
        # A face that talks moves with its voice, if with any: what its motion says of another one is chance.
        return Timing(None, "uncorrelated", lag_ms=0.0)
    lag = float(lags[np.argmax(np.where(unnoticed, 0.0, ratio))])
    if outside < SURE * total:
        return Timing(None, in_time=inside / (inside + outside), lag_ms=0.0)
    return Timing(None, in_time=inside / (inside + outside), lag_ms=lag, lag_confidence=outside / total)


@cache
def _speech_classes() -> list[int]:
    labels = read_labels()
    return [labels.index(name) for name in SPEECH]
