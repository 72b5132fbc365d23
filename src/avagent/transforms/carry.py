"""Shards that did not change since the previous run, to the output folder."""

# Beam calls the argument of `expand` input_or_inputs; here it is named after what it holds.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection

from avagent.runs.carry import carry_over
from avagent.transforms.metrics import NAMESPACE
from avagent.transforms.progress import report_progress
from avagent.transforms.read import ShardTask


class CarryShards(beam.PTransform):
    """Take over whole shards of the previous run; those that cannot be are left for the phases that follow."""

    def __init__(self, output: str, *, decisions_only: bool = False, progress: str | None = None) -> None:
        super().__init__()
        self._output = output
        self._decisions_only = decisions_only
        self._progress = progress

    def expand(self, tasks: PCollection[ShardTask]) -> PCollection[tuple[str, bool]]:
        """ShardTask -> (shard URL, whether it was taken over)."""
        carried: Any = (
            tasks
            | "Spread" >> beam.Reshuffle()
            | "CarryOver"
            >> beam.Map(_carry, output=self._output, decisions_only=self._decisions_only, progress=self._progress)
        )
        return carried


def _carry(task: ShardTask, output: str, *, decisions_only: bool, progress: str | None) -> tuple[str, bool]:
    report = None
    if task.earlier is not None:
        report = carry_over(task.url, task.earlier, output, decisions_only=decisions_only)
    if report is not None:
        Metrics.counter(NAMESPACE, "shards_carried").inc()
        report_progress(progress, "carried", report.filesize)
    return task.url, report is not None
