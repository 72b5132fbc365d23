"""Do other thresholds make the embedded planner better? Fitted on training pairs, judged on held-out recordings.

    python bench/planner_thresholds.py --data PAIRS [--test PAIRS] [--output FOLDER]

A coordinate search: one threshold after the other takes the value with the most right plans on the training pairs (see
`avagent.pipelines.plan_accuracy`), in two rounds;
ties keep the shipped value. Time is judged by probability (`avagent.core.time_judgement`), which is not fitted here.
`PAIRS` are folders of `avagent plan-data`; those of `--test` take no part in the fit.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from avagent.models.embedded import remedies
from avagent.models.embedded.planner import EmbeddedPlanner
from avagent.pipelines.plan_accuracy import planner_accuracy
from avagent.records.training_pairs import PlanPair, Split, read_pairs

GRID: Mapping[str, tuple[float, ...]] = {
    "NOISY_BELOW_DB": (9.0, 12.0, 15.0, 18.0, 21.0, 25.0),
    "NOISE_CONFIDENCE": (0.3, 0.5, 0.7, 0.9),
    "UNKNOWN_NOISE_CONFIDENCE": (0.5, 0.8, 0.9, 0.95, 0.99),
    "HUM_CONFIDENCE": (0.5, 0.6, 0.7, 0.8, 0.9),
    "HUM_ABOVE_DB": (-40.0, -35.0, -30.0, -25.0, -20.0, -15.0),
    "MISMATCH_SHARE": (0.01, 0.015, 0.02, 0.025),
    "MISMATCH_MOST": (0.12, 0.15, 0.2, 0.3),
}
ROUNDS = 2


def values() -> dict[str, float]:
    """The thresholds as they are now."""
    return {name: float(getattr(remedies, name)) for name in GRID}


def use(thresholds: Mapping[str, float]) -> None:
    """Let the planner of this process use these."""
    for name, value in thresholds.items():
        setattr(remedies, name, value)


def right(pairs: Sequence[PlanPair]) -> int:
    """Right plans of the embedded planner, with the thresholds in use."""
    return planner_accuracy(EmbeddedPlanner(), pairs, batch=len(pairs)).right


def fit(pairs: Sequence[PlanPair]) -> dict[str, float]:
    """Thresholds with the most right plans."""
    best, most = values(), right(pairs)
    for _ in range(ROUNDS):
        for name, candidates in GRID.items():
            for value in candidates:
                use({**best, name: value})
                if (count := right(pairs)) > most:
                    best, most = {**best, name: value}, count
    use(best)
    return best


def main() -> None:
    """Run it and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of pairs")
    parser.add_argument("--test", help="another folder, whose validation pairs are judged as well")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    parts = {split.value: list(read_pairs(options.data, split)) for split in Split}
    if options.test:
        parts["test"] = list(read_pairs(options.test, Split.VALIDATION))
    shipped = values()
    before = {name: right(pairs) for name, pairs in parts.items()}
    fitted = fit(parts["train"])
    after = {name: right(pairs) for name, pairs in parts.items()}
    lines = ["| pairs | shipped thresholds | fitted |", "|---|---|---|"]
    for name, pairs in parts.items():
        shares = (f"{100 * count / len(pairs):.1f}%" for count in (before[name], after[name]))
        lines.append(f"| {name} ({len(pairs)}) | {' | '.join(shares)} |")
    changed = {name: (shipped[name], fitted[name]) for name in GRID if shipped[name] != fitted[name]}
    lines += ["", *(f"- {name}: {old:g} -> {new:g}" for name, (old, new) in changed.items())]
    text = "\n".join(lines) + "\n"
    print(text)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "planner_thresholds.md").write_text(text, "utf-8")
    record = {"shipped": shipped, "fitted": fitted, "right_before": before, "right_after": after}
    (options.output / "planner_thresholds.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
