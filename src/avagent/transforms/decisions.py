"""Decisions to files: one a shard, so that applying them needs no join."""

# Beam calls the argument of `expand` input_or_inputs; here it is named after what it holds.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection

from avagent.core.state import ClipDecision
from avagent.records.decisions import write_decisions
from avagent.records.manifest import decisions_url
from avagent.runs.decision_parts import remove_parts
from avagent.runs.run_plan import ShardTask
from avagent.transforms.loop import Loop
from avagent.transforms.metrics import phase_span
from avagent.transforms.read import RESUMED, REUSED, STATES, ReadShards
from avagent.transforms.refine import DecideClips, EndClips


class DecideShards(beam.PTransform):
    """Shards to decision files in the manifest of the output folder: read, caption, score, refine, write.

    What the previous run decided, and still holds, goes past all models; so does what an earlier try of this run
    decided.
    """

    def __init__(self, loop: Loop, output: str) -> None:
        super().__init__()
        self._loop = loop
        self._output = output

    def expand(self, tasks: PCollection[ShardTask]) -> PCollection[ShardTask]:
        """ShardTask -> the same, once the shard's decisions are written; shards without clips included."""
        loop = self._loop
        read: Any = tasks | "ReadShards" >> ReadShards(loop.store, self._output, loop.parts)
        made = read[STATES] | "DecideClips" >> DecideClips(loop)
        resumed = read[RESUMED] | "ResumedClips" >> EndClips(loop, resumed=True)
        together = (made, resumed, read[REUSED])
        decided: Any = together | "AllDecisions" >> beam.Flatten() | "KeyByShard" >> beam.Map(_keyed)
        listed: Any = tasks | "Listed" >> beam.Map(_listed)
        written: Any = (
            (decided, listed)
            | "WithListed" >> beam.Flatten()
            | "GroupByShard" >> beam.GroupByKey()
            | "WriteDecisions" >> beam.FlatMap(_write, output=self._output)
        )
        return written


def _keyed(decision: ClipDecision) -> tuple[str, ClipDecision | ShardTask]:
    return decision.ref.shard, decision


def _listed(task: ShardTask) -> tuple[str, ClipDecision | ShardTask]:
    """Goes on with the shard once its decisions are written, and stands for one without clips."""
    return task.url, task


def _write(grouped: tuple[str, Iterable[ClipDecision | ShardTask]], output: str) -> Iterator[ShardTask]:
    shard, found = grouped
    tasks: list[ShardTask] = []

    def decisions() -> Iterator[ClipDecision]:
        for item in found:
            if isinstance(item, ClipDecision):
                yield item
            else:
                tasks.append(item)

    with phase_span("decide"):
        write_decisions(decisions_url(output, shard), decisions())
        remove_parts(output, shard)
    # A shard that was listed twice is one shard.
    yield from tasks[:1]
