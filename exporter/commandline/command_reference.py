"""Every command as Markdown, made from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click

WIDTH = 100
"""Columns of what `--help` prints."""


def reference_of(root: click.Group, name: str) -> str:
    """A table of all commands, then what `--help` says of each."""
    context = click.Context(root, info_name=name, terminal_width=WIDTH, **root.context_settings)
    found = list(_commands(context))
    lines = ["| command | what it does |", "| --- | --- |"]
    lines += [f"| [`{at.command_path}`](#{_anchor(at)}) | {_sentence(at)} |" for at in found]
    for at in found:
        lines += ["", f"## `{at.command_path}`", "", "```text", at.command.get_help(at).rstrip(), "```"]
    return "\n".join(lines) + "\n"


def _commands(above: click.Context) -> Iterator[click.Context]:
    """A command that stands alone, or all within a group."""
    group = above.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(above):
        command = group.get_command(above, name)
        if command is not None and not command.hidden:
            context = click.Context(command, info_name=name, parent=above)
            yield context
            yield from _commands(context)


def _anchor(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _sentence(context: click.Context) -> str:
    return context.command.get_short_help_str(200).replace("|", r"\|")
