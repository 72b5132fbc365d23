"""Is the sound in time with the picture? All cues of a clip, judged together."""

from __future__ import annotations

from avagent.core.ports import ClipView
from avagent.core.time_judgement import TimeJudgement, fits_better_at, judge_lips, judge_time
from avagent.dsp.measures.lips import LEAST_SECONDS
from avagent.dsp.measures.onset import onset_strength
from avagent.dsp.measures.touches import onset_cues
from avagent.models.embedded.captioner import FRAMES
from avagent.models.embedded.lip_timing import lips_of

SAYS_MORE = ("no_face", "several_faces", "face_too_small", "face_too_short", "low_frame_rate")
"""Why lips are silent though somebody speaks: it says more than that what moves has nothing to do with what sounds."""


def synchronization(view: ClipView, frames: int = FRAMES) -> TimeJudgement:
    """When the (edited) sound of a clip comes, and how fast it runs.

    Faces are looked for in at most `frames` pictures. Touches and motion were weighed for the facts; they are weighed
    again only where lips have something to add.

    Raises:
        ClipError: sound or picture cannot be decoded.
    """
    waveform, facts = view.audio(), view.facts()
    if waveform is None or facts is None:
        return TimeJudgement(in_time=None, reason="no_audio")
    if facts.muted:
        return TimeJudgement(in_time=None, reason="muted")
    motion = view.motion()
    if motion is None:
        return TimeJudgement(in_time=None, reason="no_video" if view.frames() is None else "still_picture")
    named = facts.expected_tempo
    lips = lips_of(view, waveform, frames, tempos=named is not None)
    if lips.spoke:
        told = judge_lips(lips)
        if told.in_time is not None and not fits_better_at(lips, named):
            return told
        if named is None:
            lips = lips_of(view, waveform, frames)
        # They fit nowhere at the picture's tempo, or better at that which the durations name: with touches and motion.
        return judge_time([lips, *onset_cues(*onset_strength(waveform), motion)], named)
    found = facts.timing if facts.timing is not None else TimeJudgement(in_time=None, reason="no_onsets")
    long_enough = min(waveform.duration, float(motion.times[-1] - motion.times[0])) >= LEAST_SECONDS
    if found.in_time is None and long_enough and lips.reason in SAYS_MORE:
        return TimeJudgement(in_time=None, reason=lips.reason)
    return found
