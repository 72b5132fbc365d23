"""What a run is to do, in a file of its manifest: its workers and the end of the run read it there.

Not in the graph: runners limit its size (4 MB where gRPC carries it), and whoever finishes a run may have nothing but
its folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from avagent import storage
from avagent.core.errors import AVAgentError, ParameterError
from avagent.records.manifest import manifest_url, shards_decided
from avagent.runs.commit import Expected
from avagent.runs.previous import Earlier
from avagent.runs.rewrite import ShardReport
from avagent.runs.shard_reports import read_reports, shards_reported

PLAN_FILE = "plan.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTask:
    """A shard to work on.

    Attributes:
        url: of the shard.
        clips: only so many of its first clips; None: all.
        earlier: what the previous run offers for it; None: there is none. What changed goes to the manifest.
    """

    url: str
    clips: int | None = None
    earlier: Earlier | None = None


class Work(StrEnum):
    """Which parts a run has."""

    REFINE = "refine"
    DECIDE = "decide"
    APPLY = "apply"


class Step(StrEnum):
    """What is to be done next with a shard."""

    CARRY = "carry"
    DECIDE = "decide"
    APPLY = "apply"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run is to do.

    Attributes:
        identity: of the run, by which it claimed the folder.
        work: which parts it has.
        tasks: all input shards, those that are finished already included.
        record: for `run.json`, besides counts and timings.
        previous: folder of the run that it is made on top of; None: of none.
        publish: whether it becomes the newest version once it is finished.
    """

    identity: str
    work: Work
    tasks: tuple[ShardTask, ...]
    record: Mapping[str, Any]
    previous: str | None = None
    publish: bool = False

    @property
    def expected(self) -> Expected:
        """What the run has to bring."""
        return {task.url: task.clips for task in self.tasks}


_PLAN: TypeAdapter[tuple[RunPlan]] = TypeAdapter(tuple[RunPlan], config=ConfigDict(extra="forbid"))


def write_plan(output: str, plan: RunPlan) -> None:
    """Write it to the manifest, atomically. Raises OSError."""
    storage.write_bytes(manifest_url(output, PLAN_FILE), _PLAN.dump_json((plan,))[1:-1] + b"\n")


def read_plan(output: str, identity: str | None = None) -> RunPlan | None:
    """The plan of the run in a folder; None: it is finished, or none was begun.

    Args:
        output: the folder.
        identity: of the run that asks; None: whichever run it is.

    Raises:
        AVAgentError: the folder belongs to another run by now.
        OSError: it cannot be read.
        ParameterError: it is not a plan.
    """
    url = manifest_url(output, PLAN_FILE)
    try:
        text = storage.read_bytes(url)
    except FileNotFoundError:
        return None
    try:
        plan = _PLAN.validate_json(b"[" + text + b"]")[0]
    except ValidationError as error:
        raise ParameterError(f"{url} is not the plan of a run: {error}") from error
    if identity is not None and plan.identity != identity:
        raise AVAgentError(f"{output} was given to another run meanwhile: this one stops")
    return plan


def outstanding(output: str, plan: RunPlan) -> Iterator[tuple[Step, ShardTask]]:
    """What is to be done with each shard, by what the folder holds of it. Raises OSError."""
    decided = shards_decided(output)
    reports = {} if plan.work is Work.DECIDE else _reports(output, plan)
    sizes = storage.folder_sizes(output) if reports else {}
    for task in plan.tasks:
        name = storage.basename(task.url)
        report = reports.get(name)
        # Clips without a decision: the shard changed since, or decisions were lost.
        short = report is not None and task.clips is None and report.undecided > 0
        written = report is not None and not short and (report.url is None or sizes.get(name) == report.filesize)
        if written or (plan.work is Work.DECIDE and name in decided):
            yield Step.NOTHING, task
        elif (first := first_step(plan.work, task)) is Step.DECIDE and name in decided and not short:
            yield Step.APPLY, task
        else:
            yield first, task


def first_step(work: Work, task: ShardTask) -> Step:
    """What is to be done with a shard of which nothing is done yet."""
    if work is Work.APPLY:
        return Step.APPLY
    # Decided or not: what is carried may have been carried in part.
    return Step.CARRY if task.earlier is not None and task.earlier.whole else Step.DECIDE


def _reports(output: str, plan: RunPlan) -> dict[str, ShardReport]:
    reported = shards_reported(output)
    tasks = [task for task in plan.tasks if storage.basename(task.url) in reported]
    return {r.name: r for r in read_reports(output, (task.url for task in tasks)) if r is not None}
