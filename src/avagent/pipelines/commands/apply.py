"""`avagent apply`: decisions to shards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from pydantic import ValidationError
from rich.console import Console

from avagent import storage
from avagent.core.errors import UsageError
from avagent.core.state import ClipDecision
from avagent.pipelines.beam_options import beam_options
from avagent.pipelines.console import make_console
from avagent.pipelines.options import LOCATION, BeamCommand, dry_run_option, json_option, own_options, tell_dry_run
from avagent.pipelines.planned_run import plan_facts, run_planned
from avagent.pipelines.recipe import Recipe
from avagent.pipelines.request import RefineRequest, read_run, run_identity, run_record
from avagent.pipelines.run import Session, limit_tasks, list_inputs
from avagent.pipelines.summary import conclude_run, run_counts_of, tell_complete
from avagent.pipelines.wiring import wire
from avagent.records.decisions import read_decisions, write_decisions
from avagent.records.manifest import decisions_url, manifest_url
from avagent.records.reviews import ReviewWork, read_review
from avagent.runs.commit import (
    RUN_FILE,
    SUCCESS_FILE,
    Holder,
    check_decided,
    claim_output,
    holder_of,
    is_complete,
)
from avagent.runs.run_plan import RunPlan, ShardTask, Work
from avagent.runs.shard_reports import remove_reports, remove_stale_reports


@click.command(cls=BeamCommand)
@click.option("--decisions", type=LOCATION, required=True, help="Output folder of `avagent refine --decide-only`.")
@click.option("--output", type=LOCATION, help="Folder for the refined shards; the folder of the decisions if left out.")
@click.option("--review", type=LOCATION, metavar="FILE", help="What was saved from `avagent review`; needs --output.")
@click.option("--overwrite", is_flag=True, help="Replace the output of another run.")
@dry_run_option
@json_option
@click.option("--debug", is_flag=True, help="Show tracebacks and all log lines.")
@click.pass_context
def apply(context: click.Context, decisions: str, output: str | None, review: str | None, **flags: bool) -> int:
    """Apply the decisions of an earlier `refine --decide-only`, as they are now: they may have been edited by hand.

    \b
    Examples:
      avagent refine --input shards/ --output refined/ --decide-only
      avagent apply --decisions refined/
      avagent apply --decisions decided/ --review review.json --output refined/
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
    return run_apply(request, run, make_console(), _review(review, request, run))


def run_apply(
    request: RefineRequest, run: Mapping[str, Any], console: Console, review: ReviewWork | None = None
) -> int:
    """Run it; gives the exit code.

    Args:
        request: the folder of the decisions is its `source`.
        run: what `run.json` there says.
        console: for progress.
        review: a person's word on the decisions; None: they are applied as they are.

    Raises:
        UsageError: no decisions there, or an unusable output folder.
    """
    options = beam_options(request.beam, own_options(apply))
    inputs = list_inputs([str(shard["url"]) for shard in run["inputs"]])
    wired = wire(request.recipe)
    identity = run_identity(wired, inputs, request.limit, review.sha256 if review is not None else None)
    if is_complete(request.output, identity) and not request.overwrite:
        console.print(f"{request.output} is complete already: nothing to do (--overwrite applies the decisions again)")
        tell_complete(console, request.output)
        return 0
    tasks = limit_tasks(inputs, request.limit)
    check_decided(request.source, {task.url: task.clips for task in tasks})
    session = Session(output=request.output, wired=wired, options=options, console=console)
    record = run_record(wired, inputs, request)
    if review is not None:
        record = {**record, "review": _looked_through(review, request.source, tasks)}
    plan = RunPlan(identity=identity, work=Work.APPLY, tasks=tuple(tasks), record=record)
    if request.dry_run:
        return tell_dry_run(console, plan_facts(session, plan, inputs, _holder(request, plan)))
    _claim(request, plan, review)
    run_planned(session, plan, inputs)
    return conclude_run(session, run_counts_of(request.output), [task.url for task in tasks])


def _holder(request: RefineRequest, plan: RunPlan) -> Holder:
    if request.output != request.source:
        return holder_of(request.output, plan.identity, shards=_inputs(plan), overwrite=request.overwrite)
    return Holder.ANOTHER_RUN if request.overwrite else Holder.THIS_RUN


def _claim(request: RefineRequest, plan: RunPlan, review: ReviewWork | None) -> None:
    """Make the output folder ready: decisions in it, and no reports that were written by others."""
    if request.output != request.source:
        claim_output(request.output, plan.identity, shards=_inputs(plan), overwrite=request.overwrite)
        _copy_decisions(request.source, request.output, [task.url for task in plan.tasks], review)
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


def _copy_decisions(source: str, target: str, shards: list[str], review: ReviewWork | None) -> None:
    for shard in shards:
        if review is None:
            storage.write_bytes(decisions_url(target, shard), storage.read_bytes(decisions_url(source, shard)))
        else:
            write_decisions(decisions_url(target, shard), _reviewed(review, source, shard))


def _review(url: str | None, request: RefineRequest, run: Mapping[str, Any]) -> ReviewWork | None:
    """Raises UsageError: it cannot be used, or the decisions that were reviewed would be replaced."""
    if url is None:
        return None
    if storage.canonical(request.output) == storage.canonical(request.source):
        raise UsageError("--review needs an --output of its own: the decisions that were reviewed stay as they are")
    return read_review(url, str(run.get("fingerprint")))


def _looked_through(review: ReviewWork, source: str, tasks: Sequence[ShardTask]) -> dict[str, Any]:
    """What the review comes to, for `run.json`, before anything is written. Raises UsageError: it is of others."""
    for task in tasks:
        for _ in _reviewed(review, source, task.url):
            pass
    review.check_met()
    return review.record()


def _reviewed(review: ReviewWork, source: str, shard: str) -> Iterator[ClipDecision]:
    return review.decisions(storage.basename(shard), read_decisions(decisions_url(source, shard)))
