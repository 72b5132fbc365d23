"""`avagent status`: how far a run is."""

from __future__ import annotations

from dataclasses import asdict

import click

from avagent.pipelines.console import make_console, tell
from avagent.pipelines.options import LOCATION, json_option
from avagent.runs.status import read_status


@click.command()
@click.argument("output", type=LOCATION)
@json_option
@click.option("--debug", is_flag=True, help="Show tracebacks and all log lines.")
def status(output: str, debug: bool) -> int:  # noqa: ARG001, FBT001  (read by the command line itself; click passes names)
    """Tell how far the run in a folder is, from its files: on whatever runner, and whether or not anyone waits for it.

    \b
    Example:
      avagent status gs://bucket/refined/2026-11-23
    """  # noqa: D301  (click's mark for lines to keep)
    console = make_console()
    found = read_status(output)

    def show() -> None:
        for line in found.lines():
            console.print(line, markup=False, highlight=False)

    tell(console, asdict(found), show)
    return 0
