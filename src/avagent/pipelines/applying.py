"""The apply phase: decision files to refined shards. Needs no model, and loads none."""

from __future__ import annotations

from collections.abc import Sequence

from avagent.io import storage
from avagent.io.reports import read_report
from avagent.io.rewrite import ShardReport
from avagent.pipelines.progress import Tally
from avagent.pipelines.run import Session, phase_progress, run_phase
from avagent.transforms.read import ShardTask
from avagent.transforms.write import ApplyDecisions, ApplyTarget


def apply_phase(session: Session, tasks: Sequence[ShardTask]) -> list[ShardReport]:
    """Rewrite every shard that has no report yet, and collect the reports of all."""
    todo = [task for task in tasks if not _written(session.output, task.url)]
    if todo:
        tally = Tally(unit="shards", total_bytes=0, total=len(todo))
        with phase_progress(session, "apply", tally) as path:
            target = ApplyTarget(
                output=session.output,
                provenance=session.wired.provenance,
                audio_codec=session.wired.recipe.output.audio_codec,
                shards=session.wired.loop.store.shards,
                progress=path,
            )
            run_phase(session, "apply", todo, ApplyDecisions(target))
    reports = [read_report(session.output, task.url) for task in tasks]
    return [report for report in reports if report is not None]


def _written(output: str, shard: str) -> bool:
    report = read_report(output, shard)
    return report is not None and (report.url is None or storage.exists(report.url))
