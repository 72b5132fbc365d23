"""The apply phase: decision files to refined shards. Needs no model, and loads none."""

from __future__ import annotations

from collections.abc import Sequence

from avagent import storage
from avagent.pipelines.phase import phase_progress
from avagent.pipelines.progress import Tally
from avagent.pipelines.run import Session, run_phase
from avagent.runs.rewrite import ShardReport
from avagent.runs.shard_reports import read_reports
from avagent.transforms.read import ShardTask
from avagent.transforms.write import ApplyDecisions, ApplyTarget


def apply_phase(session: Session, tasks: Sequence[ShardTask]) -> list[ShardReport]:
    """Rewrite every shard that has no report yet, and collect the reports of all."""
    todo = _unwritten(session.output, tasks)
    if todo:
        tally = Tally(unit="shards", total_bytes=0, total=len(todo))
        with phase_progress(session.options, session.console, "apply", tally) as path:
            target = ApplyTarget(
                output=session.output,
                provenance=session.wired.provenance,
                audio_codec=session.wired.recipe.output.audio_codec,
                shards=session.wired.loop.store.shards,
                progress=path,
            )
            run_phase(session, "apply", todo, ApplyDecisions(target))
    found = read_reports(session.output, (task.url for task in tasks))
    return [report for report in found if report is not None]


def _unwritten(output: str, tasks: Sequence[ShardTask]) -> list[ShardTask]:
    """The shards without a report, or whose refined shard is gone."""
    present = storage.folder_sizes(output)
    reports = read_reports(output, (task.url for task in tasks))
    return [
        task
        for task, report in zip(tasks, reports, strict=True)
        if report is None or (report.url is not None and report.name not in present)
    ]
