"""A planned run: given to a runner as one graph; then, if we wait for it, what the runner measured is added."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import apache_beam as beam

from avagent import storage
from avagent.core.errors import AVAgentError
from avagent.pipelines.beam_options import is_local
from avagent.pipelines.phase import parts_progress
from avagent.pipelines.progress import Tally, show_lines
from avagent.pipelines.request import read_run
from avagent.pipelines.run import InputShard, Session, metrics_by_part
from avagent.pipelines.throughput import stage_throughput
from avagent.runs.commit import SUCCESS_FILE, Holder, write_run
from avagent.runs.finish import finish_run
from avagent.runs.run_plan import RunPlan, ShardTask, Step, Work, first_step, outstanding, write_plan
from avagent.runs.status import read_status
from avagent.transforms.metrics import SPAN_SUFFIX
from avagent.transforms.run import RefineShards, RunParts
from avagent.transforms.write import ApplyTarget

_POLL_EVERY_S = 15.0


def run_planned(session: Session, plan: RunPlan, inputs: Sequence[InputShard], *, wait: bool = True) -> bool:
    """Write the plan, and give the run to the runner; False: it goes on by itself.

    Raises:
        AVAgentError: something of the input is missing at the end, or the runner says it is done and the output is not.
        OSError: storage failed.
    """
    write_plan(session.output, plan)
    todo = [(step, task) for step, task in outstanding(session.output, plan) if step is not Step.NOTHING]
    if not todo:
        finish_run(session.output, plan.identity)
        return True
    started = time.perf_counter()
    with _progress(session, plan, todo, inputs) as paths:
        parts = _parts(session, plan, {step for step, _ in todo}, paths)
        result = _start(session, parts)
        if not wait:
            return False
        try:
            result.wait_until_finish()
        finally:
            if parts.loop is not None:
                parts.loop.clean_up()
    _check_finished(session.output, plan)
    _measure(session, result, time.perf_counter() - started)
    return True


def plan_facts(session: Session, plan: RunPlan, inputs: Sequence[InputShard], holder: Holder) -> dict[str, Any]:
    """What a run would do, and how much of it is done already, for `--dry-run`; nothing is written.

    Args:
        session: of the run.
        plan: what is to be done.
        inputs: the listed shards.
        holder: whose the output folder is; another run's output would be removed.

    Raises:
        OSError: storage failed.
    """
    if holder is Holder.ANOTHER_RUN:
        steps = [first_step(plan.work, task) for task in plan.tasks]
    else:
        steps = [step for step, _ in outstanding(session.output, plan)]
    limits = [task.clips for task in plan.tasks if task.clips is not None]
    return {
        "work": str(plan.work),
        "output": storage.canonical(session.output),
        "output_holds": holder.name.lower().replace("_", " "),
        "shards": len(plan.tasks),
        "bytes": sum(shard.nbytes or 0 for shard in inputs),
        "unreadable_shards": sum(shard.nbytes is None for shard in inputs),
        "clips_at_most": sum(limits) if limits else None,
        "shards_to": {str(step): steps.count(step) for step in Step if step in steps},
        "recipe": session.wired.recipe.name,
        "previous": plan.previous,
    }


def _start(session: Session, parts: RunParts) -> Any:
    pipeline = beam.Pipeline(options=session.options)
    _ = pipeline | RefineShards(parts)
    return pipeline.run()


def _parts(session: Session, plan: RunPlan, steps: set[Step], paths: dict[str, str]) -> RunParts:
    """What the steps need; what cannot be carried over is decided on."""
    wired = session.wired
    decides = plan.work is not Work.APPLY and bool(steps & {Step.CARRY, Step.DECIDE})
    target = ApplyTarget(
        output=session.output,
        provenance=wired.provenance,
        audio_codec=wired.recipe.output.audio_codec,
        shards=wired.loop.store.shards,
        progress=paths.get("apply"),
    )
    return RunParts(
        output=session.output,
        identity=plan.identity,
        carry=Step.CARRY in steps,
        loop=replace(wired.loop, progress=paths.get("decide"), parts=session.output) if decides else None,
        target=None if plan.work is Work.DECIDE else target,
        progress=paths.get("carry"),
    )


@contextmanager
def _progress(
    session: Session, plan: RunPlan, todo: Sequence[tuple[Step, ShardTask]], inputs: Iterable[InputShard]
) -> Iterator[dict[str, str]]:
    """Show how far the run is; gives the files that local workers report to. Other runners are seen by the manifest."""
    if not is_local(session.options):
        with show_lines(lambda: read_status(session.output).lines(), session.console, every_s=_POLL_EVERY_S):
            yield {}
        return
    counts = Counter(step for step, _ in todo)
    tallies: dict[str, Tally] = {}
    if counts[Step.CARRY]:
        tallies["carry"] = Tally(unit="shards", total_bytes=0, total=counts[Step.CARRY])
    if counts[Step.DECIDE]:
        undecided = {task.url: task.clips for step, task in todo if step is Step.DECIDE}
        nbytes = sum(shard.nbytes or 0 for shard in inputs if shard.url in undecided)
        limits = [clips for clips in undecided.values() if clips is not None]
        tallies["decide"] = Tally(unit="clips", total_bytes=nbytes, total=sum(limits) if limits else None)
    if plan.work is not Work.DECIDE:
        tallies["apply"] = Tally(unit="shards", total_bytes=0, total=counts[Step.DECIDE] + counts[Step.APPLY])
    with parts_progress(session.options, session.console, tallies) as paths:
        yield paths


def _check_finished(output: str, plan: RunPlan) -> None:
    """A runner may take a run for done that lost its last step."""
    if plan.work is not Work.DECIDE and not storage.exists(storage.join(output, SUCCESS_FILE)):
        raise AVAgentError(
            f"the runner says it is done, but {output} has no {SUCCESS_FILE}: run the same command again"
        )


def _measure(session: Session, result: Any, seconds: float) -> None:
    """Add to `run.json` what only a client that waited knows."""
    clock = session.clock
    clock.metrics = metrics_by_part(result)
    for part, found in clock.metrics.items():
        spans = [found.pop(name) for name in list(found) if name.endswith(SPAN_SUFFIX)]
        if spans:
            first, last = min(span["min"] for span in spans), max(span["max"] for span in spans)
            clock.seconds[part] = round((last - first) / 1000, 3)
    clock.metrics = {part: found for part, found in clock.metrics.items() if found}
    clock.seconds["total"] = round(seconds, 3)
    throughput = {part: rates for part, found in clock.metrics.items() if (rates := stage_throughput(found))}
    measured = {"seconds": clock.seconds, "metrics": clock.metrics, "throughput": throughput}
    write_run(session.output, {**read_run(session.output), **measured})
