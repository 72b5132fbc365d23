"""`avagent calibrate`: shards to a calibration file for a scorer."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import click
from rich.console import Console
from rich.table import Table

from avagent import storage
from avagent.core.calibration import Calibration, Calibrations
from avagent.core.calibration_fit import PairKind, ScoredPair, fit_calibrations
from avagent.core.errors import ParameterError, RecipeError, UsageError
from avagent.core.ports import RawScorer
from avagent.models.registry import build_scorer
from avagent.pipelines.beam_options import beam_options
from avagent.pipelines.calibration_plot import plot_calibrations, require_matplotlib
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
from avagent.pipelines.phase import Phase, run_with_progress
from avagent.pipelines.recipe import Recipe, load_recipe
from avagent.pipelines.wiring import SCORER, SCORER_PORTS, scorer_section
from avagent.records.calibration_files import read_pairs, write_calibrations
from avagent.runs.run_plan import ShardTask
from avagent.shards.listing import list_shards
from avagent.transforms.calibrate import Sampling, ScorePairs, Scoring
from avagent.transforms.loop import PortLoader
from avagent.transforms.store import StoreConfig

CHANCE = 0.5


@click.command(cls=BeamCommand)
@click.option(
    "--input",
    "source",
    type=LOCATION,
    required=True,
    help="Folder of shards, glob, brace pattern or shard list: clean.",
)
@click.option(
    "--output", type=LOCATION, required=True, help="The calibration file (JSON); pairs and picture are put beside it."
)
@recipe_options
@click.option("--pairs", type=click.IntRange(10), default=300, show_default=True, help="Matched pairs (clips) at most.")
@click.option(
    "--port",
    type=click.Choice(SCORER_PORTS),
    default=SCORER,
    show_default=True,
    help="Which scorer of the recipe.",
)
@click.option("--no-plot", is_flag=True, help="Write no picture (it needs matplotlib).")
@dry_run_option
@json_option
@click.option("--debug", is_flag=True, help="Show tracebacks and all log lines.")
@click.pass_context
def calibrate(
    context: click.Context, source: str, output: str, recipe: str, settings: tuple[str, ...], **flags: Any
) -> int:
    """Find out what a recipe's scorer's raw scores mean, on clips whose sound fits and is in time.

    Every clip is scored as it is, with other clips' sounds, out of time, and with changes that nobody hears. The file
    holds the map from raw score to the probability of a match; a recipe names it as `scorer.calibration`.

    \b
    Examples:
      avagent calibrate --input clean/ --recipe my.yaml --output calibration.json
      avagent calibrate --input clean/ --recipe my.yaml --port evaluation_scorer --pairs 1000 --output held-out.json
    """  # noqa: D301  (click's mark for lines to keep)
    request = CalibrationRequest(
        source=source,
        output=output,
        recipe=load_recipe(recipe, settings),
        pairs=flags["pairs"],
        port=flags["port"],
        plot=not flags["no_plot"],
        dry_run=flags["dry_run"],
        beam=tuple(context.args),
    )
    return run_calibrate(request, make_console())


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRequest:
    """What `avagent calibrate` was asked to do.

    Attributes:
        source: folder, glob or shard list.
        output: the calibration file.
        recipe: validated.
        pairs: matched pairs at most.
        port: one of SCORER_PORTS.
        plot: whether to draw a picture.
        dry_run: only say what would be done.
        beam: Beam's own arguments.
    """

    source: str
    output: str
    recipe: Recipe
    pairs: int = 300
    port: str = SCORER
    plot: bool = True
    dry_run: bool = False
    beam: tuple[str, ...] = ()


def run_calibrate(request: CalibrationRequest, console: Console) -> int:
    """Run it; gives the exit code.

    Raises:
        UsageError: unusable arguments or recipe; too few clips that the scorer can judge.
        MissingModelError: weights or packages are not installed.
    """
    options = beam_options(request.beam, own_options(calibrate))
    if not request.output.endswith(".json"):
        raise UsageError(f"--output is the name of a .json file, got {request.output!r}")
    if request.plot:
        require_matplotlib()
    shards = list_shards(request.source)
    section = scorer_section(request.recipe, request.port)
    build = partial(build_scorer, section.name, dict(section.options))
    scorer = raw_scorer(build(), section.name)
    pairs_url = f"{request.output.removesuffix('.json')}.pairs.jsonl"
    if request.dry_run:
        written = [request.output, pairs_url, *([_picture(request)] if request.plot else [])]
        facts = {"scorer": section.name, "shards": len(shards), "pairs_at_most": request.pairs}
        return tell_dry_run(console, {**facts, "would_write": written})
    scoring = Scoring(
        scorer=PortLoader(cast("Any", build)),
        store=StoreConfig(
            max_bytes=request.recipe.worker.cache_mib << 20,
            run=uuid.uuid4().hex,
            shards=request.recipe.shard_options(),
        ),
        sampling=Sampling(clips=request.pairs),
    )
    folder = storage.parent(request.output)
    phase = Phase(
        title="calibrate",
        unit="clips",
        total=None,
        transform=lambda path: ScorePairs(replace(scoring, progress=path), folder, pairs_url),
    )
    run_with_progress(phase, [ShardTask(url=shard) for shard in shards], options, console)
    pairs = list(read_pairs(pairs_url))
    fitted = fit(pairs, scorer, section.name, request)
    write_calibrations(request.output, fitted)
    if request.plot:
        storage.write_bytes(_picture(request), plot_calibrations(fitted, pairs))
    tell(console, _facts(fitted, pairs, request), lambda: _report(fitted, pairs, request, console))
    return 0


def _facts(fitted: Calibrations, pairs: Sequence[ScoredPair], request: CalibrationRequest) -> dict[str, Any]:
    curves = {name: _figures(found) for name, found in _curves(fitted).items()}
    facts = {"scorer": fitted.scorer, "port": request.port, "output": request.output, "pairs": len(pairs)}
    return {**facts, **curves}


def _picture(request: CalibrationRequest) -> str:
    return f"{request.output.removesuffix('.json')}.png"


def _curves(fitted: Calibrations) -> dict[str, Calibration | None]:
    return {"alignment": fitted.alignment, "synchronization": fitted.synchronization}


def _figures(found: Calibration | None) -> dict[str, Any] | None:
    """What the table tells of a score; None: too few clips could be judged."""
    if found is None:
        return None
    figures = ("matched", "mismatched", "auc", "auc_low", "auc_high", "min_gain")
    return {name: getattr(found, name) for name in figures}


def raw_scorer(scorer: Any, name: str) -> RawScorer:
    """The same, if it can be calibrated. Raises RecipeError."""
    if not all(hasattr(scorer, part) for part in ("model_fingerprint", "lags_ms", "raw", "calibrated")):
        raise RecipeError(f"scorer {name!r} gives no raw scores, so it cannot be calibrated")
    return scorer


def fit(pairs: Sequence[ScoredPair], scorer: RawScorer, name: str, request: CalibrationRequest) -> Calibrations:
    """Curves, AUC and margins. Raises UsageError: too few clips that could be judged."""
    try:
        return fit_calibrations(
            pairs,
            scorer=name,
            model=scorer.model_fingerprint,
            source=f"{request.pairs} clips at most of {request.source}",
            finish=scorer.calibrated,
        )
    except ParameterError as error:
        raise UsageError(f"{request.source}: {error}") from error


def _report(fitted: Calibrations, pairs: Sequence[ScoredPair], request: CalibrationRequest, console: Console) -> None:
    clips = sum(pair.kind is PairKind.MATCHED for pair in pairs)
    table = Table(title=f"{fitted.scorer}: {clips} clips, {len(pairs)} pairs", title_justify="left")
    for column in ("score", "matched", "against", "AUC", "95% interval", "margin"):
        table.add_column(column, justify="left" if column == "score" else "right")
    for name, found in _curves(fitted).items():
        if found is None:
            table.add_row(name, "too few", "", "", "", "")
            continue
        interval = f"{found.auc_low:.3f} to {found.auc_high:.3f}"
        table.add_row(
            name, str(found.matched), str(found.mismatched), f"{found.auc:.3f}", interval, f"{found.min_gain:.3f}"
        )
    console.print(table)
    for found in _curves(fitted).values():
        if found is not None and (found.auc_low or 0.0) <= CHANCE:
            console.print(
                f"{found.name}: the interval reaches 0.5, so on these clips the scorer does not tell what fits from"
                " what does not; more clips (--pairs) or another scorer may",
                style="yellow",
            )
    console.print(
        f"written: {request.output}; name it in the recipe as {request.port}.calibration", markup=False, highlight=False
    )
