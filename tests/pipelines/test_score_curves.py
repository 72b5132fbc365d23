"""What a run's scores are compared with in a report."""

from __future__ import annotations

from avagent.models.embedded.scorer import load_calibration
from avagent.pipelines.recipe import load_recipe
from avagent.pipelines.score_curves import score_curves
from avagent.report.facts import BINS


def test_the_default_recipe_has_the_pairs_that_it_was_calibrated_on():
    curves = score_curves(load_recipe("embedded"))
    assert set(curves) == {"alignment", "synchronization"}
    for name, curve in curves.items():
        calibration = load_calibration(name)
        assert len(curve.matched) == len(curve.mismatched) == BINS
        assert (sum(curve.matched), sum(curve.mismatched)) == (calibration.matched, calibration.mismatched)
        assert curve.source == calibration.source
        means = [sum(i * n for i, n in enumerate(side)) / sum(side) for side in (curve.matched, curve.mismatched)]
        assert means[0] > means[1]


def test_a_scorer_without_its_pairs_has_none():
    assert score_curves(load_recipe("embedded", ["scorer.calibration=nowhere.json"])) == {}
