"""The command line: arguments in, exit code out."""

from __future__ import annotations

import difflib
import importlib
import logging
import re
import shlex
import sys
import traceback
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem
from rich.console import Console

from avagent import __version__
from avagent.core.errors import AVAgentError, UsageError
from avagent.pipelines.console import JSON_LOGS
from avagent.pipelines.logs import FORMATS, json_logs, set_up_logs
from avagent.pipelines.lost_workers import exit_with_lost_workers, hush_when_interrupted, was_interrupted

FAILED = 1
UNUSABLE = 2

COMMANDS = {
    "refine": "Repair the sound of every clip where that helps.",
    "apply": "Write the shards of an earlier `refine --decide-only`.",
    "status": "Tell how far a run is.",
    "ingest": "Make shards of recordings, or of an AudioSet or VGGSound list.",
    "convert": "Write WebDataset shards as TFRecord, or back.",
    "replay": "Decide on the dead letters of a run again, and merge them.",
    "report": "Write one HTML page about a run, with clips to look at and listen to.",
    "review": "Write a page on which to accept and reject decisions, for `apply --review`.",
    "inspect": "Show what is in a shard.",
    "verify": "Check an output folder against its own records.",
    "plan-data": "Make training pairs for a planner from clean shards.",
    "calibrate": "Find out what a scorer's raw scores mean.",
    "train-planner": "LoRA-tune a planner LLM on such pairs.",
    "doctor": "Check this machine for a recipe, and say what to install.",
    "completion": "Print what makes a shell complete avagent's commands and options.",
}
"""Name -> what the command does. Its module in `commands/` is loaded when used: importing Beam takes seconds."""


RESUMED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("refine", "apply", "ingest", "convert", "replay"), ()),
    "train-planner": ("--resume",),
}
REPEATED: dict[str, tuple[str, ...]] = {"calibrate": (), "plan-data": ("--overwrite",)}
"""Commands that go on where they were, or begin again -> what is added when one that was interrupted is run again."""

_OURS = re.compile(rf"\b{re.escape(AVAgentError.__module__)}\.\w+: (.*)")


class _Commands(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) if near else error from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """As click's, but without loading each command to see whether it is hidden."""
        names = [CompletionItem(name, help=COMMANDS[name]) for name in COMMANDS if name.startswith(incomplete)]
        return names or click.Command.shell_complete(self, ctx, incomplete)

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


def _log_format(context: click.Context, _parameter: click.Parameter, value: str) -> None:
    if value == "json":
        context.meta[JSON_LOGS] = True
        set_up_logs(value, debug=logging.getLogger().level == logging.DEBUG)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="avagent")
@click.option(
    "--log-format",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    envvar="AVAGENT_LOG_FORMAT",
    expose_value=False,
    is_eager=True,
    callback=_log_format,
    help="json: log lines, progress and errors are a JSON object a line on standard error, and results are JSON.",
)
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
        exit_with_lost_workers(FAILED, interrupted=_interrupted(given))
        hush_when_interrupted()
    debug = "--debug" in given
    set_up_logs("text", debug=debug)
    return _guarded(given, debug=debug)


def _guarded(given: list[str], *, debug: bool) -> int:
    try:
        result = commands.main(list(given), prog_name="avagent", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        if json_logs():
            return _report(error.format_message(), UNUSABLE)
        error.show()
        return UNUSABLE
    except (click.Abort, KeyboardInterrupt):
        return _report(_interrupted(given), FAILED)
    except UsageError as error:
        return _report(str(error), UNUSABLE)
    except AVAgentError as error:
        return _report(_without_step(str(error)), FAILED)
    except Exception as error:  # noqa: BLE001  (the last frame: every error becomes a message and an exit code)
        if was_interrupted():  # Beam wraps what stops its work.
            return _report(_interrupted(given), FAILED)
        if debug:
            traceback.print_exc()
        if ours := _ours(error):
            return _report(ours, FAILED)
        return _report(f"{_root(error)} (run with --debug for the traceback)", FAILED)


def _interrupted(given: Sequence[str]) -> str:
    """What to do after Ctrl-C."""
    command = next((word for word in given if word in COMMANDS), "")
    if command in RESUMED:
        what, options = "what is done is kept; go on", RESUMED[command]
    elif command in REPEATED:
        what, options = "start it again", REPEATED[command]
    else:
        return "interrupted"
    more = [option for option in options if option not in given]
    return f"interrupted; {what} with: {shlex.join(['avagent', *given, *more])}"


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
    logging.disable(logging.NOTSET)
    if json_logs():
        logging.getLogger("avagent").error(message)
        return code
    Console(stderr=True, soft_wrap=True).print(f"avagent: {message}", style="red", highlight=False, markup=False)
    return code


if __name__ == "__main__":
    sys.exit(main())
