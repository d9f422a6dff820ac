"""What commands share: groups, and the options that mean the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
_SENTENCE = 120
"""Characters of what is said of a command in a list."""


class Group(click.Group):
    """A group of commands that says what was meant where a name is misspelt.

    `default` is the command that is meant where none is named, with what options there are.
    """

    def __init__(self, *arguments: Any, default: str = "", **given: Any) -> None:
        super().__init__(*arguments, **given)
        self.default = default

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Put the default command before what does not begin with a command; while somebody types, nothing is put."""
        asks = args[:1] and (not args[0].startswith("-") or args[0] in self.get_help_option_names(context))
        if self.default and not asks and not context.resilient_parsing:
            args = [self.default, *args]
        return super().parse_args(context, args)

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called; raise click.UsageError, with the nearest name, where there is none."""
        name = arguments[0]
        if context.resilient_parsing or name.startswith("-") or self.get_command(context, name):
            return super().resolve_command(context, arguments)
        from exporter.misspelt import nearest

        raise click.UsageError(f"No such command {name!r}{nearest(name, self.list_commands(context))}", context)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what commands there are, each with a whole sentence."""
        names = self.list_commands(context)
        commands = [(name, command) for name in names if (command := self.get_command(context, name))]
        rows = [(name, command.get_short_help_str(_SENTENCE)) for name, command in commands if not command.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        if self.default:
            formatter.write_paragraph()
            formatter.write_text(f"Without a command it is `{self.default}`.")


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--config.file`, as the argument `config_file`."""
    return click.option(
        "--config.file",
        "config_file",
        # Whether it can be read is seen by reading it: access(2) knows nothing of capabilities that a unit gives.
        type=click.Path(path_type=Path, dir_okay=False, readable=False),
        help="Configuration file (YAML). [default: config/exporter.yml in the base directory, if it exists]",
    )(command)


def dry_run_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--dry-run`, as the argument `dry_run`."""
    help_text = "Print what would be done; change and write nothing."
    return click.option("--dry-run", is_flag=True, help=help_text)(command)


def output_option(help_text: str) -> Callable[[Command], Command]:
    """The option `--output DIR` of what writes files there, as the argument `directory`."""
    return click.option(
        "--output", "directory", type=click.Path(path_type=Path), metavar="DIR", help=f"Directory to write {help_text}"
    )


class _Seconds(click.FloatRange):
    """A number within limits; `nan` is within all of them, as it is below none and above none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if math.isnan(seconds := float(super().convert(value, param, ctx))):
            self.fail(f"{value} is no time.", param, ctx)
        return seconds


def seconds_option(
    *names: str, least: float, most: float, default: float, help_text: str
) -> Callable[[Command], Command]:
    """An option that takes seconds, from `least` to `most`, as the argument that is among its names."""
    seconds = _Seconds(least, most)
    return click.option(*names, metavar="SECONDS", type=seconds, default=default, show_default=True, help=help_text)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--json`, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print as JSON.")(command)
