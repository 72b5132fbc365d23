"""One judgement of time from all cues: is the sound in time, and if not, by how much is it off?

Bayes' rule over three kinds of clip: in time, moved or at another tempo, and unrelated (music over pictures, a voice
off screen). Most clips are in time; how many of the others there are is a matter of corpora, and the answer changes
little with it, for evidence is in powers of e.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from avagent.core.errors import ParameterError
from avagent.core.timing import TEMPO_STEPS, TimeCue, lag_grid, tempo_grid

Array = npt.NDArray[np.float64]

EARLY_MS, LATE_MS = -45.0, 125.0
"""Lags of the sound that are not noticed: the detectability thresholds of ITU-R BT.1359-1. It gives the advance of the
sound, +45 ms to -125 ms; here sound that comes late counts above 0."""
IN_TIME, MOVED, OTHER_TEMPO, UNRELATED = 0.6, 0.17, 0.1, 0.13
"""Before anything is known: sound in time, moved, at another tempo, of another scene."""
TALKER = 0.6, 0.33, 0.07
"""Of a clip with a face and a voice, before anything is known: in time, moved, another person's voice."""
MOVED_MS = 200.0
"""Most probable size of a lag where there is one, half of its mean: of streams that start apart and of late
microphones a fraction of a second. Of voices that belong to other people the best fit lies anywhere within 2 s."""
IN_TIME_MS = 20.0
"""Standard deviation of the lag of clips that are in time: a picture's duration or less."""
START_MS = 40.0
"""The same at the start of clips of another tempo, which mostly begin together."""
EXPECTED_TEMPO = 0.8
"""Share of clips at another tempo whose sound lasts as much longer than the picture as its tempo says."""
TOUCHES_ALONE, MOTION_ALONE = 0.5, 0.2
"""Where both speak: how often sounds come of touches and the motion before them tells another time, and of motion as
such. In the other clips both tell the same."""
SHARED = 0.75
"""Weight of each where both tell the same, so that sounds of other clips are as rarely taken for their own as by
touches alone (1,500 mismatched pairs of recordings that report nothing)."""
SURE = 0.95
"""Probability of being out of time from which an edit is proposed, and of a relation from which anything is said."""
_AROUND_MS, _AROUND_STEPS = 120.0, 2
_LIPS, _TOUCHES, _MOTION = "lips", "touches", "motion"
_MISMATCH_ERROR = 0.005
"""Share by which the durations' ratio misses the tempo: a picture, a codec's block."""
_SPOKE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeJudgement:
    """When the sound comes and how fast it runs, with how sure that is.

    What the picture shows at time t is heard at `lag + t / tempo`, in s.

    Attributes:
        in_time: probability that the lag lies in the window of ITU-R BT.1359 at the picture's tempo, given that sound
            and picture are related, in [0, 1]; None: not evaluable.
        out_of_time: probability that they are related and that it does not, all probability near one lag and tempo.
        lag_ms, lag_error_ms: the most probable lag, and its standard deviation.
        tempo, tempo_error: the most probable tempo of the sound, and its standard deviation.
        cues: which cues spoke for a relation, the strongest first.
        reason: why it is not evaluable; None: it is.
    """

    in_time: float | None
    out_of_time: float = 0.0
    lag_ms: float = 0.0
    lag_error_ms: float = 0.0
    tempo: float = 1.0
    tempo_error: float = 0.0
    cues: tuple[str, ...] = ()
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.in_time is None) == (self.reason is None):
            raise ParameterError(f"a judgement is a probability or a reason, got {self.in_time} and {self.reason!r}")
        for name in ("in_time", "out_of_time"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise ParameterError(f"{name} must lie in [0, 1], got {value}")

    @property
    def calls_for_an_edit(self) -> bool:
        """Whether it is sure that the sound is out of time."""
        return self.out_of_time >= SURE


def judge_lips(cue: TimeCue) -> TimeJudgement:
    """What lips that spoke say by themselves, at the picture's tempo: a face that talks moves with its voice, if any.

    Raises:
        ParameterError: the cue is silent.
    """
    if cue.log_ratio is None:
        raise ParameterError(f"the cue {cue.name!r} is silent: {cue.reason}")
    near, far = _by_lag(IN_TIME_MS)
    in_time, moved, other_voice = TALKER
    joint = np.zeros((TEMPO_STEPS, lag_grid().size))
    joint[TEMPO_STEPS // 2] = np.exp(np.asarray(cue.at_tempo_one, np.float64)) * (in_time * near + moved * far)
    return _judgement(joint, other_voice, (cue.name,), None)


def fits_better_at(cue: TimeCue, tempo: float | None) -> bool:
    """Whether a cue that spoke of every tempo fits somewhere at this one better than anywhere at the picture's."""
    if tempo is None or cue.log_ratio is None or cue.log_ratio.shape[0] == 1:
        return False
    row = int(np.argmin(np.abs(tempo_grid() - tempo)))
    around = cue.log_ratio[max(0, row - _AROUND_STEPS) : row + _AROUND_STEPS + 1]
    return float(around.max()) > float(cue.at_tempo_one.max())


def judge_time(cues: Sequence[TimeCue], expected_tempo: float | None = None) -> TimeJudgement:
    """Combine all cues of a clip.

    Lips are one witness, touches and motion together another: they hear the same onsets. A thing that slides until it
    strikes moves most long before it sounds, so that each of them may be right by itself.

    Args:
        cues: at least one, at most one of each name.
        expected_tempo: duration of the picture over that of the sound, where they differ; None: they do not.

    Raises:
        ParameterError: no cue, or two of one name.
    """
    if not cues or len({cue.name for cue in cues}) < len(cues):
        raise ParameterError(f"cues must be at least one, and each of another name, got {[c.name for c in cues]}")
    heard = [cue for cue in cues if cue.log_ratio is not None]
    if not heard:
        return TimeJudgement(in_time=None, reason=next(str(c.reason) for c in cues))
    lips = [_full(cue) for cue in heard if cue.name == _LIPS]
    onsets = {cue.name: _full(cue) for cue in heard if cue.name != _LIPS}
    evidence = np.sum(lips, axis=0) if lips else np.zeros((TEMPO_STEPS, lag_grid().size))
    if onsets:
        told = _of_onsets(onsets)
        # A talker moves for other reasons as well: motion that fits the voice nowhere says nothing against it.
        evidence = evidence + (np.logaddexp(told, 0.0) - np.log(2.0) if lips else told)
    in_time, moved = _priors(expected_tempo)
    spoke = _speaking(heard, in_time + moved)
    top = max(float(evidence.max()), 0.0)
    weight = np.exp(evidence - top)
    unrelated = (TALKER[-1] if lips else UNRELATED) * float(np.exp(-top))
    joint = (in_time + moved) * weight
    return _judgement(joint, unrelated, spoke, expected_tempo)


def _of_onsets(told: Mapping[str, Array]) -> Array:
    """What touches and motion say together: one of them is the witness, or both are."""
    if len(told) == 1:
        return next(iter(told.values()))
    touches, motion = told[_TOUCHES], told[_MOTION]
    alone = np.logaddexp(np.log(TOUCHES_ALONE) + touches, np.log(MOTION_ALONE) + motion)
    both = np.log(1.0 - TOUCHES_ALONE - MOTION_ALONE) + SHARED * (touches + motion)
    return np.asarray(np.logaddexp(alone, both), np.float64)


def _judgement(joint: Array, unrelated: float, spoke: tuple[str, ...], expected_tempo: float | None) -> TimeJudgement:
    """From the joint probability of lag and tempo, not normalised."""
    inside = _window()
    related = float(joint.sum())
    total = related + unrelated
    outside = np.where(inside, 0.0, joint)
    peak = np.unravel_index(int(np.argmax(outside)), joint.shape)
    near = _around(int(peak[0]), int(peak[1]))
    # Where several places fit alike, it is known that the sound is out of time, but not by how much.
    out_of_time = float(outside[near].sum()) / total
    if related < SURE * total:
        return TimeJudgement(in_time=None, cues=spoke, reason="uncorrelated")
    if out_of_time < SURE:
        peak = np.unravel_index(int(np.argmax(joint)), joint.shape)
        near = _around(int(peak[0]), int(peak[1]))
    # At the most probable tempo: another tempo goes with another lag at the start.
    lag, lag_error = _moments(joint[peak[0], near[1][0]], lag_grid()[near[1][0]])
    tempo, tempo_error = _moments(joint[near].sum(axis=1), tempo_grid()[near[0][:, 0]])
    if peak[0] == TEMPO_STEPS // 2:
        tempo = 1.0
    elif expected_tempo is not None:
        tempo, tempo_error = _with_durations(tempo, tempo_error, expected_tempo)
    return TimeJudgement(
        in_time=min(1.0, float(joint[inside].sum()) / related),
        out_of_time=min(1.0, out_of_time),
        lag_ms=round(lag, 1),
        lag_error_ms=round(lag_error, 1),
        tempo=round(tempo, 4),
        tempo_error=round(tempo_error, 4),
        cues=spoke,
    )


def _with_durations(tempo: float, error: float, expected: float) -> tuple[float, float]:
    """The tempo and its error, by cues and by the durations of picture and sound where both mean the same one."""
    apart = np.log(tempo_grid()[1] / tempo_grid()[0])
    if abs(np.log(tempo / expected)) > _AROUND_STEPS * apart:
        return tempo, error
    weights = max(error, 1e-4) ** -2, (_MISMATCH_ERROR * expected) ** -2
    return (weights[0] * tempo + weights[1] * expected) / sum(weights), float(sum(weights) ** -0.5)


def _full(cue: TimeCue) -> Array:
    """The evidence for every tempo; of a cue that speaks of tempo 1 alone none at the others."""
    found = np.asarray(cue.log_ratio, np.float64)
    if found.shape[0] == TEMPO_STEPS:
        return found
    every = np.zeros((TEMPO_STEPS, found.shape[1]))
    every[TEMPO_STEPS // 2] = cue.at_tempo_one
    return every


def _speaking(cues: Sequence[TimeCue], prior: Array) -> tuple[str, ...]:
    """Those that make a relation likelier than none."""
    share = (prior / prior.sum()).ravel()
    strength = {cue.name: float(np.log(share @ np.exp(_full(cue).ravel()))) for cue in cues}
    return tuple(sorted((name for name, value in strength.items() if value > _SPOKE), key=lambda n: -strength[n]))


def _priors(expected_tempo: float | None) -> tuple[Array, Array]:
    """Of being in time, and of not: float64 [tempos, lags], in all 1 less UNRELATED."""
    tempos, middle = tempo_grid(), TEMPO_STEPS // 2
    near, far = _by_lag(IN_TIME_MS)
    in_time, moved = np.zeros((tempos.size, near.size)), np.zeros((tempos.size, near.size))
    in_time[middle], moved[middle] = IN_TIME * near, MOVED * far
    by_lag = 0.5 * np.add(*_by_lag(START_MS))
    by_tempo = np.ones(tempos.size)
    if expected_tempo is not None:
        close = np.exp(-0.5 * (np.log(tempos / expected_tempo) / np.log(tempos[1] / tempos[0])) ** 2)
        by_tempo = (1.0 - EXPECTED_TEMPO) * by_tempo / by_tempo.sum() + EXPECTED_TEMPO * close / max(close.sum(), 1e-9)
    by_tempo[middle] = 0.0
    moved += OTHER_TEMPO * by_tempo[:, None] / by_tempo.sum() * by_lag
    return in_time, moved


@cache
def _by_lag(spread_ms: float) -> tuple[Array, Array]:
    """Probability of each lag about 0, and where a sound was moved: float64 [lags], 1 in all."""
    lags = lag_grid()
    near, far = np.exp(-0.5 * (lags / spread_ms) ** 2), np.abs(lags) * np.exp(-np.abs(lags) / MOVED_MS)
    return near / near.sum(), far / far.sum()


@cache
def _window() -> npt.NDArray[np.bool_]:
    """Where nothing is noticed, bool [tempos, lags]."""
    lags = lag_grid()
    inside = np.zeros((TEMPO_STEPS, lags.size), np.bool_)
    inside[TEMPO_STEPS // 2] = (lags >= EARLY_MS) & (lags <= LATE_MS)
    return inside


def _around(tempo: int, lag: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """What is hardly told apart from one lag and tempo. A tempo that is a little off moves the lag at the start."""
    lags, steps = lag_grid(), TEMPO_STEPS
    rows = np.arange(max(0, tempo - _AROUND_STEPS), min(steps, tempo + _AROUND_STEPS + 1))
    columns = np.flatnonzero(np.abs(lags - lags[lag]) <= _AROUND_MS)
    return rows[:, None], columns[None, :]


def _moments(weight: Array, at: Array) -> tuple[float, float]:
    """Mean and standard deviation."""
    share = weight / weight.sum()
    mean = float(share @ at)
    return mean, float(np.sqrt(max(0.0, share @ (at - mean) ** 2)))
