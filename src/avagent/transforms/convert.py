"""Shards of one format to the other, each wherever there is a free worker."""

# Beam calls the argument of `expand` input_or_inputs; here it is named after what it holds.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection

from avagent.runs.convert import convert_shard
from avagent.runs.shard_reports import write_report
from avagent.shards.formats import DEFAULT_OPTIONS, ShardOptions
from avagent.transforms.metrics import NAMESPACE
from avagent.transforms.progress import report_progress


@dataclass(frozen=True, kw_only=True)
class ConvertTarget:
    """What converting needs.

    Attributes:
        output: the output folder.
        form: `webdataset` or `tfrecord`.
        options: how shards are read.
        progress: file that local workers report to; None: no such report.
    """

    output: str
    form: str
    options: ShardOptions = DEFAULT_OPTIONS
    progress: str | None = None


class ConvertShards(beam.PTransform):
    """Convert every shard, and leave its report in the manifest of the output folder."""

    def __init__(self, target: ConvertTarget) -> None:
        super().__init__()
        self._target = target

    def expand(self, shards: PCollection[str]) -> PCollection[int]:
        """Shard URL -> number of its clips."""
        written: Any = shards | "Spread" >> beam.Reshuffle() | "ConvertShard" >> beam.Map(_convert, target=self._target)
        return written


def _convert(shard: str, target: ConvertTarget) -> int:
    report = convert_shard(shard, target.output, target.form, target.options)
    write_report(target.output, report)
    Metrics.counter(NAMESPACE, "shards_written").inc()
    report_progress(target.progress, "written", report.filesize)
    return report.clips
