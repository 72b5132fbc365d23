"""`avagent refine`: the main job."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from avagent.pipelines.apply_phase import apply_phase
from avagent.pipelines.beam_options import beam_options
from avagent.pipelines.decide_phase import decide_phase
from avagent.pipelines.options import BEAM_CONTEXT, own_options, recipe_options
from avagent.pipelines.recipe import load_recipe
from avagent.pipelines.refresh import (
    carry_phase,
    find_previous,
    publish_if_pending,
    publish_version,
    report_changes,
    with_earlier,
)
from avagent.pipelines.request import RefineRequest, run_identity, run_record
from avagent.pipelines.run import Session, commit_decisions, commit_run, limit_tasks, list_inputs
from avagent.pipelines.summary import conclude_run
from avagent.pipelines.wiring import for_shards, wire
from avagent.runs.commit import claim_output, is_complete
from avagent.shards.listing import check_names, list_shards


@click.command(context_settings=BEAM_CONTEXT)
@click.option("--input", "source", required=True, help="Folder of shards, glob, brace pattern or shard list.")
@click.option("--output", required=True, help="Folder for the refined shards, manifest and dead letters.")
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
@click.option("--overwrite", is_flag=True, help="Replace the output of another run.")
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
        beam=tuple(context.args),
    )
    return run_refine(request, Console(soft_wrap=True))


def run_refine(request: RefineRequest, console: Console) -> int:
    """Run it; gives the exit code.

    Raises:
        UsageError: unusable arguments, recipe or output folder.
        MissingModelError: weights or packages are not installed.
    """
    options = beam_options(request.beam, own_options(refine))
    shards = list_shards(request.source)
    check_names(shards)
    inputs = list_inputs(shards)
    wired = for_shards(wire(request.recipe, source=request.source), len(inputs))
    identity = run_identity(wired, inputs, request.limit)
    if is_complete(request.output, identity) and not request.overwrite:
        console.print(f"{request.output} is complete already: same input, recipe and models; nothing to do")
        publish_if_pending(request, console)
        return 0
    previous = find_previous(request)
    claim_output(request.output, identity, shards=shards, overwrite=request.overwrite)
    session = Session(output=request.output, wired=wired, options=options, console=console)
    tasks = limit_tasks(inputs, request.limit)
    record = dict(run_record(wired, inputs, request))
    if previous is not None:
        tasks = with_earlier(tasks, inputs, previous, session)
        carry_phase(session, tasks, decisions_only=request.decide_only)
    decide_phase(session, tasks, inputs)
    reports = [] if request.decide_only else apply_phase(session, tasks)
    if previous is not None:
        record["refresh"] = report_changes(session, tasks, previous)
    counts = (
        commit_decisions(session, tasks, record) if request.decide_only else commit_run(session, tasks, reports, record)
    )
    code = conclude_run(session, counts, [task.url for task in tasks])
    if code == 0:
        publish_version(request, console)
    return code
