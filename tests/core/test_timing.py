"""Evidence of a cue over lag and tempo: its grids, and what it may not be."""

from __future__ import annotations

import numpy as np
import pytest

from avagent.core.errors import ParameterError
from avagent.core.timing import TEMPO_STEPS, TimeCue, lag_grid, tempo_grid


def test_the_grids_hold_zero_and_one_exactly_and_cannot_be_changed():
    assert lag_grid()[200] == 0.0
    assert (lag_grid()[0], lag_grid()[-1], lag_grid().size) == (-2000.0, 2000.0, 401)
    assert tempo_grid()[TEMPO_STEPS // 2] == 1.0
    assert (tempo_grid()[0], tempo_grid()[-1]) == pytest.approx((0.8, 1.25))
    for grid in (lag_grid(), tempo_grid()):
        with pytest.raises(ValueError, match="read-only"):
            grid[0] = 0.0


def test_a_silent_cue_knows_nothing_of_any_lag():
    cue = TimeCue(name="lips", reason="no_face")
    assert not cue.spoke
    assert not cue.at_tempo_one.any()
    assert cue.at_tempo_one.shape == lag_grid().shape


@pytest.mark.parametrize("rows", [1, TEMPO_STEPS])
def test_the_middle_row_is_that_of_tempo_one(rows):
    ratio = np.repeat(np.arange(rows, dtype=np.float32)[:, None], lag_grid().size, axis=1)
    assert set(TimeCue(name="lips", log_ratio=ratio, surrogates=0.0).at_tempo_one) == {rows // 2}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "speaks or says why not"),
        ({"reason": "no_face", "log_ratio": np.zeros((1, 401), np.float32)}, "speaks or says why not"),
        ({"log_ratio": np.zeros((1, 400), np.float32)}, "shapes"),
        ({"log_ratio": np.zeros((2, 401), np.float32)}, "shapes"),
        ({"log_ratio": np.zeros((1, 401))}, "float32"),
        ({"log_ratio": np.full((1, 401), np.nan, np.float32)}, "finite"),
        ({"reason": "no_face", "surrogates": 1.5}, "surrogates"),
    ],
)
def test_what_is_no_evidence_is_refused(fields, said):
    with pytest.raises(ParameterError, match=said):
        TimeCue(name="lips", **fields)
