"""A recipe may name alignment and synchronization models apart; each keeps its calibration and fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from avagent.core.calibration import Calibration, Calibrations
from avagent.core.errors import AVAgentError, CalibrationError, ClipError, FailureReason, MediaError, RecipeError
from avagent.core.scores import Scores
from avagent.core.time_judgement import TimeJudgement
from avagent.models.scorers.two import TwoScorers
from avagent.pipelines.recipe import Recipe, load_recipe
from avagent.pipelines.wiring import SCORER, calibrated_scorer, scorer_section, wire
from avagent.records.calibration_files import write_calibrations

RECIPE = """
name: both
captioner: {name: embedded}
planner: {name: embedded}
"""
BROKEN = MediaError("broken", reason=FailureReason.CORRUPT_MEDIA)


def recipe(folder: Path, scorer: str) -> Recipe:
    path = folder / "both.yaml"
    path.write_text(RECIPE + f"scorer: {scorer}\n", "utf-8")
    return load_recipe(str(path))


@dataclass(frozen=True)
class Fixed:
    """Answers what it was given."""

    name: str
    answers: tuple[Scores | ClipError, ...]
    margins: tuple[float, float]
    loaded: list[str]

    @property
    def fingerprint(self) -> str:
        return self.name

    def warm_up(self) -> None:
        self.loaded.append(self.name)

    def score(self, views):
        return list(self.answers[: len(views)])


def test_of_each_scorer_what_it_is_named_for_counts() -> None:
    timing = TimeJudgement(in_time=0.2, out_of_time=0.8, lag_ms=200.0, cues=("lips",))
    good = Scores(alignment=0.9, synchronization=0.1)
    time = Scores(alignment=0.3, synchronization=0.2, timing=timing)
    blind = Scores(alignment=None, synchronization=None, alignment_note="muted", synchronization_note="muted")
    loaded: list[str] = []
    both = TwoScorers(
        alignment=Fixed("a", (good, blind, BROKEN, good), (0.1, 0.2), loaded),
        synchronization=Fixed("s", (time, time, time, BROKEN), (0.3, 0.4), loaded),
    )
    both.warm_up()
    assert loaded == ["a", "s"]
    assert both.margins == (0.1, 0.4)
    assert both.fingerprint == "two(alignment=a,synchronization=s)"
    first, second, *failed = both.score([None] * 4)  # type: ignore[list-item]
    assert first == Scores(alignment=0.9, synchronization=0.2, timing=timing)
    assert second == Scores(alignment=None, alignment_note="muted", synchronization=0.2, timing=timing)
    assert failed == [BROKEN, BROKEN]


def test_a_recipe_names_both_and_the_run_is_told_from_one_with_either(tmp_path: Path) -> None:
    both = wire(recipe(tmp_path, "{alignment: embedded, synchronization: {name: lips}}"))
    alone = wire(recipe(tmp_path, "{name: embedded}"))
    assert both.models["scorer"].startswith("two(alignment=embedded-scorer(")
    assert ",synchronization=lips(" in both.models["scorer"]
    assert both.provenance.fingerprint != alone.provenance.fingerprint
    assert alone.models["scorer"].startswith("embedded-scorer(")


@pytest.mark.parametrize(
    "scorer",
    [
        "{alignment: embedded}",
        "{synchronization: lips}",
        "{name: embedded, alignment: embedded, synchronization: lips}",
        "{alignment: embedded, synchronization: lips, options: {frames: 2}}",
        "{options: {frames: 2}}",
    ],
)
def test_one_and_a_half_scorers_are_refused(tmp_path: Path, scorer: str) -> None:
    with pytest.raises(RecipeError, match="name one scorer"):
        recipe(tmp_path, scorer)


def test_each_part_has_its_own_calibration_beside_the_recipe(tmp_path: Path) -> None:
    named = "{alignment: {name: embedded, calibration: fit.json}, synchronization: lips}"
    with pytest.raises(CalibrationError) as refused:
        wire(recipe(tmp_path, named))
    assert "--port scorer.alignment --output scorer-alignment-calibration.json" in str(refused.value)
    model = calibrated_scorer(recipe(tmp_path, "{name: embedded}"), SCORER, "x")().model_fingerprint  # type: ignore[attr-defined]
    curve = Calibration(
        name="alignment", raw=(0.0, 1.0), value=(0.1, 0.9), auc=0.9, matched=9, mismatched=9, min_gain=0.07
    )
    write_calibrations(str(tmp_path / "fit.json"), Calibrations(scorer="embedded", model=model, alignment=curve))
    wired = wire(recipe(tmp_path, named))
    assert wired.loop.policy.min_gain_alignment == 0.07
    assert curve.fingerprint in wired.models["scorer"]


def test_a_part_is_asked_for_by_its_name(tmp_path: Path) -> None:
    both = recipe(tmp_path, "{alignment: embedded, synchronization: lips}")
    assert scorer_section(both, "scorer.synchronization").name == "lips"
    with pytest.raises(RecipeError, match=r"say scorer\.alignment or scorer\.synchronization"):
        scorer_section(both, SCORER)
    with pytest.raises(AVAgentError, match=r"names no scorer\.alignment"):
        scorer_section(recipe(tmp_path, "{name: embedded}"), "scorer.alignment")
