"""How a command speaks: to people, or to programs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console

AS_JSON = "avagent.as_json"
JSON_LOGS = "avagent.json_logs"
"""Of a click context's `meta`: what the options `--json` and `--log-format` said."""


class ProgramConsole(Console):
    """For what is told on the way when a program listens: standard output is left to the result, which is JSON."""


def make_console() -> Console:
    """Where the running command tells what it does: standard output, or standard error where a program listens."""
    context = click.get_current_context(silent=True)
    meta = {} if context is None else context.meta
    if meta.get(JSON_LOGS):
        return ProgramConsole(file=_LogLines(), force_terminal=False, soft_wrap=True)
    if meta.get(AS_JSON):
        return ProgramConsole(stderr=True, soft_wrap=True)
    return Console(soft_wrap=True)


def tell(console: Console, found: Mapping[str, Any] | Sequence[Any], show: Callable[[], None]) -> None:
    """The result of a command: JSON on standard output where a program listens, else whatever `show` prints."""
    if isinstance(console, ProgramConsole):
        click.echo(json.dumps(found, ensure_ascii=False, indent=2, default=str))
    else:
        show()


class _LogLines(io.StringIO):
    """A file whose lines become log records."""

    def __init__(self) -> None:
        super().__init__()
        self._rest = ""

    def write(self, text: str, /) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                logging.getLogger("avagent.progress").info(line)
        return len(text)
