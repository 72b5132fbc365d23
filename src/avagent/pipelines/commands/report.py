"""`avagent report`: what became of a run, as one page."""

from __future__ import annotations

import click
from pydantic import ValidationError
from rich.console import Console

from avagent import storage
from avagent.core.errors import UsageError
from avagent.pipelines.recipe import Recipe
from avagent.pipelines.request import read_run
from avagent.pipelines.score_curves import score_curves
from avagent.report.make import REPORT_FILE, Made, ReportRequest, make_report

_MEGABYTE = 1_000_000


@click.command()
@click.argument("output")
@click.option("--to", "target", metavar="FILE", help=f"The page; {REPORT_FILE} in the run's folder if left out.")
@click.option("--clips", type=click.IntRange(0), default=60, show_default=True, help="Clips shown.")
@click.option("--key", "keys", multiple=True, metavar="KEY", help="A clip that is shown in any case; may be repeated.")
@click.option("--previous", metavar="FOLDER", help="An earlier run's output folder, to compare with.")
@click.option("--input", "moved", metavar="FOLDER", help="Folder of the input shards, if it is another by now.")
@click.option("--max-mb", type=click.FloatRange(1), default=25.0, show_default=True, help="Size of the page at most.")
@click.option("--debug", is_flag=True, help="Show tracebacks and all log lines.")
def report(output: str, target: str | None, clips: int, keys: tuple[str, ...], **flags: object) -> int:
    """Write one HTML page about a finished run, or about decisions: totals, scores, failures, times, and clips.

    The page holds all that it shows and needs no network: original clips are read from the input and made small.

    \b
    Examples:
      avagent report refined/
      avagent report refined/ --key dog --clips 20 --to dog.html
      avagent report refined/2026-11-28 --previous refined/2026-11-27
    """  # noqa: D301  (click's mark for lines to keep)
    run = read_run(output)
    recipe = run_recipe(run, output)
    previous, moved, megabytes = flags["previous"], flags["moved"], flags["max_mb"]
    request = ReportRequest(
        output=output,
        run=run,
        shards=recipe.shard_options(),
        clips=clips,
        keys=keys,
        max_bytes=int(float(str(megabytes)) * _MEGABYTE),
        previous=None if previous is None else str(previous),
        moved=None if moved is None else str(moved),
        curves=score_curves(recipe),
    )
    made = make_report(request, target or storage.join(output, REPORT_FILE))
    _tell(made)
    return 0


def run_recipe(run: dict[str, object], output: str) -> Recipe:
    """The recipe of a run. Raises UsageError: it is of another version."""
    try:
        return Recipe.model_validate(run["recipe"])
    except ValidationError as error:
        raise UsageError(f"the recipe of the run in {output} cannot be used: {error}") from error


def _tell(made: Made) -> None:
    console = Console(soft_wrap=True)
    for key in made.missing:
        console.print(f"no clip is called {key}", markup=False, highlight=False, style="yellow")
    if made.silent:
        console.print(
            f"the media of {made.silent} of {made.clips} clips cannot be shown; the page says why", highlight=False
        )
    console.print(f"{made.clips} clips, {made.nbytes / _MEGABYTE:.1f} MB", highlight=False)
    console.print(f"report: {storage.canonical(made.url)}", markup=False, highlight=False)
