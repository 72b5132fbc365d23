"""A runner that loses something of one shard: it is in the graph, so that every runner can be made to lose it."""

from __future__ import annotations

import os
from typing import Any

import apache_beam as beam

from avagent import storage
from avagent.records.manifest import decisions_url
from avagent.runs.run_plan import ShardTask
from avagent.runs.shard_reports import report_url
from avagent.transforms.decisions import DecideShards
from avagent.transforms.write import ApplyDecisions

LOSES = "AVAGENT_SCRIPTED_LOSES"
"""Names what is lost: one of `LOSSES`."""
LOST = "part-000001.tar"
LOSSES = ("shard to decide on", "decisions", "shard to apply", "report")


def lose(what: str) -> None:
    """From now on graphs of this process lose it."""
    transform = DecideShards if LOSSES.index(what) < 2 else ApplyDecisions
    whole: Any = transform.expand

    def expand(self: Any, tasks: Any) -> Any:
        match what:
            case "decisions":
                return whole(self, tasks) | "LoseDecisions" >> beam.Map(_without_decisions, output=self._output)
            case "report":
                return whole(self, tasks) | "LoseReport" >> beam.Map(_without_report, output=self._target.output)
            case _:
                return whole(self, tasks | "LoseShard" >> beam.Filter(_kept))

    transform.expand = expand  # type: ignore[method-assign]


def _kept(task: ShardTask) -> bool:
    return storage.basename(task.url) != LOST


def _without_decisions(task: ShardTask, output: str) -> ShardTask:
    if not _kept(task):
        storage.remove(decisions_url(output, task.url))
    return task


def _without_report(report: Any, output: str) -> Any:
    if report.name == LOST:
        storage.remove(report_url(output, report.name))
    return report


if what := os.environ.get(LOSES):
    lose(what)
