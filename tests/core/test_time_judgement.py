"""One judgement of time: what the cues say together, and when nothing may be done."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avagent.core.errors import ParameterError
from avagent.core.time_judgement import EARLY_MS, LATE_MS, SURE, TimeJudgement, fits_better_at, judge_lips, judge_time
from avagent.core.timing import TEMPO_STEPS, TimeCue, lag_grid, tempo_grid

MIDDLE = TEMPO_STEPS // 2


def cue(
    name: str, lag: float = 0.0, height: float = 12.0, tempo: int = MIDDLE, floor: float = -1.0, steps: float = 0.7
) -> TimeCue:
    """A cue whose evidence has one peak, so many steps of tempo wide."""
    away = ((lag_grid()[None] - lag) / 20.0) ** 2 + ((np.arange(TEMPO_STEPS)[:, None] - tempo) / steps) ** 2
    return TimeCue(name=name, log_ratio=(floor + (height - floor) * np.exp(-0.5 * away)).astype(np.float32))


@given(lag=st.integers(-190, 190).map(lambda n: 10.0 * n), name=st.sampled_from(["lips", "touches", "motion"]))
@settings(max_examples=40, deadline=None)
def test_a_clear_peak_is_the_lag_and_an_edit_is_called_for_outside_of_the_window_only(lag: float, name: str) -> None:
    found = judge_time([cue(name, lag, 16.0)])
    assert found.reason is None
    assert found.cues == (name,)
    assert found.tempo == 1.0
    outside = not EARLY_MS <= lag <= LATE_MS
    if outside and min(abs(lag - EARLY_MS), abs(lag - LATE_MS)) > 60.0:
        assert found.calls_for_an_edit
        assert found.lag_ms == pytest.approx(lag, abs=5.0)
        assert found.lag_error_ms < 30.0
        assert found.in_time < 0.05
    if not outside:
        assert not found.calls_for_an_edit
        assert found.in_time > 0.5


@pytest.mark.parametrize("step", [3, 12, 30, 41])
def test_a_tempo_is_found_with_the_lag_at_the_start(step: int) -> None:
    found = judge_time([cue("touches", 0.0, 16.0, step)])
    assert found.calls_for_an_edit
    assert found.tempo == pytest.approx(tempo_grid()[step], rel=0.005)
    assert 0.0 < found.tempo_error < 0.02


def test_weak_evidence_is_no_evidence_and_a_clip_is_not_moved_by_it() -> None:
    found = judge_time([cue("motion", 700.0, 5.0)])
    assert (found.in_time, found.reason) == (None, "uncorrelated")
    assert not found.calls_for_an_edit
    flat = judge_time([TimeCue(name="touches", log_ratio=np.zeros((TEMPO_STEPS, 401), np.float32))])
    assert flat.reason == "uncorrelated"
    assert flat.cues == ()


def test_two_lags_that_fit_alike_call_for_no_edit() -> None:
    one, other = (cue("touches", lag, 16.0).log_ratio for lag in (-500.0, 500.0))
    assert one is not None
    found = judge_time([TimeCue(name="touches", log_ratio=np.maximum(one, other))])
    assert found.in_time == pytest.approx(0.0, abs=0.01)
    assert not found.calls_for_an_edit


def test_lips_that_say_another_voice_outweigh_what_moves() -> None:
    unrelated = TimeCue(name="lips", log_ratio=np.full((1, 401), -9.0, np.float32))
    assert judge_time([cue("touches", 600.0, 10.0)]).calls_for_an_edit
    assert judge_time([unrelated, cue("touches", 600.0, 10.0)]).reason == "uncorrelated"


def test_lips_and_touches_together_are_surer_than_each_alone() -> None:
    lips, touches = cue("lips", 300.0, 7.0), cue("touches", 300.0, 7.0)
    alone = max(judge_time([lips]).out_of_time, judge_time([touches]).out_of_time)
    both = judge_time([lips, touches])
    assert alone < SURE < both.out_of_time
    assert set(both.cues) == {"lips", "touches"}


def test_a_talker_whose_motion_fits_the_voice_nowhere_is_judged_by_the_lips() -> None:
    lips = cue("lips", 300.0, 12.0)
    nowhere = TimeCue(name="motion", log_ratio=np.full((TEMPO_STEPS, 401), -5.0, np.float32))
    alone, both = judge_time([lips]), judge_time([lips, nowhere])
    assert both.calls_for_an_edit
    assert both.lag_ms == alone.lag_ms
    assert both.cues == ("lips",)


def test_touches_are_believed_though_the_motion_before_them_tells_another_time() -> None:
    """A block slides until it strikes: it moves most half a second before it sounds."""
    touches, motion = cue("touches", 200.0, 13.0, floor=-3.0), cue("motion", 700.0, 5.0, floor=-4.0)
    found = judge_time([touches, motion])
    assert found.calls_for_an_edit
    assert found.lag_ms == pytest.approx(200.0, abs=10.0)


def test_the_same_evidence_says_more_of_a_small_lag_than_of_a_large_one() -> None:
    small, large = (judge_lips(cue("lips", lag, 8.0)) for lag in (300.0, 1700.0))
    assert small.calls_for_an_edit
    assert not large.calls_for_an_edit
    assert judge_lips(cue("lips", 1700.0, 14.0)).calls_for_an_edit


def test_durations_tell_the_tempo_more_exactly_than_cues() -> None:
    near, between = tempo_grid()[TEMPO_STEPS // 2 + 7], 1.0125 * tempo_grid()[TEMPO_STEPS // 2 + 7]
    broad = cue("lips", 0.0, 14.0, TEMPO_STEPS // 2 + 7, steps=3.0)
    assert judge_time([broad], between).tempo == pytest.approx(between, rel=0.005)
    # Durations that name another one altogether are those of a sound that ends before the picture.
    assert judge_time([broad], 0.85).tempo == pytest.approx(near, rel=0.005)


def test_a_sound_that_ends_early_is_not_taken_for_one_that_runs_fast() -> None:
    fast, early = cue("lips", 0.0, 9.0, TEMPO_STEPS // 2 + 8), cue("lips", 0.0, 9.0)
    named = float(tempo_grid()[TEMPO_STEPS // 2 + 8])
    assert fits_better_at(fast, named)
    assert not fits_better_at(early, named)
    assert not fits_better_at(fast, None)
    assert not fits_better_at(TimeCue(name="lips", reason="no_face"), named)


def test_a_difference_of_duration_makes_its_tempo_likelier() -> None:
    found = [judge_time([cue("touches", 0.0, 9.0, 35)], expected).out_of_time for expected in (None, tempo_grid()[35])]
    assert found[0] < found[1]
    assert found[1] > SURE


def test_silent_cues_give_their_reason() -> None:
    silent = TimeCue(name="lips", reason="no_face"), TimeCue(name="touches", reason="still_picture")
    assert judge_time(silent).reason == "no_face"
    assert judge_time([*silent, cue("motion", 0.0)]).cues == ("motion",)


def test_what_is_no_judgement_is_refused() -> None:
    with pytest.raises(ParameterError, match="at least one"):
        judge_time([])
    with pytest.raises(ParameterError, match="another name"):
        judge_time([cue("lips"), cue("lips")])
    with pytest.raises(ParameterError, match="or a reason"):
        TimeJudgement(in_time=None)
    with pytest.raises(ParameterError, match="out_of_time"):
        TimeJudgement(in_time=0.5, out_of_time=1.5)
