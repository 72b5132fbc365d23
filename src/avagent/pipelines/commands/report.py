"""`avagent report`: what became of a run, as one page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from avagent import storage
from avagent.pipelines.console import make_console, tell
from avagent.pipelines.options import LOCATION, json_option
from avagent.pipelines.request import read_run
from avagent.pipelines.score_curves import run_recipe, score_curves
from avagent.report.make import REPORT_FILE, Made, ReportRequest, make_report

_MEGABYTE = 1_000_000


@click.command()
@click.argument("output", type=LOCATION)
@click.option(
    "--to", "target", type=LOCATION, metavar="FILE", help=f"The page; {REPORT_FILE} in the run's folder if left out."
)
@click.option("--clips", type=click.IntRange(0), default=60, show_default=True, help="Clips shown.")
@click.option("--key", "keys", multiple=True, metavar="KEY", help="A clip that is shown in any case; may be repeated.")
@click.option("--previous", type=LOCATION, metavar="FOLDER", help="An earlier run's output folder, to compare with.")
@click.option(
    "--input", "moved", type=LOCATION, metavar="FOLDER", help="Folder of the input shards, if it is another by now."
)
@click.option("--max-mb", type=click.FloatRange(1), default=25.0, show_default=True, help="Size of the page at most.")
@json_option
@click.option("--debug", is_flag=True, help="Show tracebacks and all log lines.")
def report(output: str, target: str | None, clips: int, keys: tuple[str, ...], **flags: Any) -> int:
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
    request = ReportRequest(
        output=output,
        run=run,
        shards=recipe.shard_options(),
        clips=clips,
        keys=keys,
        max_bytes=int(flags["max_mb"] * _MEGABYTE),
        previous=flags["previous"],
        moved=flags["moved"],
        curves=score_curves(recipe),
    )
    made = make_report(request, target or storage.join(output, REPORT_FILE))
    tell(make_console(), asdict(made), lambda: _show(made))
    return 0


def _show(made: Made) -> None:
    console = make_console()
    for key in made.missing:
        console.print(f"no clip is called {key}", markup=False, highlight=False, style="yellow")
    if made.silent:
        console.print(
            f"the media of {made.silent} of {made.clips} clips cannot be shown; the page says why", highlight=False
        )
    console.print(f"{made.clips} clips, {made.nbytes / _MEGABYTE:.1f} MB", highlight=False)
    console.print(f"report: {storage.canonical(made.url)}", markup=False, highlight=False)
