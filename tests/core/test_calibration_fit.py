"""From scored pairs to calibrations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avagent.core.calibration import Calibrations
from avagent.core.calibration_fit import (
    PairKind,
    ScoredPair,
    auc_interval,
    data_fingerprint,
    fit_calibrations,
    reliability,
    sides,
)
from avagent.core.errors import ParameterError
from avagent.core.scores import RawScores, Scores


def pair(clip: int, kind: PairKind, fit: float | None, timing: float | None, detail: str = "") -> ScoredPair:
    raw = RawScores(alignment=fit, synchronization=timing, alignment_note=None if fit is not None else "muted")
    return ScoredPair(key=f"clip-{clip}", content_sha256=f"{clip:064x}", kind=kind, detail=detail, raw=raw)


def corpus(clips: int = 200, gap: float = 1.0, noise: float = 0.1, seed: int = 0) -> list[ScoredPair]:
    """Matched normal(gap, 1), the others normal(0, 1); harmless changes move both scores by `noise` at most."""
    rng = np.random.default_rng(seed)
    found: list[ScoredPair] = []
    for clip in range(clips):
        fit, timing = rng.normal(gap, 1.0, 2).tolist()
        found.append(pair(clip, PairKind.MATCHED, fit, timing))
        for k in range(3):
            found.append(pair(clip, PairKind.MISMATCHED, float(rng.normal()), 99.0, f"m{k}"))
            found.append(pair(clip, PairKind.SHIFTED, 99.0, float(rng.normal()), f"s{k}"))
        move = float(rng.uniform(-noise, noise))
        found.append(pair(clip, PairKind.HARMLESS, fit + move, timing - move, "dither"))
        found.append(pair(clip, PairKind.SAME_FIT, fit + 2 * move, -9.0, "moved"))
        found.append(pair(clip, PairKind.SAME_TIMING, -9.0, timing, "hum"))
    return found


def finish(raw: RawScores, found: Calibrations) -> Scores:
    parts = {
        name: None if value is None or curve is None else curve(value)
        for name, value, curve in (
            ("alignment", raw.alignment, found.alignment),
            ("synchronization", raw.synchronization, found.synchronization),
        )
    }
    return Scores(**parts)


def fitted(pairs: list[ScoredPair]) -> Calibrations:
    return fit_calibrations(pairs, scorer="x", model="x@1", source="tests", finish=finish)


def test_each_score_is_fitted_against_its_own_kind_of_pair():
    found = fitted(corpus())
    assert (found.alignment.matched, found.alignment.mismatched) == (200, 600)
    assert (found.synchronization.matched, found.synchronization.mismatched) == (200, 600)
    for curve in (found.alignment, found.synchronization):
        assert curve.auc == pytest.approx(0.76, abs=0.06)  # Phi(1 / sqrt(2))
        assert curve.auc_low < curve.auc < curve.auc_high
        assert curve(0.5) == pytest.approx(0.5, abs=0.08)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    truth, covered = 0.7602, 0
    for seed in range(40):
        found = sides(corpus(60, seed=seed), "alignment")
        low, high = auc_interval(found, resamples=200, seed=seed)
        covered += low <= truth <= high
    assert covered >= 34


def test_margins_are_the_noise_of_what_a_score_is_not_about():
    quiet, loud = fitted(corpus(noise=0.01)), fitted(corpus(noise=0.5))
    assert 0.0 < quiet.alignment.min_gain < loud.alignment.min_gain
    # The slope of the curve is about 0.25 a unit: a move of 1 (twice 0.5) is some 0.2 in score.
    assert loud.alignment.min_gain == pytest.approx(0.2, abs=0.06)
    assert loud.synchronization.min_gain < loud.alignment.min_gain


def test_a_scorer_that_cannot_tell_is_called_so():
    found = fitted(corpus(gap=0.0))
    assert found.alignment.auc_low < 0.5 < found.alignment.auc_high
    assert found.alignment.value[-1] - found.alignment.value[0] < 0.4


def test_a_score_that_is_hardly_ever_evaluable_stays_uncalibrated():
    pairs = [
        replace(p, raw=replace(p.raw, synchronization=None)) if int(p.content_sha256, 16) > 5 else p for p in corpus(50)
    ]
    found = fitted(pairs)
    assert found.synchronization is None
    assert found.alignment is not None
    assert found.margins[1] == 0.0


def test_too_few_clips_are_refused_with_the_reason():
    with pytest.raises(ParameterError, match="9 clips were scored, with the notes muted"):
        fitted([*corpus(8), pair(8, PairKind.MATCHED, None, None)])


def test_the_data_fingerprint_follows_the_clips_and_pairs_not_their_order():
    pairs = corpus(12)
    assert data_fingerprint(pairs) == data_fingerprint(pairs[::-1])
    assert data_fingerprint(pairs) != data_fingerprint(pairs[1:])


def test_a_right_curve_is_reliable():
    pairs = corpus(1000)
    found = fitted(pairs)
    predicted, share = reliability(found.alignment, sides(pairs, "alignment"))
    assert predicted.size == 10
    assert np.abs(predicted - share).max() < 0.08


def test_through_json_and_back():
    found = fitted(corpus(20))
    assert Calibrations.from_dict(found.to_dict()) == found
    for broken in ({**found.to_dict(), "format": "2"}, {**found.to_dict(), "alignment": 3}, {"alignment": None}):
        with pytest.raises(ParameterError, match="not a calibration file"):
            Calibrations.from_dict(broken)


def test_calibrations_of_nothing_are_refused():
    with pytest.raises(ParameterError, match="empty"):
        Calibrations(scorer="x", model="y")
