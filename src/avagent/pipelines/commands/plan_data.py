"""`avagent plan-data`: clean shards to training pairs for a planner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click
from rich.console import Console

from avagent import storage
from avagent.core.actions import NOISE_FILTERS
from avagent.core.errors import UsageError
from avagent.core.plan import Plan
from avagent.core.ports import PlanRequest
from avagent.models.llm.admissible import Choice, admissible
from avagent.models.llm.prompt import prompt_fingerprint, render
from avagent.pipelines.beam_options import beam_options
from avagent.pipelines.console import make_console, tell
from avagent.pipelines.datasheet import DATASHEET, Datasheet, write_datasheet
from avagent.pipelines.options import (
    LOCATION,
    BeamCommand,
    dry_run_option,
    json_option,
    own_options,
    recipe_options,
    tell_dry_run,
)
from avagent.pipelines.phase import phase_progress
from avagent.pipelines.progress import Tally
from avagent.pipelines.recipe import Recipe, load_recipe
from avagent.pipelines.run import Session, list_inputs, run_phase
from avagent.pipelines.wiring import Wired, wire
from avagent.records.training_pairs import SKIPPED, Split
from avagent.shards.listing import check_names, list_shards
from avagent.transforms.plan_data import Answers, MakePlanPairs, PairMaker


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDataRequest:
    """What `avagent plan-data` was asked to do.

    Attributes:
        source: folder, glob or shard list of clean clips.
        output: folder.
        recipe: whose captioner, scorer and actions are used.
        per_clip, later_rounds, validation, seed: see :class:`avagent.transforms.plan_data.PairMaker`.
        overwrite: replace what lies in the output folder.
        dry_run: only say what would be done.
        beam: Beam's own arguments.
    """

    source: str
    output: str
    recipe: Recipe
    per_clip: int = 24
    later_rounds: float = 0.25
    validation: float = 0.2
    seed: int = 0
    overwrite: bool = False
    dry_run: bool = False
    beam: tuple[str, ...] = ()


@click.command("plan-data", cls=BeamCommand)
@click.option(
    "--input", "source", type=LOCATION, required=True, help="Folder of clean shards, glob, brace pattern or shard list."
)
@click.option("--output", type=LOCATION, required=True, help="Folder for the pairs and their datasheet.")
@recipe_options
@click.option("--per-clip", type=click.IntRange(1), default=24, show_default=True, help="Sounds made of each clip.")
@click.option(
    "--later-rounds",
    type=click.FloatRange(0, 1),
    default=0.25,
    show_default=True,
    help="Share of the sounds of which a pair of a second round is made too.",
)
@click.option(
    "--validation",
    type=click.FloatRange(0, 1),
    default=0.2,
    show_default=True,
    help="Share of the source recordings held out.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of faults and split.")
@click.option("--overwrite", is_flag=True, help="Replace the pairs that lie in the output folder.")
@dry_run_option
@json_option
@click.option("--debug", is_flag=True, help="Show tracebacks and all log lines.")
@click.pass_context
def plan_data(
    context: click.Context, source: str, output: str, recipe: str, settings: tuple[str, ...], **flags: Any
) -> int:
    """Make training pairs for a planner: faults of known repair are put into clean clips.

    A pair is what a planner is told (captions, measured facts, scores) and the action that mends the sound, found by
    measurement. Clips of one recording (`source` or `sources` in a clip's json) are never spread over training and
    validation.

    \b
    Example:
      avagent plan-data --input clean-shards/ --output pairs/ --per-clip 24 --direct_num_workers=2
    """  # noqa: D301  (click's mark for lines to keep)
    flags.pop("debug")
    request = PlanDataRequest(
        source=source, output=output, recipe=load_recipe(recipe, settings), beam=tuple(context.args), **flags
    )
    return run_plan_data(request, make_console())


def run_plan_data(request: PlanDataRequest, console: Console) -> int:
    """Run it; gives the exit code.

    Raises:
        UsageError: unusable arguments or recipe, or an output folder that holds something.
        MissingModelError: weights or packages are not installed.
    """
    options = beam_options(request.beam, own_options(plan_data))
    shards = list_shards(request.source)
    check_names(shards)
    wired = wire(request.recipe)
    replaced = _replaced(request.output, overwrite=request.overwrite)
    if request.dry_run:
        facts = {"output": request.output, "shards": len(shards), "pairs_per_clip": request.per_clip}
        return tell_dry_run(console, {**facts, "would_remove": replaced})
    for url in replaced:
        storage.remove(url, recursive=True)
    session = Session(output=request.output, wired=wired, options=options, console=console)
    nbytes = sum(shard.nbytes or 0 for shard in list_inputs(shards))
    with phase_progress(options, console, "plan-data", Tally(unit="clips", total_bytes=nbytes)) as progress:
        maker = _maker(request, wired, progress)
        run_phase(session, "pairs", shards, MakePlanPairs(maker, request.output))
    sheet = write_datasheet(request.output, _conditions(request, wired))
    splits = {str(split): asdict(part) for split, part in sheet.splits.items()}
    facts = {"output": storage.canonical(request.output), "splits": splits, "skipped": dict(sheet.skipped)}
    tell(console, facts, lambda: _report(sheet, request.output, console))
    return 0 if sheet.pairs else 1


def single_plans(request: PlanRequest) -> Sequence[Plan]:
    """What a planner may choose that is one action, with its parameters."""
    plans = [
        choice.plan(request)
        for choice in admissible(request)
        if (choice.noise is None) != (choice.coordination is None)
    ]
    return [plan for plan in plans if len(plan.actions) == 1]


def answer_text(kind: str | None) -> str:
    """The answer that chooses one kind of action, or none."""
    if kind is None:
        return Choice().answer
    return (Choice(noise=kind) if kind in NOISE_FILTERS else Choice(coordination=kind)).answer


def _maker(request: PlanDataRequest, wired: Wired, progress: str | None) -> PairMaker:
    return PairMaker(
        captioner=wired.loop.captioner,
        scorer=wired.loop.scorer,
        store=wired.loop.store,
        allowed=wired.loop.allowed,
        answers=Answers(single=single_plans, prompt=render, answer=answer_text),
        per_clip=request.per_clip,
        later_rounds=request.later_rounds,
        validation=request.validation,
        seed=request.seed,
        progress=progress,
    )


def _conditions(request: PlanDataRequest, wired: Wired) -> dict[str, Any]:
    return {
        "recipe": wired.recipe.name,
        "captioner": wired.models["captioner"],
        "scorer": wired.models["scorer"],
        "actions": sorted(wired.loop.allowed),
        "prompt": prompt_fingerprint(),
        "per_clip": request.per_clip,
        "later_rounds": request.later_rounds,
        "validation": request.validation,
        "seed": request.seed,
    }


def _replaced(output: str, *, overwrite: bool) -> list[str]:
    """What is to be removed first. Raises UsageError: not without `--overwrite`, or not by us."""
    parts = [storage.join(output, part) for part in (*Split, SKIPPED)]
    sheets = [storage.join(output, f"{DATASHEET}.{suffix}") for suffix in ("md", "json")]
    known = {storage.canonical(url) for url in (*parts, *sheets)}
    found = [url for part in (output, *parts) for url in storage.list_folder(part)]
    if not found:
        return []
    if not overwrite:
        raise UsageError(f"{output} is not empty: choose another folder, or --overwrite the pairs in it")
    if foreign := [url for url in storage.list_folder(output) if storage.canonical(url) not in known]:
        raise UsageError(f"{output} holds {storage.basename(foreign[0])}, which is none of ours: choose another folder")
    return [url for url in (*parts, *sheets) if storage.exists(url) or storage.list_folder(url)]


def _report(sheet: Datasheet, output: str, console: Console) -> None:
    for split in Split:
        part = sheet.splits[split]
        console.print(f"{split}: {part.pairs} pairs of {part.sources} recordings", highlight=False)
    if sheet.skipped:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(sheet.skipped.items()))
        console.print(f"skipped: {reasons}", highlight=False, markup=False)
    console.print(f"datasheet: {storage.join(output, DATASHEET)}.md", highlight=False, markup=False)
