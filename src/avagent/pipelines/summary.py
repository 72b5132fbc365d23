"""What a run says at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.table import Table

from avagent.core.state import Outcome
from avagent.io import storage
from avagent.io.manifest import ManifestCounts, decisions_url
from avagent.io.records import read_decisions
from avagent.pipelines.run import Session

OVER_FAILURE_RATIO = 3
_SHOWN_REASONS = 5


def conclude_run(session: Session, counts: ManifestCounts, shards: Sequence[str]) -> int:
    """Print the summary; gives the exit code."""
    print_summary(session, counts, shards)
    failed = dict(counts.outcomes).get(Outcome.FAILED, 0)
    return exit_code(failed, counts.clips, session.wired.recipe.max_failure_ratio)


def exit_code(failed: int, clips: int, max_failure_ratio: float) -> int:
    """0, or 3 if more clips failed than the recipe allows."""
    return OVER_FAILURE_RATIO if clips and failed / clips > max_failure_ratio else 0


def print_summary(session: Session, counts: ManifestCounts, shards: Sequence[str]) -> None:
    """Outcomes, accepted actions, reasons of failure, time, and where the results are."""
    actions: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for shard in shards:
        for decision in read_decisions(decisions_url(session.output, shard)):
            actions.update(action.kind for action in decision.actions)
            if decision.failure is not None:
                reasons[f"{decision.failure.stage}: {decision.failure.reason}"] += 1
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
    for phase, seconds in session.clock.seconds.items():
        console.print(f"{phase}: {seconds:.1f} s")
    ratio = session.wired.recipe.max_failure_ratio
    if exit_code(dict(counts.outcomes).get(Outcome.FAILED, 0), counts.clips, ratio):
        console.print(f"more than {ratio:.0%} of the clips failed (max_failure_ratio): exit code {OVER_FAILURE_RATIO}")
    console.print(f"results: {storage.canonical(session.output)}", markup=False, highlight=False)
