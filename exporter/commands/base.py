"""What every command shares: exit codes, how a command fails, and the option that names the configuration."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

EXIT_USAGE = 64
EXIT_CONFIG = 78
EXIT_UNAVAILABLE = 69


class Failure(Exception):
    """A command cannot do what was asked: one line and an exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--config.file`, as the argument `config_file`."""
    return click.option(
        "--config.file",
        "config_file",
        # Whether it can be read is seen by reading it: access(2) knows nothing of capabilities that a unit gives.
        type=click.Path(path_type=Path, dir_okay=False, readable=False),
        help="Configuration file (YAML). [default: config/exporter.yml in the base directory, if it exists]",
    )(command)


def user_name() -> str:
    """Who is at the command line: the name of this process's user, which the environment cannot change."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
