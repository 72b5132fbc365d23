"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

BEAM_CONTEXT = {"ignore_unknown_options": True, "allow_extra_args": True}
"""For commands that pass what they do not know on to Beam."""


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
        "--recipe", default="embedded", show_default=True, metavar="NAME|FILE", help="Shipped recipe or YAML file."
    )(command)


def own_options(command: click.Command) -> list[str]:
    """All option names of a command."""
    return [name for parameter in command.params for name in parameter.opts]
