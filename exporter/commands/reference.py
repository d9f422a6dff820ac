"""The command `reference`: every command, for the documentation."""

from __future__ import annotations

import click


@click.command(hidden=True)
@click.pass_context
def reference(context: click.Context) -> None:
    """Every command with its options, as Markdown.

    \b
    Examples:
      sutazai-exporter reference
    """
    from exporter.commandline.command_reference import reference_of

    root = context.find_root()
    if isinstance(root.command, click.Group):
        click.echo(reference_of(root.command, root.info_name or ""), nl=False)
