"""Is the sound in time with the picture? Onset strength against motion energy, over windows of time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avagent.core.facts import Facts
from avagent.core.media import FloatArray, Motion, Waveform
from avagent.dsp.measures.lag import LagProfile, common_curves, profile, windowed
from avagent.dsp.measures.motion import is_still
from avagent.dsp.measures.onset import onset_strength

TOLERANCE_MS = 45.0
"""Sound this early or late still counts as in time: the detectability threshold of ITU-R BT.1359-1 (+45/-125 ms), its
stricter side for both."""
MAX_LAG_S = 2.0
WINDOW_S, HOP_S = 2.0, 1.0
LEAST_CONFIDENCE = 0.25
"""Of the whole clip's lag; below it nothing can be said of the timing."""
LEAST_DURATION_S = 1.0
LEAST_DRIFT, MOST_DRIFT = 0.005, 0.15
"""Differences of tempo that are looked for, as a share."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The score in [0, 1], or None and why not.

    Attributes:
        score: of the onsets against the motion: to be calibrated.
        in_time: probability that the sound is in time, where lips have told: needs no calibration.
        lag_ms, lag_confidence: as of :class:`avagent.core.scores.Scores`.
    """

    score: float | None
    note: str | None = None
    in_time: float | None = None
    lag_ms: float | None = None
    lag_confidence: float = 0.0


def posterior_in_time(found: LagProfile) -> float:
    """Probability that the lag is within the tolerance, given that sound and picture are related at all, [0, 1].

    With a flat prior over the lags, and an unknown positive strength of the relation, a lag at which the correlation
    reaches s standard deviations of chance has a likelihood proportional to exp(s^2 / 2), s > 0 (the matched filter's
    generalised likelihood ratio; Kay 1998, Fundamentals of Statistical Signal Processing II, section 6.4).
    """
    evidence = 0.5 * np.square(np.maximum(found.significance, 0.0))
    weights = np.exp(evidence - evidence.max())
    near = np.abs(found.lags_ms) <= TOLERANCE_MS
    return float(weights[near].sum() / weights.sum())


def synchronization(waveform: Waveform, motion: Motion, facts: Facts) -> Timing:
    """The score at lag 0 against the distribution over all lags, averaged over windows of time.

    Every window counts by its confidence, and the whole clip's profile, which finds a constant lag where single
    windows are unsure, counts as much as all of them.
    """
    if is_still(motion):
        return Timing(None, "still_picture")
    if facts.muted:
        return Timing(None, "muted")
    if min(waveform.duration, float(motion.times[-1] - motion.times[0])) < LEAST_DURATION_S:
        return Timing(None, "too_short")
    onset, rate = onset_strength(waveform)
    curves = common_curves(onset, rate, motion)
    whole = None if curves is None else profile(curves, MAX_LAG_S)
    if curves is None or whole is None:
        return Timing(None, "no_onsets")
    if whole.confidence < LEAST_CONFIDENCE and not _related_at_other_tempo(onset, rate, motion, facts):
        return Timing(None, "uncorrelated")
    parts = [(p.confidence, posterior_in_time(p)) for p in windowed(curves, WINDOW_S, HOP_S)]
    total = sum(confidence for confidence, _ in parts)
    score = posterior_in_time(whole)
    if total > 0.0:
        score = 0.5 * score + 0.5 * sum(c * p for c, p in parts) / total
    return Timing(min(1.0, max(0.0, score)))


def _related_at_other_tempo(onset: FloatArray, rate: float, motion: Motion, facts: Facts) -> bool:
    """Whether sound and picture fit once the sound is brought to the picture's duration.

    A drifting sound has no single lag, so that the whole clip's profile is unsure; it is out of time all the same.
    """
    mismatch = facts.duration_mismatch
    if mismatch is None or facts.duration <= max(mismatch, 0.0):
        return False
    tempo = facts.duration / (facts.duration - mismatch)
    if not LEAST_DRIFT <= abs(tempo - 1.0) <= MOST_DRIFT:
        return False
    curves = common_curves(onset, rate * tempo, motion)
    found = None if curves is None else profile(curves, MAX_LAG_S)
    return found is not None and found.confidence >= LEAST_CONFIDENCE
