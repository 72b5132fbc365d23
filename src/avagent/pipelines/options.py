"""Options that several commands share."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem
from rich.console import Console

from avagent.pipelines.console import AS_JSON, tell

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

BEAM_CONTEXT = {"ignore_unknown_options": True, "allow_extra_args": True}
"""For commands that pass what they do not know on to Beam."""


class _Location(click.ParamType):
    """A URL, path or pattern: shells complete local paths."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        return [CompletionItem(incomplete, type="file")]


class _RecipeName(_Location):
    """The name of a shipped recipe, or a file."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from avagent.pipelines.recipe import shipped_recipes  # noqa: PLC0415  (half a second that most commands save)

        named = [CompletionItem(name) for name in shipped_recipes() if name.startswith(incomplete)]
        return named or super().shell_complete(ctx, param, incomplete)


LOCATION = _Location()
RECIPE_NAME = _RecipeName()


class BeamCommand(click.Command):
    """A command that passes what it does not know on to Beam; what is missing may be there, misspelt."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"context_settings": BEAM_CONTEXT, **kwargs})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does it."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter as error:
            missing = error.param.opts if error.param is not None else []
            for argument in (text.split("=")[0] for text in given if text.startswith("--")):
                if argument not in own_options(self) and difflib.get_close_matches(argument, missing, n=1):
                    raise click.NoSuchOption(argument, possibilities=missing, ctx=ctx) from error
            raise


def recipe_options(command: CommandT) -> CommandT:
    """`--recipe` and `--set`."""
    command = click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change one value of the recipe, e.g. policy.threshold=0.9; may be repeated.",
    )(command)
    return click.option(
        "--recipe",
        type=RECIPE_NAME,
        default="embedded",
        show_default=True,
        metavar="NAME|FILE",
        help="Shipped recipe or YAML file.",
    )(command)


def _as_json(context: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001  (click's signature)
    if value:
        context.meta[AS_JSON] = True


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    callback=_as_json,
    help="Print the result as JSON; what is told on the way goes to standard error.",
)
"""`--json`, which `make_console` and `tell` obey."""

dry_run_option = click.option("--dry-run", is_flag=True, help="Check everything, say what would be done, and stop.")


def tell_dry_run(console: Console, facts: Mapping[str, Any]) -> int:
    """Say what would be done; gives the exit code."""

    def show() -> None:
        console.print("dry run: nothing is written")
        for name, value in facts.items():
            console.print(f"  {name.replace('_', ' ')}: {value}", markup=False, highlight=False)

    tell(console, {"dry_run": True, **facts}, show)
    return 0


def own_options(command: click.Command) -> list[str]:
    """All option names of a command."""
    return [name for parameter in command.params for name in parameter.opts]
