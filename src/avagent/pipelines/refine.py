"""`avagent refine`: the main job."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console

from avagent import __version__
from avagent.core.state import Outcome
from avagent.io.commit import claim_output, is_complete
from avagent.io.manifest import ManifestCounts
from avagent.io.shards import check_names, list_shards
from avagent.pipelines.beam_options import beam_options
from avagent.pipelines.options import BEAM_CONTEXT, own_options, recipe_options
from avagent.pipelines.recipe import Recipe, load_recipe
from avagent.pipelines.run import (
    InputShard,
    Session,
    apply_phase,
    commit_decisions,
    commit_run,
    decide_phase,
    limit_tasks,
    list_inputs,
)
from avagent.pipelines.summary import exit_code, print_summary
from avagent.pipelines.wiring import Wired, wire


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineRequest:
    """What `avagent refine` was asked to do.

    Attributes:
        source: folder, glob or shard list.
        output: folder.
        recipe: validated.
        limit: clips at most, over all shards; None: all.
        decide_only: stop before shards are rewritten.
        overwrite: replace another run's output.
        beam: Beam's own arguments.
    """

    source: str
    output: str
    recipe: Recipe
    limit: int | None = None
    decide_only: bool = False
    overwrite: bool = False
    beam: tuple[str, ...] = ()


@click.command(context_settings=BEAM_CONTEXT)
@click.option("--input", "source", required=True, help="Folder of shards, glob, brace pattern or shard list.")
@click.option("--output", required=True, help="Folder for the refined shards, manifest and dead letters.")
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
      avagent refine --input shards/ --output refined/ --direct_num_workers=2 --direct_running_mode=multi_processing
    """  # noqa: D301  (click's mark for lines to keep)
    named = {"policy.max_rounds": flags["max_rounds"], "output.audio_codec": flags["audio_codec"]}
    overrides = [*settings, *(f"{key}={value}" for key, value in named.items() if value is not None)]
    request = RefineRequest(
        source=source,
        output=output,
        recipe=load_recipe(recipe, overrides),
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
    wired = wire(request.recipe)
    identity = run_identity(wired, inputs, request.limit)
    if is_complete(request.output, identity) and not request.overwrite:
        console.print(f"{request.output} is complete already: same input, recipe and models; nothing to do")
        return 0
    claim_output(request.output, identity, shards=shards, overwrite=request.overwrite)
    session = Session(output=request.output, wired=wired, options=options, console=console)
    tasks = limit_tasks(inputs, request.limit)
    record = run_record(wired, inputs, request)
    decide_phase(session, tasks, inputs)
    if request.decide_only:
        counts = commit_decisions(session, tasks, record)
    else:
        counts = commit_run(session, apply_phase(session, tasks), record)
    return conclude_run(session, counts, [task.url for task in tasks])


def conclude_run(session: Session, counts: ManifestCounts, shards: Sequence[str]) -> int:
    """Print the summary; gives the exit code."""
    print_summary(session, counts, shards)
    failed = dict(counts.outcomes).get(Outcome.FAILED, 0)
    return exit_code(failed, counts.clips, session.wired.recipe.max_failure_ratio)


def run_identity(wired: Wired, inputs: Sequence[InputShard], limit: int | None) -> str:
    """SHA-256 of all that the output depends on, as far as it can be told without reading the shards."""
    content = {
        "fingerprint": wired.provenance.fingerprint,
        "inputs": [[shard.url, shard.nbytes] for shard in inputs],
        "limit": limit,
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def run_record(wired: Wired, inputs: Sequence[InputShard], request: RefineRequest) -> Mapping[str, Any]:
    """What `run.json` says besides counts and timings."""
    return {
        "avagent": __version__,
        "recipe": wired.recipe.model_dump(mode="json"),
        "fingerprint": wired.provenance.fingerprint,
        "models": dict(wired.models),
        "policy": {
            "min_gain_alignment": wired.loop.policy.min_gain_alignment,
            "min_gain_synchronization": wired.loop.policy.min_gain_synchronization,
        },
        "inputs": [{"url": shard.url, "bytes": shard.nbytes} for shard in inputs],
        "limit": request.limit,
        "decide_only": request.decide_only,
        "beam": list(request.beam),
    }
