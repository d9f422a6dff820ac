"""The command `status`: whether anything is wrong."""

from __future__ import annotations

import gc
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from exporter.commandline.options import config_option, json_option, seconds_option
from exporter.failure import EXIT_USAGE, Failure

if TYPE_CHECKING:
    from exporter.config import Configuration
    from exporter.views.shapes import Status

EXIT_CODES = {"good": 0, "attention": 1, "critical": 2, "unknown": 3}
"""By the verdict."""


@click.command()
@config_option
@click.option("--watch", is_flag=True, help="Show it anew every few seconds, until Ctrl-C.")
@seconds_option("--interval", "interval_seconds", least=0.5, most=3600, default=2, help_text="How often, with --watch.")
@json_option
@click.pass_context
def status(
    context: click.Context, config_file: Path | None, watch: bool, interval_seconds: float, as_json: bool
) -> None:
    """Whether anything is wrong, what to do about it, and how everything is.

    Exit code 0: all is well; 1: something needs attention; 2: something is critical; 3: too little is known to say so.

    \b
    Examples:
      sutazai-exporter status
      sutazai-exporter status --watch
      sutazai-exporter status --json
    """
    from exporter.commandline import console
    from exporter.config import load

    if not watch and context.get_parameter_source("interval_seconds") is not ParameterSource.DEFAULT:
        raise Failure("--interval belongs to --watch: add that, or leave it out", EXIT_USAGE)
    configuration = load(config_file)
    if watch:
        if as_json or not console.out.is_terminal:
            raise Failure("--watch needs a terminal, and shows no JSON: leave it out", EXIT_USAGE)
        _watch(configuration, interval_seconds)
    found = _look(configuration)
    if as_json:
        console.print_json(found)
    else:
        from exporter.commandline.status_screen import status_screen

        console.print_screen(status_screen(found))
    sys.exit(EXIT_CODES[found["verdict"]])


def _look(configuration: Configuration) -> Status:
    from exporter import app
    from exporter.commandline.beside import sources_beside
    from exporter.views.status import status as view

    sources = sources_beside(configuration)
    try:
        return view(sources, serving=app.is_served(configuration))
    finally:
        sources.store.close()


def _watch(configuration: Configuration, interval_seconds: float) -> None:
    from rich.live import Live

    from exporter.commandline import console
    from exporter.commandline.status_screen import status_screen

    gc.freeze()
    gc.enable()  # this lasts; other commands do without (exporter.cli.program)
    # `Live` gives the screen from before back, where it is let to.
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with Live(console=console.out, screen=True, auto_refresh=False) as live:
            while True:
                live.update(status_screen(_look(configuration)), refresh=True)
                time.sleep(interval_seconds)
    finally:
        signal.signal(signal.SIGTERM, before)
