"""`avagent completion`: what makes a shell complete our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from avagent.core.errors import UsageError

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def completion(context: click.Context, shell: str, **_flags: bool) -> int:
    """Print a script for a shell's start-up file: from then on it completes commands, options, recipes and paths.

    \b
    Examples:
      echo 'eval "$(avagent completion bash)"' >> ~/.bashrc
      echo 'eval "$(avagent completion zsh)"' >> ~/.zshrc
      avagent completion fish > ~/.config/fish/completions/avagent.fish
    """  # noqa: D301  (click's mark for lines to keep)
    script = get_completion_class(shell)
    if script is None:
        raise UsageError(f"shells that can be completed are {', '.join(SHELLS)}, got {shell!r}")
    root = context.find_root().command
    click.echo(script(root, {}, "avagent", "_AVAGENT_COMPLETE").source())
    return 0
