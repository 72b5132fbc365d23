"""The recipe of a run, and the scores of pairs that belong together, and of pairs that do not, to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from avagent.core.calibration import Calibration, Calibrations
from avagent.core.calibration_fit import ScoredPair, sides
from avagent.core.errors import AVAgentError, UsageError
from avagent.models.embedded.scorer import shipped_pairs
from avagent.pipelines.model_sections import OneScorer
from avagent.pipelines.recipe import Recipe
from avagent.pipelines.wiring import SCORER, SCORES, scorer_section
from avagent.records.calibration_files import read_calibrations, read_pairs
from avagent.report.charts import ScoreCurve
from avagent.report.facts import histogram

OWN = ("embedded", "lips")
"""Scorers whose calibration ships with its pairs."""


def run_recipe(run: dict[str, Any], output: str) -> Recipe:
    """The recipe of a run. Raises UsageError: it is of another version."""
    try:
        return Recipe.model_validate(run["recipe"])
    except ValidationError as error:
        raise UsageError(f"the recipe of the run in {output} cannot be used: {error}") from error


def score_curves(recipe: Recipe) -> Mapping[str, ScoreCurve]:
    """By score, of the calibration that the recipe names: its pairs lie beside it, or are shipped; else none."""
    found: dict[str, ScoreCurve] = {}
    for name in SCORES:
        section = _section(recipe, name)
        if section.name in OWN and section.calibration is None:
            shipped = shipped_pairs(name)
            found[name] = ScoreCurve(
                matched=tuple(shipped["matched"]), mismatched=tuple(shipped["mismatched"]), source=shipped["source"]
            )
            continue
        calibrated = _calibrations(section)
        if calibrated is None:
            continue
        calibrations, pairs = calibrated
        calibration = getattr(calibrations, name)
        if calibration is not None:
            found[name] = _curve(calibration, pairs)
    return found


def _section(recipe: Recipe, score: str) -> OneScorer:
    whole = recipe.scorer
    return scorer_section(recipe, SCORER if getattr(whole, "name", "") else f"{SCORER}.{score}")


def _calibrations(section: OneScorer) -> tuple[Calibrations, list[ScoredPair]] | None:
    if section.calibration is None:
        return None
    try:
        pairs = list(read_pairs(f"{section.calibration.removesuffix('.json')}.pairs.jsonl"))
        return read_calibrations(section.calibration), pairs
    except (OSError, AVAgentError):
        # Moved, or made elsewhere: the run's own scores are shown all the same.
        return None


def _curve(calibration: Calibration, pairs: list[ScoredPair]) -> ScoreCurve:
    data = sides(pairs, calibration.name)
    high, low = (np.array([calibration(raw) for raw in values]) for values in (data.high, data.low))
    return ScoreCurve(
        matched=tuple(histogram(high).tolist()),
        mismatched=tuple(histogram(low).tolist()),
        source=calibration.source or "the calibration's own pairs",
    )
