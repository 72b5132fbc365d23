"""A whole run as one graph, which a runner can finish by itself; its parts alone are the same transforms.

What leaves one part once a shard is ready is what the next one waits for, shard by shard. The plan of the run
(`runs/run_plan.py`) lies in the output folder, and so does all that the last step goes by.
"""

# Beam calls the argument of `expand` input_or_inputs; here it is named after what it holds.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput

from avagent.runs.finish import finish_run
from avagent.runs.run_plan import ShardTask, Step, outstanding, read_plan
from avagent.transforms.carry import CarryShards
from avagent.transforms.decisions import DecideShards
from avagent.transforms.loop import Loop
from avagent.transforms.write import ApplyDecisions, ApplyTarget


@dataclass(frozen=True, kw_only=True)
class RunParts:
    """Which parts a run has, and what they need.

    Attributes:
        output: the output folder.
        identity: of the run.
        carry: whether there are shards to be taken over.
        loop: for deciding; None: everything is decided.
        target: for applying; None: only decisions are wanted.
        progress: file that local workers report shards that were taken over to; None: no such report.
    """

    output: str
    identity: str
    carry: bool = False
    loop: Loop | None = None
    target: ApplyTarget | None = None
    progress: str | None = None


class RefineShards(beam.PTransform):
    """Every shard of a run's plan: carried over, or decided on and applied; then the end of the run."""

    def __init__(self, parts: RunParts) -> None:
        super().__init__()
        self._parts = parts

    def expand(self, begin: PBegin) -> PCollection[None]:
        """Nothing -> nothing: what it does is in the output folder."""
        parts = self._parts
        shards: Any = begin | "Shards" >> ListShards(parts.output, parts.identity)
        done: list[Any] = [shards[Step.NOTHING]]
        decide, apply = [shards[Step.DECIDE]], [shards[Step.APPLY]]
        if parts.carry:
            carry = CarryShards(parts.output, decisions_only=parts.target is None, progress=parts.progress)
            carried: Any = shards[Step.CARRY] | "Carry" >> carry
            done.append(carried[Step.NOTHING])
            decide.append(carried[Step.DECIDE])
            apply.append(carried[Step.APPLY])
        if parts.loop is not None:
            undecided: Any = tuple(decide) | "Undecided" >> beam.Flatten()
            decided: Any = undecided | "Decide" >> DecideShards(parts.loop, parts.output)
            (done if parts.target is None else apply).append(decided)
        if parts.target is not None:
            unwritten: Any = tuple(apply) | "Unwritten" >> beam.Flatten()
            done.append(unwritten | "Apply" >> ApplyDecisions(parts.target))
        finished: Any = tuple(done) | "Done" >> beam.Flatten() | "Commit" >> CommitRun(parts.output, parts.identity)
        return finished


class ListShards(beam.PTransform):
    """The shards of a run's plan, by what is to be done with them."""

    def __init__(self, output: str, identity: str) -> None:
        super().__init__()
        self._output = output
        self._identity = identity

    def expand(self, begin: PBegin) -> dict[Step, PCollection[Any]]:
        """Nothing -> ShardTask by step; `nothing` holds one element more, so that a run without shards has an end."""
        steps = (Step.CARRY, Step.DECIDE, Step.APPLY)
        listed = beam.FlatMap(_listed, identity=self._identity).with_outputs(*steps, main=Step.NOTHING)
        outputs: Any = begin | "Output" >> beam.Create([self._output], reshuffle=False) | "List" >> listed
        return {step: outputs[step] for step in Step}


def _listed(output: str, identity: str) -> Iterator[ShardTask | str | TaggedOutput]:
    yield output
    plan = read_plan(output, identity)
    if plan is None:
        # Finished meanwhile, by a job of the same run whose client went away.
        return
    for step, task in outstanding(output, plan):
        yield task if step is Step.NOTHING else TaggedOutput(step, task)


class CommitRun(beam.PTransform):
    """The end of a run, once everything that comes in has come."""

    def __init__(self, output: str, identity: str) -> None:
        super().__init__()
        self._output = output
        self._identity = identity

    def expand(self, done: PCollection[Any]) -> PCollection[None]:
        """What was done, of whatever kind -> nothing."""
        finished: Any = (
            done
            | "Same" >> beam.Map(_same)
            | "All" >> beam.GroupByKey()
            | "Finish" >> beam.Map(_finish, output=self._output, identity=self._identity)
        )
        return finished


def _same(_: object) -> tuple[int, int]:
    """What comes does not matter: what is there does."""
    return 0, 0


def _finish(_: object, output: str, identity: str) -> None:
    finish_run(output, identity)
