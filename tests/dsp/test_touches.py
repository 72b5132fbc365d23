"""Touches against onsets: where they agree, and how little other sounds do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from avagent.core.errors import ParameterError
from avagent.core.media import FloatArray, Motion
from avagent.core.time_judgement import judge_time
from avagent.core.timing import TEMPO_STEPS
from avagent.dsp.measures.onset import ONSET_RATE
from avagent.dsp.measures.touches import MOTION, TOUCHES, onset_cues


def _moments(seed: int, seconds: float = 8.0) -> np.ndarray:
    gaps = np.random.default_rng(seed).uniform(0.35, 1.2, 40)
    moments = 0.5 + np.cumsum(gaps)
    return moments[moments < seconds - 0.3]


def _onsets(moments: np.ndarray, seconds: float = 8.0) -> FloatArray:
    times = np.arange(int(seconds * ONSET_RATE)) / ONSET_RATE
    heard = 0.3 * np.random.default_rng(1).random(times.size)
    for moment in moments:
        heard += 9.0 * np.exp(-0.5 * ((times - moment) / 0.012) ** 2)
    return heard.astype(np.float32)


def _seen(moments: np.ndarray, seconds: float = 8.0, rate: float = 25.0) -> Motion:
    """Motion that grows until each moment and ends there."""
    times = np.arange(int(seconds * rate)) / rate
    energy, impact = np.full(times.size, 0.2), 0.02 * np.random.default_rng(2).random(times.size)
    for moment in moments:
        before = moment - (times - 0.5 / rate)
        energy += np.where((before > 0) & (before < 0.25), 5.0 * (1.0 - before / 0.25), 0.0)
        impact += 4.0 * np.clip(1.0 - np.abs(times - moment) * rate, 0.0, 1.0)
    return Motion(energy.astype(np.float32), times, impact.astype(np.float32))


@given(lag=st.floats(-1.2, 1.2), seed=st.integers(0, 1000), rate=st.sampled_from([24.0, 25.0, 29.97, 50.0]))
@settings(max_examples=15, deadline=None)
@example(lag=1.0, seed=415, rate=24.0).via("touches that another lag and tempo fit as well")
def test_the_lag_is_that_of_the_touches_not_of_the_motion_before(lag: float, seed: int, rate: float) -> None:
    moments = _moments(seed)
    found = judge_time(onset_cues(_onsets(moments + lag), ONSET_RATE, _seen(moments, rate=rate)))
    right = found.lag_ms == pytest.approx(1000.0 * lag, abs=40.0) and found.tempo == pytest.approx(1.0, abs=0.01)
    # The further off, the fewer touches are left to go by: no answer, or one that nobody acts on, is right as well.
    assert right or (abs(lag) > 0.5 and not found.calls_for_an_edit)
    assert not right or TOUCHES in found.cues


@pytest.mark.parametrize("tempo", [0.85, 0.93, 1.08, 1.18])
def test_a_tempo_is_found_within_a_percent(tempo: float) -> None:
    moments = _moments(4, 10.0)
    heard = moments / tempo
    cues = onset_cues(_onsets(heard[heard < 9.8], 10.0), ONSET_RATE, _seen(moments, 10.0))
    found = judge_time(cues)
    assert found.calls_for_an_edit
    assert found.tempo == pytest.approx(tempo, rel=0.01)
    assert abs(found.lag_ms) <= 40.0


def test_sounds_of_other_clips_never_call_for_an_edit() -> None:
    judged = []
    for seed in range(12):
        seen = _seen(_moments(seed))
        judged += [judge_time(onset_cues(_onsets(_moments(seed + 50 * k)), ONSET_RATE, seen)) for k in (1, 2)]
    assert not any(found.calls_for_an_edit for found in judged)
    assert sum(found.in_time is not None for found in judged) <= 4


def test_a_steady_beat_calls_for_no_edit() -> None:
    beat = np.arange(0.5, 9.5, 0.5)
    for lag in (0.0, 0.2, 0.25):
        cues = onset_cues(_onsets(beat + lag, 10.0), ONSET_RATE, _seen(beat, 10.0))
        assert not judge_time(cues).calls_for_an_edit


def test_cues_that_know_nothing_say_why() -> None:
    moments = _moments(0)
    seen, heard = _seen(moments), _onsets(moments)
    still = Motion(np.zeros(200, np.float32), np.arange(200) / 25.0, np.zeros(200, np.float32))

    def reasons(onset: FloatArray, motion: Motion) -> set[str | None]:
        return {cue.reason for cue in onset_cues(onset, ONSET_RATE, motion)}

    assert reasons(heard, still) == {"still_picture"}
    assert reasons(heard[:120], seen) == {"too_short"}
    assert reasons(np.zeros(800, np.float32), seen) == {"no_onsets"}
    assert reasons(np.zeros(0, np.float32), seen) == {"too_short"}
    with pytest.raises(ParameterError, match="onset_rate"):
        onset_cues(heard, 0.0, seen)


def test_motion_alone_speaks_where_impacts_were_not_measured() -> None:
    moments = _moments(9)
    seen = _seen(moments)
    cues = onset_cues(_onsets(moments), ONSET_RATE, Motion(seen.energy, seen.times))
    assert [(cue.name, cue.reason) for cue in cues] == [(TOUCHES, "no_impacts"), (MOTION, None)]
    assert cues[1].log_ratio is not None
    assert cues[1].log_ratio.shape == (TEMPO_STEPS, 401)
