"""The command `check-config`: whether the configuration is good."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.commandline.options import config_option

if TYPE_CHECKING:
    from exporter.bridge.outgoing.settings import Handler


@click.command("check-config")
@config_option
def check_config(config_file: Path | None) -> None:
    """Check the configuration and the files it names: every error at once, exit code 78 if there is one.

    Programs of notifications.handlers must be there, and such as can be run. Whether others could change them
    the doctor says.

    \b
    Examples:
      sutazai-exporter check-config
      sutazai-exporter check-config --config.file exporter.yml
    """
    from exporter.config import ConfigError, load

    configuration = load(config_file)
    problems = _handler_problems(configuration.settings.notifications.handlers)
    if web_file := configuration.settings.web.config_file:
        problems += _web_problems(web_file)
    if problems:
        raise ConfigError(problems)
    origins = sorted(set(configuration.origins.values()))
    click.echo(f"The configuration is good. It comes from {', '.join(['defaults', *origins])}.")


def _handler_problems(handlers: Sequence[Handler]) -> list[str]:
    """Which programs are not there, or could be run by nobody; warn of those that this user cannot see."""
    from exporter.bridge.outgoing.channels.handler import what_is_no_program

    problems = []
    for number, handler in enumerate(handlers):
        where = f"notifications.handlers[{number}].path: {handler.path}"
        try:
            if flaw := what_is_no_program(handler.path):
                problems.append(f"{where} {flaw}")
        except PermissionError:
            _warn(f"{where} cannot be seen by this user, so whether it can be run is unknown; check as the exporter's")
        except OSError as error:
            problems.append(f"{where} cannot be run: {error.strerror}; put it there, or take it out")
    return problems


def _web_problems(file: Path) -> list[str]:
    """What is wrong with a web configuration file; warn of what works and should not stay as it is."""
    from exporter.config import ConfigError
    from exporter.web.web_config.files import Files
    from exporter.web.web_config.loading import read_web_config

    try:
        found = read_web_config(file, Files())
    except ConfigError as error:
        return error.problems
    for warning in found.warnings:
        _warn(warning)
    return []


def _warn(warning: str) -> None:
    click.echo(f"sutazai-exporter: warning: {warning}", err=True)
