"""`avagent apply`: decisions to shards."""

from __future__ import annotations

from typing import Any

import click
from pydantic import ValidationError
from rich.console import Console

from avagent import storage
from avagent.core.errors import UsageError
from avagent.pipelines.beam_options import beam_options
from avagent.pipelines.options import BEAM_CONTEXT, own_options
from avagent.pipelines.planned_run import run_counts_of, run_planned
from avagent.pipelines.recipe import Recipe
from avagent.pipelines.request import RefineRequest, read_run, run_identity, run_record
from avagent.pipelines.run import Session, limit_tasks, list_inputs
from avagent.pipelines.summary import conclude_run
from avagent.pipelines.wiring import wire
from avagent.records.manifest import decisions_url, manifest_url
from avagent.runs.commit import RUN_FILE, SUCCESS_FILE, check_decided, claim_output, is_complete
from avagent.runs.run_plan import RunPlan, Work
from avagent.runs.shard_reports import remove_reports, remove_stale_reports


@click.command(context_settings=BEAM_CONTEXT)
@click.option("--decisions", required=True, help="Output folder of `avagent refine --decide-only`.")
@click.option("--output", help="Folder for the refined shards; the folder of the decisions if left out.")
@click.option("--overwrite", is_flag=True, help="Replace the output of another run.")
@click.option("--debug", is_flag=True, help="Show tracebacks and all log lines.")
@click.pass_context
def apply(context: click.Context, decisions: str, output: str | None, **flags: bool) -> int:
    """Apply the decisions of an earlier `refine --decide-only`, as they are now: they may have been edited by hand.

    \b
    Examples:
      avagent refine --input shards/ --output refined/ --decide-only
      avagent apply --decisions refined/
    """  # noqa: D301  (click's mark for lines to keep)
    return run_apply(decisions, output or decisions, tuple(context.args), overwrite=flags["overwrite"])


def run_apply(decided_in: str, output: str, beam: tuple[str, ...], *, overwrite: bool) -> int:
    """Run it; gives the exit code.

    Raises:
        UsageError: no decisions there, or an unusable output folder.
    """
    options = beam_options(beam, own_options(apply))
    run = read_run(decided_in)
    request = _request(run, decided_in, output, beam)
    inputs = list_inputs([str(shard["url"]) for shard in run["inputs"]])
    wired = wire(request.recipe)
    identity = run_identity(wired, inputs, request.limit)
    if is_complete(output, identity) and not overwrite:
        Console(soft_wrap=True).print(
            f"{output} is complete already: nothing to do (--overwrite applies the decisions again)"
        )
        return 0
    tasks = limit_tasks(inputs, request.limit)
    check_decided(decided_in, {task.url: task.clips for task in tasks})
    if output != decided_in:
        claim_output(output, identity, shards=[shard.url for shard in inputs], overwrite=overwrite)
        _copy_decisions(decided_in, output, [task.url for task in tasks])
    storage.remove(storage.join(output, SUCCESS_FILE))
    if overwrite:
        remove_reports(output)
    else:
        # The decisions may have been edited since an earlier try.
        remove_stale_reports(output, [shard.url for shard in inputs])
    session = Session(output=output, wired=wired, options=options, console=Console(soft_wrap=True))
    record = run_record(wired, inputs, request)
    plan = RunPlan(identity=identity, work=Work.APPLY, tasks=tuple(tasks), record=record)
    run_planned(session, plan, inputs)
    return conclude_run(session, run_counts_of(output), [task.url for task in tasks])


def _request(run: dict[str, Any], decided_in: str, output: str, beam: tuple[str, ...]) -> RefineRequest:
    try:
        recipe = Recipe.model_validate(run["recipe"])
    except ValidationError as error:
        raise UsageError(f"the recipe in {manifest_url(decided_in, RUN_FILE)} cannot be used: {error}") from error
    return RefineRequest(source=decided_in, output=output, recipe=recipe, limit=run.get("limit"), beam=beam)


def _copy_decisions(source: str, target: str, shards: list[str]) -> None:
    for shard in shards:
        storage.write_bytes(decisions_url(target, shard), storage.read_bytes(decisions_url(source, shard)))
