"""What a run says at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from avagent import storage
from avagent.core.state import ClipDecision, Outcome
from avagent.pipelines.console import tell
from avagent.pipelines.request import read_run
from avagent.pipelines.run import Session
from avagent.records.decisions import read_decisions
from avagent.records.manifest import ManifestCounts, decisions_url
from avagent.runs.finish import too_many_failed

OVER_FAILURE_RATIO = 3
_SHOWN_REASONS = 5


class EvaluationMeans:
    """What the held-out scorer found of the improved clips, on average."""

    def __init__(self) -> None:
        self._pairs: dict[str, list[tuple[float, float]]] = {"alignment": [], "synchronization": []}

    def add(self, decision: ClipDecision) -> None:
        """Count a decision, if its sound was changed and evaluated."""
        found = decision.evaluation
        if found is None or decision.outcome is not Outcome.IMPROVED:
            return
        for score, pairs in self._pairs.items():
            before, after = getattr(found.before, score), getattr(found.after, score)
            if before is not None and after is not None:
                pairs.append((before, after))

    def means(self) -> dict[str, dict[str, float]]:
        """By score, of those that were evaluable: clips, mean before, mean after."""
        found: dict[str, dict[str, float]] = {}
        for score, pairs in self._pairs.items():
            if pairs:
                before, after = (sum(values) / len(pairs) for values in zip(*pairs, strict=True))
                found[score] = {"clips": len(pairs), "before": before, "after": after}
        return found

    def lines(self) -> Iterator[str]:
        """One line a score that was evaluable."""
        for score, mean in self.means().items():
            before, after = mean["before"], mean["after"]
            yield f"held-out {score} of {mean['clips']} improved clips: {before:.3f} before, {after:.3f} after"


def conclude_run(session: Session, counts: ManifestCounts, shards: Sequence[str]) -> int:
    """Tell what became of the run; gives the exit code."""
    code = exit_code(counts, session.wired.recipe.max_failure_ratio)
    summary = _summarize(session, shards)
    facts = {
        **_counted(session.output, counts),
        "shards": len(shards),
        "actions": dict(summary.actions.most_common()),
        "failures": dict(summary.reasons.most_common()),
        "held_out": summary.evaluated.means(),
        "seconds": session.clock.seconds,
        "exit_code": code,
    }
    tell(session.console, facts, lambda: _print_summary(session, counts, len(shards), summary))
    return code


def tell_complete(console: Console, output: str) -> None:
    """For programs, the counts of a run that was complete before; people are told already. Raises UsageError."""
    tell(console, {**_counted(output, run_counts_of(output)), "complete_already": True}, lambda: None)


def run_counts_of(output: str) -> ManifestCounts:
    """The counts of a finished run, as its `run.json` tells them. Raises UsageError: it cannot be read."""
    counts = read_run(output)["counts"]
    outcomes = tuple((outcome, int(counts["outcomes"].get(outcome, 0))) for outcome in Outcome)
    return ManifestCounts(outcomes=tuple((o, n) for o, n in outcomes if n), rounds=int(counts["rounds"]))


def _counted(output: str, counts: ManifestCounts) -> dict[str, Any]:
    outcomes = {str(outcome): count for outcome, count in counts.outcomes}
    return {"output": storage.canonical(output), "clips": counts.clips, "outcomes": outcomes}


def exit_code(counts: ManifestCounts, max_failure_ratio: float) -> int:
    """0, or 3 if more clips failed than the recipe allows."""
    return OVER_FAILURE_RATIO if too_many_failed(counts, max_failure_ratio) else 0


@dataclass(frozen=True, slots=True)
class _Summary:
    """Accepted actions, reasons of failure, and what the held-out scorer found."""

    actions: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    evaluated: EvaluationMeans = field(default_factory=EvaluationMeans)


def _summarize(session: Session, shards: Sequence[str]) -> _Summary:
    found = _Summary()
    for shard in shards:
        for decision in read_decisions(decisions_url(session.output, shard)):
            found.actions.update(action.kind for action in decision.actions)
            if decision.failure is not None:
                found.reasons[f"{decision.failure.stage}: {decision.failure.reason}"] += 1
            found.evaluated.add(decision)
    return found


def _print_summary(session: Session, counts: ManifestCounts, shards: int, found: _Summary) -> None:
    """Outcomes, accepted actions, reasons of failure, time, and where the results are."""
    console = session.console
    table = Table(title=f"{counts.clips} clips in {shards} shards", title_justify="left")
    table.add_column("outcome")
    table.add_column("clips", justify="right")
    for outcome, count in counts.outcomes:
        table.add_row(str(outcome), str(count))
    console.print(table)
    if found.actions:
        console.print("accepted actions: " + ", ".join(f"{kind} {n}" for kind, n in found.actions.most_common()))
    if found.reasons:
        shown = ", ".join(f"{reason} ({n})" for reason, n in found.reasons.most_common(_SHOWN_REASONS))
        console.print(f"failures: {shown}", markup=False)
    for line in found.evaluated.lines():
        console.print(line, markup=False, highlight=False)
    for phase, seconds in session.clock.seconds.items():
        console.print(f"{phase}: {seconds:.1f} s")
    ratio = session.wired.recipe.max_failure_ratio
    if too_many_failed(counts, ratio):
        console.print(f"more than {ratio:.0%} of the clips failed (max_failure_ratio): exit code {OVER_FAILURE_RATIO}")
    console.print(f"results: {storage.canonical(session.output)}", markup=False, highlight=False)
