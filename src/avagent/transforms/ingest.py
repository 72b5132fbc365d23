"""Recordings to shards: what to look at and what to write travels by name, media does not travel at all."""

# Beam calls the argument of `expand` input_or_inputs; here it is named after what it holds.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection

from avagent.core.ingest import Checked, IngestSettings
from avagent.ingest.clips import check_candidate
from avagent.ingest.shard_making import write_shard
from avagent.ingest.tables import read_checked, write_checked
from avagent.ingest.work_plan import checked_url
from avagent.transforms.metrics import NAMESPACE
from avagent.transforms.progress import report_progress


@dataclass(frozen=True, kw_only=True)
class IngestTarget:
    """What both phases need.

    Attributes:
        output: the output folder.
        settings: what to make.
        progress: file that local workers report to; None: no such report.
    """

    output: str
    settings: IngestSettings
    progress: str | None = None


class CheckRecordings(beam.PTransform):
    """Look at the recordings of every list, and write what was found beside it."""

    def __init__(self, target: IngestTarget) -> None:
        super().__init__()
        self._target = target

    def expand(self, lists: PCollection[str]) -> PCollection[int]:
        """URL of a list -> number of recordings."""
        found: Any = lists | "Spread" >> beam.Reshuffle() | "Check" >> beam.Map(check_list, target=self._target)
        return found


def check_list(url: str, target: IngestTarget) -> int:
    """Look at the recordings of one list. Raises OSError."""
    found: list[Checked] = []
    for item in read_checked(url):
        checked = check_candidate(item.candidate, target.settings)
        Metrics.counter(NAMESPACE, f"recordings_{checked.problem or 'usable'}").inc()
        report_progress(target.progress, str(checked.problem or "usable"), checked.nbytes)
        found.append(checked)
    write_checked(checked_url(url), found)
    return len(found)


class WriteShards(beam.PTransform):
    """Write every shard by its plan."""

    def __init__(self, target: IngestTarget) -> None:
        super().__init__()
        self._target = target

    def expand(self, names: PCollection[str]) -> PCollection[int]:
        """Name of a shard -> number of its clips."""
        written: Any = names | "Spread" >> beam.Reshuffle() | "Write" >> beam.Map(_write, target=self._target)
        return written


def _write(name: str, target: IngestTarget) -> int:
    report = write_shard(target.output, name, target.settings)
    Metrics.counter(NAMESPACE, "shards_written").inc()
    report_progress(target.progress, "written", report.filesize)
    return report.nsamples
