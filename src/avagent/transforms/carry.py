"""Shards that did not change since the previous run, to the output folder."""

# Beam calls the argument of `expand` input_or_inputs; here it is named after what it holds.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection, TaggedOutput

from avagent import storage
from avagent.records.manifest import decisions_url
from avagent.runs.carry import carry_over
from avagent.runs.run_plan import ShardTask, Step
from avagent.transforms.metrics import NAMESPACE, phase_span
from avagent.transforms.progress import report_progress


class CarryShards(beam.PTransform):
    """Take over whole shards of the previous run; those that cannot be are left for the steps that follow."""

    def __init__(self, output: str, *, decisions_only: bool = False, progress: str | None = None) -> None:
        super().__init__()
        self._output = output
        self._decisions_only = decisions_only
        self._progress = progress

    def expand(self, tasks: PCollection[ShardTask]) -> dict[Step, PCollection[ShardTask]]:
        """ShardTask -> the same, by what is left to do with it."""
        carry = beam.FlatMap(
            _carry, output=self._output, decisions_only=self._decisions_only, progress=self._progress
        ).with_outputs(Step.DECIDE, Step.APPLY, main=Step.NOTHING)
        outputs: Any = tasks | "Spread" >> beam.Reshuffle() | "CarryOver" >> carry
        return {step: outputs[step] for step in (Step.NOTHING, Step.DECIDE, Step.APPLY)}


def _carry(
    task: ShardTask, output: str, *, decisions_only: bool, progress: str | None
) -> Iterator[ShardTask | TaggedOutput]:
    report = None
    if task.earlier is not None:
        with phase_span("carry"):
            report = carry_over(task.url, task.earlier, output, decisions_only=decisions_only)
    if report is not None:
        Metrics.counter(NAMESPACE, "shards_carried").inc()
        report_progress(progress, "carried", report.filesize)
        yield task
    elif storage.exists(decisions_url(output, task.url)):
        yield task if decisions_only else TaggedOutput(Step.APPLY, task)
    else:
        yield TaggedOutput(Step.DECIDE, task)
