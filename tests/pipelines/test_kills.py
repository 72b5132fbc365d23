"""A killed run, started again, gives the same output; `bench/soak_kills.py` does this for longer."""

from __future__ import annotations

import random
from pathlib import Path

from killing import Case, run_in_peace, run_under_fire
from scripted_runs import start, write_corpus, write_recipe


def test_a_killed_run_that_is_started_again_gives_the_same_bytes(tmp_path: Path):
    source, recipe = tmp_path / "in", write_recipe(tmp_path)
    write_corpus(source, tars=2, records_files=1)
    case = Case(
        start=start,
        commands=lambda output: [("refine", "--input", source, "--output", output, "--recipe", recipe)],
        source=source,
    )
    peace = run_in_peace(case, tmp_path / "peace")
    peace.seconds = dict.fromkeys(peace.seconds, 0.0)  # as soon as the phase has begun
    rng = random.Random(7)  # noqa: S311  (moments, no secrets)
    trial = run_under_fire(case, tmp_path / "fire", peace, ("decide", "apply", "commit"), rng)
    assert trial.kills.total() == 3
    assert (trial.differing, trial.lost, trial.duplicated, trial.leftovers) == ([], 0, 0, [])
