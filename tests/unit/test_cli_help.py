"""What every command says of itself: examples that work, on lines that fit, and nothing loaded that is not needed."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from exporter.cli import PROGRAM, commands
from exporter.commandline.options import Group
from tests.services.exporter_daemon import REPOSITORY, environment_of

WIDTH = 100


def every_command() -> dict[str, click.Context]:
    """Each command and group by its path, with a context as at a wide terminal."""
    root = click.Context(commands, info_name=PROGRAM, terminal_width=WIDTH, **commands.context_settings)
    return {context.command_path: context for context in [root, *_below(root)]}


def _below(above: click.Context) -> Iterator[click.Context]:
    if isinstance(above.command, click.Group):
        for name in above.command.list_commands(above):
            command = above.command.get_command(above, name)
            assert command is not None
            context = click.Context(command, info_name=name, parent=above)
            yield context
            yield from _below(context)


EVERY = every_command()
each_command = pytest.mark.parametrize("path", EVERY)


def examples_of(context: click.Context) -> list[list[str]]:
    """The arguments of each example of ours, without what a shell does with it and what is said of it."""
    lines = [line.strip() for line in context.get_help().splitlines()]
    ours = [line.removeprefix(PROGRAM) for line in lines if line.startswith(f"{PROGRAM} ")]
    return [shlex.split(line.strip().split("  ")[0].split(" | ")[0].split(" > ")[0]) for line in ours]


@each_command
def test_help_fits_and_has_examples(path: str) -> None:
    text = EVERY[path].get_help()
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "Examples:" in text
    assert len(examples_of(EVERY[path])) >= 1


@each_command
def test_the_examples_are_understood(path: str) -> None:
    for arguments in examples_of(EVERY[path]):
        command: click.Command = commands
        context, rest = EVERY[PROGRAM], arguments
        while isinstance(command, click.Group) and rest:
            if command is not commands:  # a group's own options, as `notify --test` has one
                context = command.make_context(context.info_name, list(rest), parent=context.parent)
                rest = [*context._protected_args, *context.args]
                if not rest:
                    break
            name, found, rest = command.resolve_command(context, list(rest))
            assert found is not None, arguments
            context, command = click.Context(found, info_name=name, parent=context), found
        if not isinstance(command, click.Group):
            command.make_context(context.info_name, list(rest), parent=context.parent)  # raises what is wrong


@each_command
def test_every_group_says_what_was_meant(path: str) -> None:
    command = EVERY[path].command
    assert isinstance(command, Group) or not isinstance(command, click.Group)


@each_command
def test_every_option_says_what_it_is_for(path: str) -> None:
    silent = [
        option.opts
        for option in EVERY[path].command.params
        if isinstance(option, click.Option) and not (option.help or isinstance(option.type, click.Choice))
    ]
    assert silent == []


def test_every_file_beside_the_commands_is_a_command_or_a_known_helper() -> None:
    files = {file.stem for file in (REPOSITORY / "exporter" / "commands").glob("*.py")} - {"__init__"}
    names = {name.replace("-", "_") for name in commands.list_commands(EVERY[PROGRAM])}
    assert names == files


def loaded_by(*arguments: str, base: str = "/nonexistent") -> set[str]:
    """The modules that a command loads."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "exporter", *arguments],
        env={**environment_of(REPOSITORY / "nowhere"), "SUTAZAI_BASE_DIR": base},
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert len(lines) > 50, done
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["completion", "bash"], ["statsu"]], ids=" ".join)
def test_what_needs_no_configuration_loads_none(arguments: list[str]) -> None:
    loaded = loaded_by(*arguments)
    unwanted = {"rich", "sqlite3", "exporter.store", "exporter.views", "exporter.app", "jobs.core.job"}
    assert loaded & (unwanted | {"pydantic", "exporter.config"}) == set()


def test_to_tell_of_one_task_no_other_is_loaded() -> None:
    loaded = loaded_by("run", "agent-monitor", "--help")
    packages = {name.split(".")[1] for name in loaded if name.startswith("jobs.") and name.count(".") > 1}
    assert (packages, "exporter.config" in loaded) == ({"agents", "core"}, False)


def test_a_run_without_a_terminal_loads_nothing_that_shows(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.mktemp("base")
    loaded = loaded_by("run", "log-rotation", "--mode", "watch", base=str(base))
    assert "exporter.runs.runner" in loaded
    # The views it does load: where no daemon serves, it brings the page in the base directory up to date.
    shows = {name for name in loaded if name.split(".")[0] == "rich" or name.startswith("exporter.commandline.console")}
    assert shows == set()
