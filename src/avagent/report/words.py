"""What the records say by names, in words for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from avagent.core.actions import Action, action_to_dict
from avagent.core.history import Round
from avagent.core.reflection import Objection
from avagent.report.choice import Group
from avagent.report.facts import NO_GAIN

OUTCOMES: Mapping[str, str] = {
    "improved": "improved",
    "unchanged": "unchanged",
    "not_evaluable": "not evaluable",
    "failed": "failed",
}
GROUPS: Mapping[str, str] = {
    Group.ASKED: "asked for",
    Group.BEST: "largest gain",
    Group.SMALL_MARGIN: "doubtful: small margin",
    Group.LARGE_EDIT: "doubtful: large edit",
    Group.LITTLE_EVIDENCE: "doubtful: little evidence of time",
    Group.FAILED: "failed",
    Group.RANDOM: "random",
    Group.EDITED: "to be reviewed",
}
STOPS: Mapping[str, str] = {
    "threshold": "everything that could be scored reached the threshold",
    "round_limit": "the most rounds that the recipe allows were used",
    "no_plan": "the planner saw nothing (more) that an action could mend",
    "not_evaluable": "no score could be given",
    "rejected_by_review": "a person rejected what the loop had accepted",
}
NOTES: Mapping[str, str] = {
    "muted": "the sound is silent",
    "no_audio": "there is no sound",
    "no_video": "there is no picture",
    "still_picture": "the picture does not move",
    "sound_unnamed": "no sound could be named with confidence",
    "picture_unnamed": "nothing in the picture could be named with confidence",
    "speaker_unseen": "someone speaks who is not seen",
    "uncorrelated": "sound and movement have nothing to do with each other",
    "too_short": "the clip is too short to tell",
    "no_face": "no face is seen",
    "face_too_small": "the face is too small to tell",
    "face_too_short": "a face is seen for too short a time to tell",
    "several_faces": "several faces are seen",
    "no_speech": "nobody is heard speaking",
    "no_onsets": "the sound has no onsets to go by",
    "no_impacts": "nothing in the picture stops or touches",
    "low_frame_rate": "too few pictures a second to tell",
    "relation_unknown": "what is heard and what is seen are not known to belong together, or apart",
    "not_judged": "the scorer does not judge it",
    "caption_has_no_time": "a caption says nothing of time",
    "uncalibrated": "the scorer has no calibration for it",
}
OBJECTIONS: Mapping[str, str] = {
    NO_GAIN: "the scores did not rise by more than their own noise",
    Objection.NO_NOISE: "no noise or hum was measured that could be heard",
    Objection.INAUDIBLE: "what was taken away could hardly be heard",
    Objection.NOT_NOISE: "what was taken away sounds, or comes and goes, like the programme",
    Objection.STEADY_PROGRAMME: "the steady sound is what the clip is about",
    Objection.NOTHING_LEFT: "nearly all of the sound was taken away",
    Objection.USUAL_LEVEL: "loudness and peaks were as usual, or not so after the edit",
    Objection.MOVING_GAIN: "no fact calls for a gain that changes over time",
    Objection.NO_PROGRAMME: "nothing stands over the floor that would be raised",
    Objection.AUDIBLE_FLOOR: "the floor that would be raised is plainly heard",
    Objection.NOT_CLIPPED: "the sound is not clipped",
    Objection.NO_GAPS: "there is no dropout, or more than dropouts was changed",
    Objection.NO_LAG: "sound and picture show no such lag",
    Objection.NO_TEMPO: "durations or movements show no such difference of tempo",
    Objection.NO_TRANSPOSITION: "nothing that is measured calls for another pitch",
    Objection.MISMATCHED: "the sound does not belong to the picture",
}
LEFT: Mapping[str, str] = {
    "unsupported_sound": "the repair could not be written in the sound's own format; the clip was left as it came",
    "unsupported_stream": "the container holds a stream that could not be carried; the clip was left as it came",
    "unsupported_edit_list": "the container's edit list could not be carried; the clip was left as it came",
}
_UNITS: Mapping[str, str] = {
    "milliseconds": "ms",
    "floor_db": "dB",
    "threshold_db": "dB",
    "reduction_db": "dB",
    "window_s": "s",
    "semitones": "semitones",
    "target_lufs": "LUFS",
    "peak_dbtp": "dBTP",
    "min_gap_ms": "ms",
    "max_gap_ms": "ms",
    "factor": "times",
}
_UNIT_SUFFIX = re.compile(r"_(db|dbtp|lufs|ms|s)$")
_MINUS = "\N{MINUS SIGN}"


def plain(name: str) -> str:
    """A name as words: `wiener_filter` is "wiener filter"."""
    return name.replace("_", " ")


def reason(outcome: str, name: str) -> str:
    """Why a clip ended as it did; of a clip that is not evaluable, each note of the scorer."""
    if outcome == "not_evaluable":
        return "; ".join(NOTES.get(note, plain(note)) for note in name.split(","))
    return STOPS.get(name) or LEFT.get(name) or plain(name)


def objection(name: str) -> str:
    """Why an edit was not kept."""
    return OBJECTIONS.get(name, plain(name))


def parameter(name: str, value: Any) -> str:
    """One parameter of an action; `milliseconds` needs no name besides its unit."""
    shown = signed(value) if isinstance(value, int | float) and not isinstance(value, bool) else choice(value)
    return " ".join(part for part in (label(name), shown, _UNITS.get(name, "")) if part)


def label(name: str) -> str:
    """What a parameter is called, less its unit."""
    return plain("" if name == "milliseconds" else _UNIT_SUFFIX.sub("", name))


def choice(value: object) -> str:
    """A parameter that is no number."""
    return {True: "yes", False: "no", "True": "yes", "False": "no"}.get(value) or plain(str(value))  # pyright: ignore[reportArgumentType, reportCallIssue]


def action(value: Action | Mapping[str, Any]) -> str:
    """An action with its parameters."""
    data = value if isinstance(value, Mapping) else action_to_dict(value)
    parameters = ", ".join(parameter(name, item) for name, item in data["params"].items())
    return f"{plain(data['kind'])} ({parameters})" if parameters else plain(data["kind"])


def verdict(done: Round) -> str:
    """What came of a round."""
    if done.accepted:
        return "kept"
    return f"not kept: {objection(str(done.objection) if done.objection else NO_GAIN)}"


def base(done: Round) -> str:
    """What a round's plan was applied to."""
    return "the original sound" if str(done.base) == "original" else "the best sound so far"


def signed(value: float) -> str:
    """A number as it is read: at most three digits, a real minus."""
    text = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return text.replace("-", _MINUS)


def score(value: float | None) -> str:
    """A score; not evaluable ones have no number."""
    return "\N{EN DASH}" if value is None or value != value else f"{value:.2f}"  # noqa: PLR0124  (NaN)


def change(before: float | None, after: float | None) -> str:
    """A score before and after."""
    return f"{score(before)} \N{RIGHTWARDS ARROW} {score(after)}"
