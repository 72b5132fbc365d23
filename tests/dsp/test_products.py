"""Averages of likelihoods."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from avagent.dsp.products import log_average


@pytest.mark.parametrize("spread", [0.1, 30.0, 2000.0])
def test_an_average_of_likelihoods_neither_overflows_nor_vanishes(spread: float):
    random = np.random.default_rng(0)
    values, weights = spread * random.standard_normal((19, 3, 40)), random.random(19)
    weights /= weights.sum()
    expected = logsumexp(values, axis=0, b=weights[:, None, None])
    assert np.allclose(log_average(values, weights), expected, rtol=1e-12, atol=1e-12)
