"""`avagent apply`: decisions to shards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from pydantic import ValidationError
from rich.console import Console

from avagent import storage
from avagent.core.errors import UsageError
from avagent.pipelines.beam_options import beam_options
from avagent.pipelines.console import make_console
from avagent.pipelines.options import LOCATION, BeamCommand, dry_run_option, json_option, own_options, tell_dry_run
from avagent.pipelines.planned_run import plan_facts, run_planned
from avagent.pipelines.recipe import Recipe
from avagent.pipelines.request import RefineRequest, read_run, run_identity, run_record
from avagent.pipelines.run import Session, limit_tasks, list_inputs
from avagent.pipelines.summary import conclude_run, run_counts_of, tell_complete
from avagent.pipelines.wiring import wire
from avagent.records.manifest import decisions_url, manifest_url
from avagent.runs.commit import (
    RUN_FILE,
    SUCCESS_FILE,
    Holder,
    check_decided,
    claim_output,
    holder_of,
    is_complete,
)
from avagent.runs.run_plan import RunPlan, Work
from avagent.runs.shard_reports import remove_reports, remove_stale_reports


@click.command(cls=BeamCommand)
@click.option("--decisions", type=LOCATION, required=True, help="Output folder of `avagent refine --decide-only`.")
@click.option("--output", type=LOCATION, help="Folder for the refined shards; the folder of the decisions if left out.")
@click.option("--overwrite", is_flag=True, help="Replace the output of another run.")
@dry_run_option
@json_option
@click.option("--debug", is_flag=True, help="Show tracebacks and all log lines.")
@click.pass_context
def apply(context: click.Context, decisions: str, output: str | None, **flags: bool) -> int:
    """Apply the decisions of an earlier `refine --decide-only`, as they are now: they may have been edited by hand.

    \b
    Examples:
      avagent refine --input shards/ --output refined/ --decide-only
      avagent apply --decisions refined/
    """  # noqa: D301  (click's mark for lines to keep)
    run = read_run(decisions)
    request = RefineRequest(
        source=decisions,
        output=output or decisions,
        recipe=_recipe(run, decisions),
        limit=run.get("limit"),
        overwrite=flags["overwrite"],
        dry_run=flags["dry_run"],
        beam=tuple(context.args),
    )
    return run_apply(request, run, make_console())


def run_apply(request: RefineRequest, run: Mapping[str, Any], console: Console) -> int:
    """Run it; gives the exit code.

    Args:
        request: the folder of the decisions is its `source`.
        run: what `run.json` there says.
        console: for progress.

    Raises:
        UsageError: no decisions there, or an unusable output folder.
    """
    options = beam_options(request.beam, own_options(apply))
    inputs = list_inputs([str(shard["url"]) for shard in run["inputs"]])
    wired = wire(request.recipe)
    identity = run_identity(wired, inputs, request.limit)
    if is_complete(request.output, identity) and not request.overwrite:
        console.print(f"{request.output} is complete already: nothing to do (--overwrite applies the decisions again)")
        tell_complete(console, request.output)
        return 0
    tasks = limit_tasks(inputs, request.limit)
    check_decided(request.source, {task.url: task.clips for task in tasks})
    session = Session(output=request.output, wired=wired, options=options, console=console)
    record = run_record(wired, inputs, request)
    plan = RunPlan(identity=identity, work=Work.APPLY, tasks=tuple(tasks), record=record)
    if request.dry_run:
        return tell_dry_run(console, plan_facts(session, plan, inputs, _holder(request, plan)))
    _claim(request, plan)
    run_planned(session, plan, inputs)
    return conclude_run(session, run_counts_of(request.output), [task.url for task in tasks])


def _holder(request: RefineRequest, plan: RunPlan) -> Holder:
    if request.output != request.source:
        return holder_of(request.output, plan.identity, shards=_inputs(plan), overwrite=request.overwrite)
    return Holder.ANOTHER_RUN if request.overwrite else Holder.THIS_RUN


def _claim(request: RefineRequest, plan: RunPlan) -> None:
    """Make the output folder ready: decisions in it, and no reports that were written by others."""
    if request.output != request.source:
        claim_output(request.output, plan.identity, shards=_inputs(plan), overwrite=request.overwrite)
        _copy_decisions(request.source, request.output, [task.url for task in plan.tasks])
    storage.remove(storage.join(request.output, SUCCESS_FILE))
    if request.overwrite:
        remove_reports(request.output)
    else:
        # The decisions may have been edited since an earlier try.
        remove_stale_reports(request.output, _inputs(plan))


def _inputs(plan: RunPlan) -> list[str]:
    return [str(shard["url"]) for shard in plan.record["inputs"]]


def _recipe(run: Mapping[str, Any], decided_in: str) -> Recipe:
    try:
        return Recipe.model_validate(run["recipe"])
    except ValidationError as error:
        raise UsageError(f"the recipe in {manifest_url(decided_in, RUN_FILE)} cannot be used: {error}") from error


def _copy_decisions(source: str, target: str, shards: list[str]) -> None:
    for shard in shards:
        storage.write_bytes(decisions_url(target, shard), storage.read_bytes(decisions_url(source, shard)))
