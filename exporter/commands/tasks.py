"""The command `tasks`: what there is to run."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from exporter.commandline.options import config_option, json_option

_WIDE = 140
"""Columns of a terminal from which there is room for when a task runs and what it does."""


@click.command()
@config_option
@json_option
def tasks(config_file: Path | None, as_json: bool) -> None:
    """Every task: what it does, when it runs, what it is doing, how its last run ended.

    \b
    Examples:
      sutazai-exporter tasks
      sutazai-exporter tasks --json
    """
    from exporter.commandline import console
    from exporter.commandline.beside import sources_beside
    from exporter.commandline.tables import task_table
    from exporter.config import load
    from exporter.views.tasks import tasks as view

    sources = sources_beside(load(config_file))
    table = partial(task_table, now=sources.now, wide=console.out.width >= _WIDE)
    console.show(view(sources), table, "There is no task.", as_json=as_json)
