"""The last step of a run, wherever it runs: by the plan and the files of the output folder, and by nothing else.

Whoever repeats it writes the same files again; once the plan is gone, there is nothing left to do.
"""

from __future__ import annotations

from typing import Any

from avagent import storage
from avagent.core.state import ClipDecision, Outcome
from avagent.records.decisions import read_decisions
from avagent.records.manifest import ManifestCounts, decisions_url, manifest_url, write_manifest
from avagent.runs.commit import check_decided, check_number, finalize, write_run
from avagent.runs.decision_parts import PARTS_FOLDER
from avagent.runs.previous import publish, read_previous
from avagent.runs.refresh import write_changes_table
from avagent.runs.run_plan import PLAN_FILE, RunPlan, ShardTask, Work, read_plan
from avagent.runs.shard_reports import read_reports

UNMEASURED = {"seconds": None, "metrics": None, "throughput": None}
"""What `run.json` says of times and counters until a client that waited for the runner adds them."""


def finish_run(output: str, identity: str) -> None:
    """Hold what is there against the plan; then manifest, `run.json`, index and `_SUCCESS`.

    Args:
        output: the output folder.
        identity: of the run, see :class:`avagent.runs.run_plan.RunPlan`.

    Raises:
        AVAgentError: something of the input is missing, or the folder is another run's by now.
        UsageError: two shards have the same name, or the previous run is gone.
        OSError: storage failed.
    """
    plan = read_plan(output, identity)
    if plan is None:
        return
    check_decided(output, plan.expected)
    run = {**plan.record, **UNMEASURED}
    if plan.previous is not None:
        run["refresh"] = write_changes_table(output, plan.tasks, read_previous(plan.previous))
    if plan.work is Work.DECIDE:
        _finish_decisions(output, plan, run)
    else:
        counts = _finish_shards(output, plan, run)
        if plan.publish and not too_many_failed(counts, float(plan.record["recipe"]["max_failure_ratio"])):
            publish(output)
    remove_scaffold(output)


def remove_scaffold(output: str) -> None:
    """Remove what only an unfinished run needs. Raises OSError."""
    storage.remove(manifest_url(output, PARTS_FOLDER), recursive=True)
    storage.remove(manifest_url(output, PLAN_FILE))


def too_many_failed(counts: ManifestCounts, ratio: float) -> bool:
    """Whether more of the clips failed than is acceptable."""
    failed = dict(counts.outcomes).get(Outcome.FAILED, 0)
    return counts.clips > 0 and failed / counts.clips > ratio


def _finish_shards(output: str, plan: RunPlan, run: dict[str, Any]) -> ManifestCounts:
    reports = [report for report in read_reports(output, plan.expected) if report is not None]
    return finalize(
        output,
        reports,
        expected=plan.expected,
        fingerprint=str(plan.record["fingerprint"]),
        run=run,
        evaluated=_evaluated(plan),
    )


def _finish_decisions(output: str, plan: RunPlan, run: dict[str, Any]) -> None:
    """For a person to look at; no shards, no `_SUCCESS`."""
    counts = write_manifest(
        output,
        ((storage.basename(task.url), _decisions(output, task)) for task in plan.tasks),
        fingerprint=str(plan.record["fingerprint"]),
        evaluated=_evaluated(plan),
    )
    outcomes = {str(outcome): count for outcome, count in counts.outcomes}
    found = {"clips": counts.clips, "outcomes": outcomes, "rounds": counts.rounds}
    write_run(output, {**run, "counts": found, "changes_made": counts.changes_made})


def _decisions(output: str, task: ShardTask) -> list[ClipDecision]:
    found = list(read_decisions(decisions_url(output, task.url)))
    check_number(task.url, len(found), task.clips)
    return found


def _evaluated(plan: RunPlan) -> bool:
    return plan.record["recipe"].get("evaluation_scorer") is not None
