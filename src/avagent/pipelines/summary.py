"""What a run says at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.table import Table

from avagent import storage
from avagent.core.state import ClipDecision, Outcome
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

    def lines(self) -> Iterator[str]:
        """One line a score that was evaluable."""
        for score, pairs in self._pairs.items():
            if pairs:
                before, after = (sum(values) / len(pairs) for values in zip(*pairs, strict=True))
                yield (f"held-out {score} of {len(pairs)} improved clips: {before:.3f} before, {after:.3f} after")


def conclude_run(session: Session, counts: ManifestCounts, shards: Sequence[str]) -> int:
    """Print the summary; gives the exit code."""
    print_summary(session, counts, shards)
    return exit_code(counts, session.wired.recipe.max_failure_ratio)


def exit_code(counts: ManifestCounts, max_failure_ratio: float) -> int:
    """0, or 3 if more clips failed than the recipe allows."""
    return OVER_FAILURE_RATIO if too_many_failed(counts, max_failure_ratio) else 0


def print_summary(session: Session, counts: ManifestCounts, shards: Sequence[str]) -> None:
    """Outcomes, accepted actions, reasons of failure, time, and where the results are."""
    actions: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    evaluated = EvaluationMeans()
    for shard in shards:
        for decision in read_decisions(decisions_url(session.output, shard)):
            actions.update(action.kind for action in decision.actions)
            if decision.failure is not None:
                reasons[f"{decision.failure.stage}: {decision.failure.reason}"] += 1
            evaluated.add(decision)
    console = session.console
    table = Table(title=f"{counts.clips} clips in {len(shards)} shards", title_justify="left")
    table.add_column("outcome")
    table.add_column("clips", justify="right")
    for outcome, count in counts.outcomes:
        table.add_row(str(outcome), str(count))
    console.print(table)
    if actions:
        console.print("accepted actions: " + ", ".join(f"{kind} {n}" for kind, n in actions.most_common()))
    if reasons:
        shown = ", ".join(f"{reason} ({n})" for reason, n in reasons.most_common(_SHOWN_REASONS))
        console.print(f"failures: {shown}", markup=False)
    for line in evaluated.lines():
        console.print(line, markup=False, highlight=False)
    for phase, seconds in session.clock.seconds.items():
        console.print(f"{phase}: {seconds:.1f} s")
    ratio = session.wired.recipe.max_failure_ratio
    if too_many_failed(counts, ratio):
        console.print(f"more than {ratio:.0%} of the clips failed (max_failure_ratio): exit code {OVER_FAILURE_RATIO}")
    console.print(f"results: {storage.canonical(session.output)}", markup=False, highlight=False)
