"""`avagent status`: how far a run is."""

from __future__ import annotations

import click
from rich.console import Console

from avagent.runs.status import read_status


@click.command()
@click.argument("output")
@click.option("--debug", is_flag=True, help="Show tracebacks and all log lines.")
def status(output: str, debug: bool) -> int:  # noqa: ARG001, FBT001  (read by the command line itself; click passes names)
    """Tell how far the run in a folder is, from its files: on whatever runner, and whether or not anyone waits for it.

    \b
    Example:
      avagent status gs://bucket/refined/2026-11-23
    """  # noqa: D301  (click's mark for lines to keep)
    console = Console(soft_wrap=True)
    for line in read_status(output).lines():
        console.print(line, markup=False, highlight=False)
    return 0
