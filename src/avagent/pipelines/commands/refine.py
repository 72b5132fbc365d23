"""`avagent refine`: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console

from avagent.pipelines.beam_options import beam_options, check_goes_on
from avagent.pipelines.console import make_console, tell
from avagent.pipelines.options import (
    LOCATION,
    BeamCommand,
    dry_run_option,
    json_option,
    own_options,
    recipe_options,
    tell_dry_run,
)
from avagent.pipelines.planned_run import plan_facts, run_planned
from avagent.pipelines.recipe import load_recipe
from avagent.pipelines.refresh import (
    find_previous,
    is_version,
    print_changes,
    print_published,
    publish_if_pending,
    with_earlier,
)
from avagent.pipelines.request import RefineRequest, read_run, run_identity, run_record
from avagent.pipelines.run import Session, limit_tasks, list_inputs
from avagent.pipelines.summary import conclude_run, run_counts_of, tell_complete
from avagent.pipelines.wiring import for_shards, wire
from avagent.runs.commit import claim_output, holder_of, is_complete
from avagent.runs.finish import remove_scaffold
from avagent.runs.run_plan import RunPlan, ShardTask, Work
from avagent.shards.listing import check_names, list_shards


@click.command(cls=BeamCommand)
@click.option(
    "--input", "source", type=LOCATION, required=True, help="Folder of shards, glob, brace pattern or shard list."
)
@click.option(
    "--output", type=LOCATION, required=True, help="Folder for the refined shards, manifest and dead letters."
)
@click.option(
    "--previous",
    metavar="FOLDER|latest",
    help="Complete output of an earlier run: what did not change since is taken over. latest: what latest.json beside"
    " --output names; a finished run puts itself there.",
)
@recipe_options
@click.option("--max-rounds", type=click.IntRange(0, 20), help="Rounds at most (recipe: policy.max_rounds).")
@click.option("--audio-codec", help="Codec of repaired sound (recipe: output.audio_codec); flac: lossless.")
@click.option("--limit", type=click.IntRange(1), help="Only the first clips, over all shards.")
@click.option("--decide-only", is_flag=True, help="Write decisions to look at; `avagent apply` applies them.")
@click.option("--no-wait", is_flag=True, help="Leave the run to the runner; `avagent status` tells how far it is.")
@click.option("--overwrite", is_flag=True, help="Replace the output of another run.")
@dry_run_option
@json_option
@click.option("--debug", is_flag=True, help="Show tracebacks and all log lines.")
@click.pass_context
def refine(
    context: click.Context, source: str, output: str, recipe: str, settings: tuple[str, ...], **flags: Any
) -> int:
    """Repair the sound of every clip where that helps.

    Options that are not ours go to Beam: --runner, --direct_num_workers, ...

    \b
    Examples:
      avagent refine --input shards/ --output refined/
      avagent refine --input shards/ --output refined/ --dry-run
      avagent refine --input 'gs://bucket/train-{000000..000099}.tar' --output gs://bucket/refined --decide-only
      avagent refine --input gs://bucket/shards --output gs://bucket/refined/2026-11-23 --previous latest
      avagent refine --input shards/ --output refined/ --direct_num_workers=2 --direct_running_mode=multi_processing
    """  # noqa: D301  (click's mark for lines to keep)
    named = {"policy.max_rounds": flags["max_rounds"], "output.audio_codec": flags["audio_codec"]}
    overrides = [*settings, *(f"{key}={value}" for key, value in named.items() if value is not None)]
    request = RefineRequest(
        source=source,
        output=output,
        recipe=load_recipe(recipe, overrides),
        previous=flags["previous"],
        limit=flags["limit"],
        decide_only=flags["decide_only"],
        overwrite=flags["overwrite"],
        wait=not flags["no_wait"],
        dry_run=flags["dry_run"],
        beam=tuple(context.args),
    )
    return run_refine(request, make_console())


def run_refine(request: RefineRequest, console: Console) -> int:
    """Run it; gives the exit code.

    Raises:
        UsageError: unusable arguments, recipe or output folder.
        MissingModelError: weights or packages are not installed.
    """
    options = beam_options(request.beam, own_options(refine))
    if not request.wait:
        check_goes_on(options)
    shards = list_shards(request.source)
    check_names(shards)
    inputs = list_inputs(shards)
    wired = for_shards(wire(request.recipe, source=request.source), len(inputs))
    identity = run_identity(wired, inputs, request.limit)
    if is_complete(request.output, identity) and not request.overwrite:
        return _complete_already(request, console)
    previous = find_previous(request)
    session = Session(output=request.output, wired=wired, options=options, console=console)
    tasks = limit_tasks(inputs, request.limit)
    if previous is not None:
        tasks = with_earlier(tasks, inputs, previous, session)
    plan = RunPlan(
        identity=identity,
        work=Work.DECIDE if request.decide_only else Work.REFINE,
        tasks=tuple(tasks),
        record=run_record(wired, inputs, request),
        previous=None if previous is None else previous.output,
        publish=is_version(request),
    )
    if request.dry_run:
        holder = holder_of(request.output, identity, shards=shards, overwrite=request.overwrite)
        return tell_dry_run(console, plan_facts(session, plan, inputs, holder))
    claim_output(request.output, identity, shards=shards, overwrite=request.overwrite)
    if not run_planned(session, plan, inputs, wait=request.wait):
        console.print(f"submitted; how far it is: avagent status {request.output}", markup=False, highlight=False)
        tell(console, {"output": request.output, "submitted": True}, lambda: None)
        return 0
    return _conclude(session, request, tasks)


def _complete_already(request: RefineRequest, console: Console) -> int:
    console.print(f"{request.output} is complete already: same input, recipe and models; nothing to do")
    if not request.dry_run:
        remove_scaffold(request.output)
        publish_if_pending(request, console)
    tell_complete(console, request.output)
    return 0


def _conclude(session: Session, request: RefineRequest, tasks: Sequence[ShardTask]) -> int:
    if refresh := read_run(request.output).get("refresh"):
        print_changes(session.console, refresh)
    code = conclude_run(session, run_counts_of(request.output), [task.url for task in tasks])
    if code == 0 and is_version(request):
        print_published(request.output, session.console)
    return code
