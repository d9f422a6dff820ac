"""The command `completion`: what makes a shell complete commands, options and names."""

from __future__ import annotations

import click

_VARIABLE = "_SUTAZAI_EXPORTER_COMPLETE"
"""A shell runs the program with it to ask for completions (click.shell_completion)."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options, tasks, modes, agents, reports and settings.

    \b
    Examples:
      sutazai-exporter completion bash > /etc/bash_completion.d/sutazai-exporter
      sutazai-exporter completion zsh > ~/.zfunc/_sutazai-exporter
      sutazai-exporter completion fish > ~/.config/fish/completions/sutazai-exporter.fish
    """
    from click.shell_completion import get_completion_class

    root = context.find_root()
    if kind := get_completion_class(shell):
        click.echo(kind(root.command, {}, root.info_name or "", _VARIABLE).source())
