"""`avagent review`: a page on which a person accepts and rejects what the loop decided."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from avagent import storage
from avagent.pipelines.console import make_console, tell
from avagent.pipelines.options import LOCATION, json_option
from avagent.pipelines.request import read_run
from avagent.pipelines.score_curves import run_recipe, score_curves
from avagent.report.make import REVIEW_FILE, ReportRequest, make_report

_MEGABYTE = 1_000_000


@click.command()
@click.argument("output", type=LOCATION)
@click.option(
    "--to", "target", type=LOCATION, metavar="FILE", help=f"The page; {REVIEW_FILE} in the run's folder if left out."
)
@click.option("--clips", type=click.IntRange(1), default=500, show_default=True, help="Edited clips shown at most.")
@click.option("--input", "moved", type=LOCATION, metavar="FOLDER", help="Where the input shards are, if moved.")
@click.option("--max-mb", type=click.FloatRange(1), default=100.0, show_default=True, help="Size of the page at most.")
@json_option
@click.option("--debug", is_flag=True, help="Show tracebacks and all log lines.")
def review(output: str, target: str | None, clips: int, **flags: Any) -> int:
    """Write a page on which to accept or reject the edits of `refine --decide-only`, by clip and by rules.

    Open it in a browser; it saves a small file, review.json, which `avagent apply --review` obeys.

    \b
    Examples:
      avagent refine --input shards/ --output decided/ --decide-only
      avagent review decided/
      avagent apply --decisions decided/ --review review.json --output refined/
    """  # noqa: D301  (click's mark for lines to keep)
    run = read_run(output)
    recipe = run_recipe(run, output)
    request = ReportRequest(
        output=output,
        run=run,
        shards=recipe.shard_options(),
        clips=clips,
        max_bytes=int(flags["max_mb"] * _MEGABYTE),
        moved=flags["moved"],
        curves=score_curves(recipe),
        review=True,
    )
    made = make_report(request, target or storage.join(output, REVIEW_FILE))
    console = make_console()

    def show() -> None:
        console.print(f"{made.clips} edited clips, {made.nbytes / _MEGABYTE:.1f} MB", highlight=False)
        console.print(f"open in a browser: {storage.canonical(made.url)}", markup=False, highlight=False)

    tell(console, asdict(made), show)
    return 0
