"""The command line: arguments in, exit code out."""

from __future__ import annotations

import importlib
import logging
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import click
from rich.console import Console

from avagent import __version__
from avagent.core.errors import AVAgentError, UsageError
from avagent.pipelines.lost_workers import exit_with_lost_workers

FAILED = 1
UNUSABLE = 2

COMMANDS = {
    "refine": "Repair the sound of every clip where that helps.",
    "apply": "Write the shards of an earlier `refine --decide-only`.",
    "status": "Tell how far a run is.",
    "ingest": "Make shards of recordings, or of an AudioSet or VGGSound list.",
    "convert": "Write WebDataset shards as TFRecord, or back.",
    "replay": "Decide on the dead letters of a run again, and merge them.",
    "inspect": "Show what is in a shard.",
    "plan-data": "Make training pairs for a planner from clean shards.",
    "calibrate": "Find out what a scorer's raw scores mean.",
    "train-planner": "LoRA-tune a planner LLM on such pairs.",
    "doctor": "Check this machine for a recipe, and say what to install.",
}
"""Name -> what the command does. Its module in `commands/` is loaded when used: importing Beam takes seconds."""


_OURS = re.compile(rf"\b{re.escape(AVAgentError.__module__)}\.\w+: (.*)")


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  (click's signature)
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        return getattr(importlib.import_module(f"avagent.pipelines.commands.{name}"), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="avagent")
def commands() -> None:
    """Repairs the sound of audio-visual clips so that it fits, and keeps time with, the picture.

    \b
    Example:
      avagent refine --input shards/ --output refined/
    """  # noqa: D301  (click's mark for lines to keep)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit code: 0 done, 1 failed, 2 unusable arguments, 3 done, but too many failures."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        exit_with_lost_workers(FAILED)
    debug = "--debug" in given
    logging.basicConfig(level=logging.DEBUG if debug else logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    # Libraries warn of what is ours to handle; what we warn of (a licence) is the user's to know.
    logging.getLogger("avagent").setLevel(logging.DEBUG if debug else logging.WARNING)
    return _guarded(lambda: commands.main(given, prog_name="avagent", standalone_mode=False), debug=debug)


def _guarded(run: Callable[[], Any], *, debug: bool) -> int:
    try:
        result = run()
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return UNUSABLE
    except (click.Abort, KeyboardInterrupt):
        return _report("interrupted; run the same command again to go on", FAILED)
    except UsageError as error:
        return _report(str(error), UNUSABLE)
    except AVAgentError as error:
        return _report(_without_step(str(error)), FAILED)
    except Exception as error:  # noqa: BLE001  (the last frame: every error becomes a message and an exit code)
        if debug:
            traceback.print_exc()
        if ours := _ours(error):
            return _report(ours, FAILED)
        return _report(f"{_root(error)} (run with --debug for the traceback)", FAILED)


def _ours(error: BaseException) -> str | None:
    """What a worker said when it stopped the run: runners pass an error on as text."""
    found = _OURS.search(_root(error))
    return _without_step(found.group(1)) if found else None


def _without_step(message: str) -> str:
    """Beam tells the step behind a worker's error."""
    return message.partition(" [while running ")[0]


def _root(error: BaseException) -> str:
    """The first line that says what happened: Beam wraps a worker's error in layers of text."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in str(error).strip().splitlines() if line.strip()] or [""]
    return f"{type(error).__name__}: {lines[-1].strip()}"


def _report(message: str, code: int) -> int:
    Console(stderr=True, soft_wrap=True).print(f"avagent: {message}", style="red", highlight=False, markup=False)
    return code


if __name__ == "__main__":
    sys.exit(main())
