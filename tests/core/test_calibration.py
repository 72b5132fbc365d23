from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avagent.core.calibration import Calibration, logistic_knots, roc_auc
from avagent.core.errors import ParameterError

LINE = Calibration(
    name="line", raw=(-1.0, 0.0, 1.0), value=(0.0, 0.25, 1.0), auc=0.9, matched=2, mismatched=3, min_gain=0.01
)
finite = st.floats(-3, 3, allow_nan=False)


def test_knots_and_between_them():
    assert LINE(-1.0) == 0.0
    assert LINE(0.0) == 0.25
    assert LINE(0.5) == pytest.approx(0.625)


def test_constant_beyond_the_ends():
    assert LINE(-math.inf) == 0.0
    assert LINE(99.0) == 1.0


@given(finite, finite)
def test_never_descends_and_stays_in_range(a: float, b: float):
    low, high = sorted((a, b))
    assert 0.0 <= LINE(low) <= LINE(high) <= 1.0


def test_nan_is_refused():
    with pytest.raises(ParameterError, match="NaN"):
        LINE(math.nan)


@pytest.mark.parametrize(
    "change",
    [
        {"raw": (0.0,), "value": (0.5,)},
        {"raw": (0.0, 0.0, 1.0)},
        {"raw": (0.0, math.nan, 1.0)},
        {"value": (0.0, 0.9, 0.8)},
        {"value": (0.0, 0.5, 1.1)},
        {"value": (0.0, 0.5)},
        {"min_gain": 1.0},
        {"min_gain": -0.1},
    ],
)
def test_bad_values_are_refused(change):
    with pytest.raises(ParameterError, match="line"):
        replace(LINE, **change)


def test_through_json_and_back():
    assert Calibration.from_dict(json.loads(json.dumps(LINE.to_dict()))) == LINE


def test_fingerprint_follows_the_content():
    assert LINE.fingerprint == replace(LINE).fingerprint
    assert LINE.fingerprint != replace(LINE, value=(0.0, 0.26, 1.0)).fingerprint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({**LINE.to_dict(), "colour": 1}, "colour"),
        ({k: v for k, v in LINE.to_dict().items() if k != "raw"}, "raw"),
        ({**LINE.to_dict(), "raw": ["a", "b", "c"]}, "cannot be read"),
        ({k: v for k, v in LINE.to_dict().items() if k != "auc"}, "auc"),
    ],
)
def test_unreadable_files_are_refused(data, message):
    with pytest.raises(ParameterError, match=message):
        Calibration.from_dict(data)


def test_auc_counts_pairs():
    matched, mismatched = [0.9, 0.5, 0.5], [0.1, 0.5]
    wins = sum((m > n) + 0.5 * (m == n) for m in matched for n in mismatched)
    assert roc_auc(matched, mismatched) == pytest.approx(wins / 6)


def test_auc_needs_both_classes():
    with pytest.raises(ParameterError, match="pairs"):
        roc_auc([0.1], [])


def test_logistic_fit_finds_the_probability_that_made_the_data():
    """Two normal distributions of one width: the log-odds are linear, with slope (m1 - m0) / s^2."""
    rng = np.random.default_rng(1)
    matched, mismatched = rng.normal(1.0, 1.0, 20_000), rng.normal(0.0, 1.0, 60_000)
    raw, value = logistic_knots(matched.tolist(), mismatched.tolist())
    expected = 1.0 / (1.0 + np.exp(-(np.asarray(raw) - 0.5)))
    np.testing.assert_allclose(value, expected, atol=0.02)


def test_logistic_fit_never_descends_even_on_reversed_data():
    raw, value = logistic_knots([0.0, 0.1], [0.9, 1.0])
    assert np.all(np.diff(raw) > 0)
    assert np.all(np.diff(value) >= 0)


def test_logistic_fit_of_separated_classes_stays_below_certainty():
    _, value = logistic_knots([2.0] * 5, [0.0] * 5)
    assert 0.0 < value[0] < 0.3
    assert 0.7 < value[-1] < 1.0
