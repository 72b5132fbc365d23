"""Reflection on what an edit did: whether the fault that it is for is there, and whether it took that and no more.

Scores alone do not protect: whatever a filter takes away, programme included, leaves a purer sound. So every kind of
action has evidence of its own to meet, whoever planned it and whatever scores it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from enum import StrEnum
from typing import assert_never

from avagent.core.actions import (
    Coordination,
    FillBlanks,
    Pitch,
    Shift,
    Speed,
    Volume,
)
from avagent.core.captions import Captions
from avagent.core.effect import EditEffect, Removed, TempoEvidence
from avagent.core.evidence import (
    POSSIBLE_HUM_CONFIDENCE,
    USUAL_LUFS,
    clipped,
    has_programme,
    humming,
    noise_share_db,
    noisy,
    out_of_time,
    too_loud,
    too_quiet,
    wrong_tempo,
)
from avagent.core.facts import Facts, NoiseColour
from avagent.core.plan import Plan
from avagent.core.programme import music_is_heard, steady_programme
from avagent.core.scores import Scores

REVISION = 2
"""Raised with every change of rules, here or in :mod:`avagent.core.evidence`: results of older ones are not reused."""

AUDIBLE_DB = -20.0
"""Noise that lies deeper under the whole is masked for the most part: taking it away is not worth its risk."""
AUDIBLE_LUFS = -60.0
NOISE_LIKE = (0.38, 0.62)
"""Steady Gaussian noise of any colour gives 0.56, on a second of it up to 0.61; what a filter leaves of it under the
programme makes it less, and more is steadier than noise can be."""
STEADY_TONES = 0.7
NOISE_SPREAD_DB, HUM_SPREAD_DB = 4.2, 3.0
"""Gaussian noise, smoothed as it is measured, deviates by 1.7 dB, a hum by nothing."""
DRIFT_DB = 4.5
LINES_IN_NOISE = 0.4
CLEARER_DB = 4.0
"""What a filter has to win of the measured SNR: half of what even a mild one wins where there is noise."""
DENSE_DB, EVENT_S = 2.5, 2.0
"""SNR up to which steady noise alone is measured. Of music it cannot be told from a dense arrangement, and of a second
or two not from one event, which is as steady as noise while it lasts."""
LEAST_REST_DB = -14.0
"""A filter that leaves less than a 25th of the power leaves no programme."""
EXCESS_DB = 1.5
"""By which what was taken away may exceed the noise that was measured: its error. More is programme."""
MOST_NOISE_DB = -0.3
LEAST_PROGRAMME_DB = -5.5
"""Of the power that is not noise, as it was measured, so much is left by filters that gain anything."""
TOLERANCE_MS = 45.0
"""ITU-R BT.1359-1: the detectability threshold of sound that comes early."""
TEMPO_SIGMA, TEMPO_GAIN, TEMPO_RIVAL = 2.5, 0.15, 0.5
"""In standard deviations: at least that high, above the tempo as it came, and not as far below any other."""
TEMPO_ERROR = 0.006
MOST_GAPS = 0.2
"""Share of a clip that dropouts may take: of more, too little is left to restore them from."""
LEAST_GAP_S = 0.01
"""Transports lose blocks of 10 ms and more (RFC 3551: 20 ms; AAC: 21 ms); a synthesizer rests shorter between waves."""
CODED_GAP_S = 0.16
"""Of faint residue, longer stretches are pauses rather than dropouts of a transport, in s."""
DECLIPPED_LU = (-16.0, 1.5)
"""Restored peaks need headroom: mending them may lower the level, not raise it."""
MOST_RAISE_LU = 36.0
"""Six of 16 bits: raised by more, a recording's own resolution is heard."""
ONE_GAIN_DB = 25.0
"""SI-SDR from which a change of level is one gain; below it the limiter does the work, and changes the sound."""
MISMATCHED_BELOW = 0.25
"""Probability of a match (or, where the scorer does not tell it, alignment) below which a repaired sound does not
belong to the picture, whatever it gained: a third as likely a match as not."""


class Objection(StrEnum):
    """Why an edit is not kept, though scores may have risen."""

    NO_NOISE = "no_noise"
    """No noise or hum was measured that could be heard."""
    INAUDIBLE = "inaudible"
    """What was taken away could hardly be heard."""
    NOT_NOISE = "not_noise"
    """What was taken away comes and goes, or sounds, like the programme."""
    STEADY_PROGRAMME = "steady_programme"
    """The steady sound is what the clip is about."""
    TOO_STRONG = "too_strong"
    """More was taken away than the noise that was measured, or less is left than the rest."""
    NOTHING_LEFT = "nothing_left"
    """What was taken away was nearly all there was."""
    USUAL_LEVEL = "usual_level"
    """Loudness and peaks were as usual, or are not so after the edit."""
    MOVING_GAIN = "moving_gain"
    """No fact calls for a gain that changes over time, or for peaks that a limiter holds down."""
    NO_PROGRAMME = "no_programme"
    """Nothing stands over the floor that would be raised."""
    AUDIBLE_FLOOR = "audible_floor"
    """The floor that would be raised is plainly heard."""
    NOT_CLIPPED = "not_clipped"
    """Nothing was clipped, or is clipped as before."""
    NO_GAPS = "no_gaps"
    """There is no dropout that a transport makes, none was filled, or more than dropouts was changed."""
    NO_LAG = "no_lag"
    """Sound and picture show no such lag."""
    NO_TEMPO = "no_tempo"
    """Durations or movements show no such difference of tempo."""
    NO_TRANSPOSITION = "no_transposition"
    """Nothing that is measured calls for another pitch."""
    MISMATCHED = "mismatched"
    """The sound does not belong to the picture: mending it makes no pair of them."""


Judgement = tuple[Objection | None, Objection | None]
"""What speaks against a plan's noise filter, and against its coordination action."""


def judge_edit(plan: Plan, effect: EditEffect, before: Facts, after: Facts, captions: Captions | None) -> Judgement:
    """What speaks against an edit by what it did; None: nothing.

    Args:
        plan: what was done in this round.
        effect: what it did to the sound.
        before: facts of what the plan was applied to.
        after: facts of the edited sound.
        captions: of the original.
    """
    of_filter = None if plan.noise is None else _of_filter(effect.removed, before, after, captions)
    if plan.coordination is None:
        return of_filter, None
    return of_filter, _of_change(plan.coordination, effect, (before, after), captions)


def without_objected(plan: Plan, judgement: Judgement) -> Plan | None:
    """What is left of a plan one of whose two parts is objected to; None: both are, or neither, or it has but one."""
    of_filter, of_change = judgement
    if plan.noise is None or plan.coordination is None or (of_filter is None) == (of_change is None):
        return None
    if of_filter is not None:
        return replace(plan, noise=None, rationale=f"{plan.rationale}; {plan.noise.kind} dropped: {of_filter}")
    return replace(
        plan, coordination=None, rationale=f"{plan.rationale}; {plan.coordination.kind} dropped: {of_change}"
    )


def mismatched(scores: Scores) -> bool:
    """Whether the edited sound, its faults mended, clearly does not belong to the picture."""
    fit = scores.alignment if scores.match is None else scores.match
    return fit is not None and fit < MISMATCHED_BELOW


def _of_filter(removed: Removed | None, before: Facts, after: Facts, captions: Captions | None) -> Objection | None:
    hum, possible = humming(before), humming(before, POSSIBLE_HUM_CONFIDENCE)
    if not possible and not noisy(before):
        return Objection.NO_NOISE
    if not possible and captions is not None and steady_programme(captions):
        return Objection.STEADY_PROGRAMME
    if removed is None or removed.share_db < AUDIBLE_DB:
        return Objection.INAUDIBLE
    if removed.loudness is not None and removed.loudness < AUDIBLE_LUFS:
        return Objection.INAUDIBLE
    if removed.rest_db < LEAST_REST_DB:
        return Objection.NOTHING_LEFT
    if _is_too_strong(removed, noise_share_db(before)):
        return Objection.TOO_STRONG
    if possible and _is_hum(removed, NOISE_LIKE[0] if hum else STEADY_TONES):
        return None
    if before.snr is not None and before.snr.value < DENSE_DB and _may_be_dense(before, captions):
        return Objection.STEADY_PROGRAMME
    clear = noisy(before) and _is_clearer(before, after)
    return None if clear and _is_noise(removed) else Objection.NOT_NOISE


def _may_be_dense(facts: Facts, captions: Captions | None) -> bool:
    """The spectrum of music falls: a white or blue floor is none of it."""
    falls = facts.noise_colour not in (NoiseColour.WHITE, NoiseColour.BLUE)
    return facts.duration < EVENT_S or (falls and captions is not None and music_is_heard(captions))


def _is_too_strong(removed: Removed, noise_db: float) -> bool:
    programme = 1.0 - 10.0 ** (min(noise_db, MOST_NOISE_DB) / 10.0)
    least_left = 10.0 * math.log10(programme) + LEAST_PROGRAMME_DB
    return removed.share_db > noise_db + EXCESS_DB or removed.rest_db < least_left


def _is_clearer(before: Facts, after: Facts) -> bool:
    """Whether the programme stands higher over the floor: wind, thinned out by a filter, is as windy as before."""
    if before.snr is None or after.snr is None:
        return False
    return after.snr.value - before.snr.value >= CLEARER_DB


def _is_hum(removed: Removed, least: float) -> bool:
    steady = removed.spread_db <= HUM_SPREAD_DB and removed.drift_db <= DRIFT_DB
    return steady and removed.noise_like >= least


def _is_noise(removed: Removed) -> bool:
    low, high = NOISE_LIKE
    steady = removed.spread_db <= NOISE_SPREAD_DB and removed.drift_db <= DRIFT_DB
    return steady and low <= removed.noise_like <= high and removed.tonality <= LINES_IN_NOISE


def _of_change(
    change: Coordination, effect: EditEffect, facts: tuple[Facts, Facts], captions: Captions | None
) -> Objection | None:
    before, after = facts
    match change:
        case Volume():
            return _of_volume(change, effect, (before, after), captions)
        case FillBlanks():
            return _of_filling(change, effect, before, after)
        case Shift():
            return None if _mends_lag(change, before, after) else Objection.NO_LAG
        case Speed():
            return None if _mends_tempo(change, before, effect.tempo) else Objection.NO_TEMPO
        case Pitch():
            return Objection.NO_TRANSPOSITION
        case _ as unreachable:
            assert_never(unreachable)


def _of_volume(
    change: Volume, effect: EditEffect, facts: tuple[Facts, Facts], captions: Captions | None
) -> Objection | None:
    before, after = facts
    if change.mode == "dynamic":
        return Objection.MOVING_GAIN
    if change.declip and not clipped(before):
        return Objection.NOT_CLIPPED
    if before.loudness is None or after.loudness is None:
        return Objection.USUAL_LEVEL
    if too_quiet(before):
        if not has_programme(before, captions):
            return Objection.NO_PROGRAMME
        if noisy(after) or after.loudness - before.loudness > MOST_RAISE_LU:
            return Objection.AUDIBLE_FLOOR
    elif not too_loud(before):
        return _of_declipping(before, after) if change.declip else Objection.USUAL_LEVEL
    if not change.declip and effect.level_si_sdr is not None and effect.level_si_sdr < ONE_GAIN_DB:
        return Objection.MOVING_GAIN
    return None if USUAL_LUFS[0] <= after.loudness <= USUAL_LUFS[1] else Objection.USUAL_LEVEL


def _of_declipping(before: Facts, after: Facts) -> Objection | None:
    """Of a sound whose level is as usual: clipped peaks are gone, and the level does not rise."""
    if clipped(after):
        return Objection.NOT_CLIPPED
    low, high = DECLIPPED_LU
    if before.loudness is None or after.loudness is None or not low <= after.loudness - before.loudness <= high:
        return Objection.USUAL_LEVEL
    return None


def _of_filling(change: FillBlanks, effect: EditEffect, before: Facts, after: Facts) -> Objection | None:
    """Filling changes what lies in the measured gaps and their edges, and fewer gaps are left.

    Much silence, or long faint stretches, are pauses of a programme that was gated, or mixed on silence.
    """
    if change.coded and not before.coded_gaps:
        return Objection.NO_GAPS
    if before.longest_gap < LEAST_GAP_S or before.gap_seconds > MOST_GAPS * before.duration:
        return Objection.NO_GAPS
    if before.coded_gaps and before.longest_gap > CODED_GAP_S:
        return Objection.NO_GAPS
    room = 1.5 * before.gap_seconds + 0.03 * (before.gap_count + 1)
    filled = before.gap_count > after.gap_count
    return None if filled and effect.changed_s <= room else Objection.NO_GAPS


def _mends_lag(change: Shift, before: Facts, after: Facts) -> bool:
    """The lag was sure and is what the edit takes away; a judgement of all cues counts before the facts' own lag."""
    timing = before.timing
    if timing is not None and timing.in_time is not None:
        mended = timing.tempo == 1.0 and abs(change.milliseconds + timing.lag_ms) <= TOLERANCE_MS
        return timing.calls_for_an_edit and mended and not _surely_wrong(after)
    if not out_of_time(before) or before.lag is None:
        return False
    if abs(change.milliseconds + before.lag.value) > TOLERANCE_MS:
        return False
    return not out_of_time(after)


def _surely_wrong(facts: Facts) -> bool:
    return facts.timing is not None and facts.timing.calls_for_an_edit


def _mends_tempo(change: Speed, before: Facts, evidence: TempoEvidence | None) -> bool:
    """The cues of time surely tell of this tempo, or durations and movements both: a sound may also end early."""
    timing = before.timing
    if timing is not None and timing.calls_for_an_edit and timing.tempo != 1.0:
        return abs(change.factor * timing.tempo - 1.0) <= TEMPO_ERROR
    factor = wrong_tempo(before)
    if factor is None or abs(change.factor / factor - 1.0) > TEMPO_ERROR or evidence is None:
        return False
    least = max(TEMPO_SIGMA, evidence.unchanged + TEMPO_GAIN, evidence.best_other - TEMPO_RIVAL)
    return evidence.claimed >= least
