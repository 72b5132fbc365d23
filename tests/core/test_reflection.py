"""The reflection on what edits did: each kind of action needs evidence of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avagent.core.actions import ACTIONS, FillBlanks, Pitch, Shift, Speed, Volume, WienerFilter
from avagent.core.captions import Caption, Captions, Tag
from avagent.core.decide import Policy, Seen, record_round
from avagent.core.effect import EditEffect, Removed, TempoEvidence
from avagent.core.evidence import unjudgeable
from avagent.core.facts import Estimate, Facts, NoiseColour
from avagent.core.history import Base, History
from avagent.core.plan import Plan
from avagent.core.reflection import Objection, judge_edit, without_objected
from avagent.core.scores import Scores

CLEAN = Facts(
    duration=6.0,
    rate=16_000,
    channels=1,
    loudness=-23.0,
    true_peak=-6.0,
    snr=Estimate(38.0, 1.0),
    noise_colour=NoiseColour.UNKNOWN,
    lag=Estimate(5.0, 0.8),
    duration_mismatch=0.0,
)
NOISY = replace(CLEAN, snr=Estimate(5.0, 0.9), noise_colour=NoiseColour.WHITE)
HUM = replace(CLEAN, hum=Estimate(50.02, 0.95), hum_level=-8.0)
NOISE = Removed(share_db=-6.5, rest_db=-1.5, loudness=-30.0, noise_like=0.54, spread_db=1.9, drift_db=0.6, tonality=0.0)
EFFECT = EditEffect(si_sdr=12.0, loudness_change=-1.0)
FILTER = Plan(noise=WienerFilter())


def judge(plan, before, after=CLEAN, captions=None, **effect):
    return next(
        (found for found in judge_edit(plan, replace(EFFECT, **effect), before, after, captions) if found), None
    )


def change(action):
    return Plan(coordination=action)


def test_a_filter_that_took_measured_noise_is_kept():
    assert judge(FILTER, NOISY, removed=NOISE) is None


def test_a_filter_after_which_the_programme_stands_no_higher_over_its_floor_is_not():
    windy = replace(NOISY, snr=Estimate(6.1, 0.7))
    assert judge(FILTER, windy, replace(windy, snr=Estimate(7.2, 0.0)), removed=NOISE) is Objection.NOT_NOISE
    assert judge(FILTER, windy, replace(windy, snr=Estimate(14.0, 0.0)), removed=NOISE) is None


def test_a_filter_that_took_a_measured_hum_is_kept():
    lines = replace(NOISE, noise_like=0.75, spread_db=0.3, tonality=0.9)
    assert judge(FILTER, HUM, removed=lines) is None
    assert judge(FILTER, replace(HUM, hum=Estimate(55.0, 0.95)), removed=lines) is Objection.NO_NOISE
    unsure = replace(HUM, hum=Estimate(50.0, 0.6))
    assert judge(FILTER, unsure, removed=lines) is None
    assert judge(FILTER, unsure, removed=NOISE) is Objection.NOT_NOISE


def test_a_filter_takes_no_more_than_the_noise_and_the_hum_that_were_measured():
    lines = replace(NOISE, noise_like=0.75, spread_db=0.3, tonality=0.9)
    assert judge(FILTER, HUM, removed=replace(lines, share_db=-4.0)) is Objection.TOO_STRONG
    both = replace(NOISY, hum=HUM.hum, hum_level=HUM.hum_level)
    assert judge(FILTER, both, removed=replace(lines, share_db=-4.0)) is None


def test_a_tone_that_is_most_of_the_sound_is_no_hum():
    lines = replace(NOISE, share_db=-1.0, noise_like=0.75, spread_db=0.3, tonality=0.9)
    assert judge(FILTER, replace(HUM, hum_level=-3.0), removed=replace(lines, share_db=-3.0)) is None
    assert judge(FILTER, replace(HUM, hum_level=-1.0), removed=lines) is Objection.NO_NOISE


@pytest.mark.parametrize(
    ("removed", "objection"),
    [
        ({"share_db": -24.0}, Objection.INAUDIBLE),
        ({"loudness": -66.0}, Objection.INAUDIBLE),
        ({"rest_db": -18.0}, Objection.NOTHING_LEFT),
        ({"noise_like": 0.2}, Objection.NOT_NOISE),
        ({"spread_db": 6.0}, Objection.NOT_NOISE),
        ({"noise_like": 0.67}, Objection.NOT_NOISE),
        ({"drift_db": 8.0}, Objection.NOT_NOISE),
        ({"share_db": -3.5}, Objection.TOO_STRONG),
        ({"rest_db": -8.0}, Objection.TOO_STRONG),
        ({"tonality": 0.7}, Objection.NOT_NOISE),
    ],
)
def test_a_filter_that_took_anything_else_is_not(removed, objection):
    assert judge(FILTER, NOISY, removed=replace(NOISE, **removed)) is objection


@given(removed=st.builds(replace, st.just(NOISE), share_db=st.floats(-30, 0), noise_like=st.floats(0, 1)))
def test_no_filter_is_kept_on_a_sound_without_noise(removed):
    assert judge(FILTER, CLEAN, removed=removed) is Objection.NO_NOISE


def test_a_steady_programme_is_no_noise():
    engine = Captions(audio=Caption("an engine", (Tag("Idling", 0.6),)), video=None)
    assert judge(FILTER, NOISY, captions=engine, removed=NOISE) is Objection.STEADY_PROGRAMME


def test_a_sound_of_a_second_may_be_one_event():
    loud = replace(NOISE, share_db=-2.5, rest_db=-4.0)
    dense = replace(NOISY, snr=Estimate(0.5, 0.9))
    assert judge(FILTER, replace(dense, duration=1.0), removed=loud) is Objection.STEADY_PROGRAMME
    assert judge(FILTER, replace(NOISY, duration=1.0), removed=NOISE) is None


def test_dense_music_is_no_noise():
    rock = Captions(audio=Caption("music", (Tag("Music", 0.9),)), video=None)
    loud = replace(NOISE, share_db=-2.5, rest_db=-4.0)
    dense = replace(NOISY, snr=Estimate(0.5, 0.9), noise_colour=NoiseColour.BROWN)
    assert judge(FILTER, dense, captions=rock, removed=loud) is Objection.STEADY_PROGRAMME
    assert judge(FILTER, replace(dense, noise_colour=NoiseColour.WHITE), captions=rock, removed=loud) is None
    assert judge(FILTER, dense, removed=loud) is None
    assert judge(FILTER, NOISY, captions=rock, removed=NOISE) is None


def test_level_is_changed_only_where_it_is_unusual_and_a_programme_is_there():
    quiet = replace(CLEAN, loudness=-48.0, true_peak=-31.0)
    assert judge(change(Volume()), quiet) is None
    assert judge(change(Volume()), CLEAN) is Objection.USUAL_LEVEL
    assert judge(change(Volume(mode="dynamic")), quiet) is Objection.MOVING_GAIN
    assert judge(change(Volume(target_lufs=-40.0)), quiet, replace(CLEAN, loudness=-40.0)) is Objection.USUAL_LEVEL
    room = replace(quiet, snr=Estimate(0.5, 0.3))
    assert judge(change(Volume()), room) is Objection.NO_PROGRAMME
    assert judge(change(Volume()), replace(quiet, snr=Estimate(9.0, 0.9)), NOISY) is Objection.AUDIBLE_FLOOR
    assert judge(change(Volume()), replace(CLEAN, loudness=-4.0, true_peak=2.0)) is None
    assert judge(change(Volume()), quiet, level_si_sdr=60.0) is None
    assert judge(change(Volume()), replace(quiet, loudness=-65.0)) is Objection.AUDIBLE_FLOOR
    assert judge(change(Volume()), quiet, level_si_sdr=9.0) is Objection.MOVING_GAIN


def test_peaks_are_mended_only_where_they_are_clipped():
    mend = change(Volume(declip=True))
    clipped = replace(CLEAN, clipping=0.02)
    assert judge(mend, clipped) is None
    assert judge(mend, CLEAN) is Objection.NOT_CLIPPED
    assert judge(mend, clipped, clipped) is Objection.NOT_CLIPPED
    assert judge(mend, clipped, replace(CLEAN, loudness=-16.0)) is Objection.USUAL_LEVEL


def test_filling_changes_gaps_alone():
    gaps = replace(CLEAN, gap_count=3, gap_seconds=0.2, longest_gap=0.1)
    assert judge(change(FillBlanks()), gaps, changed_s=0.25) is None
    assert judge(change(FillBlanks()), gaps, changed_s=2.0) is Objection.NO_GAPS
    assert judge(change(FillBlanks()), gaps, gaps, changed_s=0.0) is Objection.NO_GAPS
    assert judge(change(FillBlanks()), CLEAN, changed_s=0.0) is Objection.NO_GAPS
    assert judge(change(FillBlanks()), replace(gaps, gap_seconds=2.0), changed_s=2.0) is Objection.NO_GAPS
    assert judge(change(FillBlanks()), replace(gaps, coded_gaps=True, longest_gap=0.2)) is Objection.NO_GAPS
    rests = replace(gaps, gap_seconds=0.015, longest_gap=0.005)
    assert judge(change(FillBlanks()), rests, changed_s=0.02) is Objection.NO_GAPS
    assert judge(change(FillBlanks(coded=True)), gaps, changed_s=0.25) is Objection.NO_GAPS
    assert judge(change(FillBlanks(coded=True)), replace(gaps, coded_gaps=True), changed_s=0.25) is None


def test_a_shift_undoes_a_measured_lag():
    late = replace(CLEAN, lag=Estimate(250.0, 0.7))
    assert judge(change(Shift(milliseconds=-250.0)), late) is None
    assert judge(change(Shift(milliseconds=250.0)), late) is Objection.NO_LAG
    assert judge(change(Shift(milliseconds=-250.0)), late, late) is Objection.NO_LAG
    assert judge(change(Shift(milliseconds=-5.0)), CLEAN) is Objection.NO_LAG
    far = replace(CLEAN, lag=Estimate(1800.0, 0.4))
    assert judge(change(Shift(milliseconds=-1800.0)), far) is Objection.NO_LAG


def test_a_tempo_needs_durations_and_movements_that_agree():
    long = replace(CLEAN, duration=6.24, duration_mismatch=0.24)
    fits = TempoEvidence(claimed=5.0, unchanged=2.5, best_other=4.4)
    speed = change(Speed(factor=1.04))
    assert judge(speed, long, tempo=fits) is None
    assert judge(speed, long) is Objection.NO_TEMPO
    assert judge(speed, long, tempo=replace(fits, unchanged=5.0)) is Objection.NO_TEMPO
    assert judge(speed, long, tempo=replace(fits, best_other=5.6)) is Objection.NO_TEMPO
    assert judge(speed, CLEAN, tempo=fits) is Objection.NO_TEMPO
    assert judge(change(Speed(factor=1.1)), long, tempo=fits) is Objection.NO_TEMPO
    assert judge(change(Pitch(semitones=1.0)), long) is Objection.NO_TRANSPOSITION


def test_no_action_is_kept_on_a_clean_sound():
    given_ = {"speed": {"factor": 1.01}, "pitch": {"semitones": 2.0}, "shift": {"milliseconds": 20.0}}
    for kind, action in ACTIONS.items():
        made = action(**given_.get(kind, {}))
        plan = FILTER if kind in ("spectral_subtraction", "wavelet_denoise", "spectral_gate") else None
        plan = plan or (Plan(noise=made) if kind == "wiener_filter" else change(made))
        assert judge(plan, CLEAN, removed=NOISE) is not None, kind


def test_both_parts_of_a_plan_are_judged():
    both = Plan(noise=WienerFilter(), coordination=Shift(milliseconds=-250.0), rationale="late")
    late = replace(CLEAN, lag=Estimate(250.0, 0.7))
    assert judge(both, NOISY, removed=NOISE) is Objection.NO_LAG
    assert judge(both, late, removed=NOISE) is Objection.NO_NOISE
    rest = without_objected(both, (None, Objection.NO_LAG))
    assert rest == FILTER
    assert rest.rationale == "late; shift dropped: no_lag"
    assert without_objected(both, (Objection.NO_NOISE, None)) == change(both.coordination)
    assert without_objected(both, (Objection.NO_NOISE, Objection.NO_LAG)) is None
    assert without_objected(both, (None, None)) is None
    assert without_objected(FILTER, (Objection.NO_NOISE, None)) is None


def scored(alignment, objection=None, effect=EFFECT):
    before = History(original=Scores(alignment=0.1, synchronization=None))
    after = Scores(alignment=alignment, synchronization=None)
    return record_round(
        before, Base.ORIGINAL, FILTER, after, Policy(), Seen(effect=effect, objection=objection)
    ).rounds[0]


def test_what_is_objected_to_is_not_kept_however_much_scores_rise():
    assert scored(0.9).accepted
    done = scored(0.9, Objection.NOT_NOISE)
    assert (done.accepted, done.objection) == (False, Objection.NOT_NOISE)


def test_a_sound_that_does_not_belong_is_not_improved():
    done = scored(0.2)
    assert (done.accepted, done.objection) == (False, Objection.MISMATCHED)
    assert scored(0.2, effect=None).accepted
    told = Scores(alignment=0.8, synchronization=None, match=0.1)
    before = History(original=Scores(alignment=0.1, synchronization=None))
    done = record_round(before, Base.ORIGINAL, FILTER, told, Policy(), Seen(effect=EFFECT)).rounds[0]
    assert done.objection is Objection.MISMATCHED


def test_near_silence_and_half_a_sound_cannot_be_judged():
    room = replace(CLEAN, loudness=-57.0, true_peak=-40.0, snr=Estimate(0.8, 0.9))
    assert unjudgeable(room, None) == "near_silent"
    assert unjudgeable(room, Captions(audio=Caption("wind", (Tag("Wind", 0.9),)), video=None)) == "near_silent"
    assert unjudgeable(room, Captions(audio=Caption("music", (Tag("Music", 0.9),)), video=None)) is None
    assert unjudgeable(replace(room, snr=Estimate(30.0, 1.0)), None) is None
    assert unjudgeable(replace(room, loudness=-30.0), None) is None
    assert unjudgeable(replace(CLEAN, duration=3.0, duration_mismatch=-3.0), None) == "incomplete_sound"
    assert unjudgeable(replace(CLEAN, duration=5.7, duration_mismatch=-0.3), None) is None
    assert unjudgeable(None, None) is None
