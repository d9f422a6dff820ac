"""The command `tasks`: what there is to run."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.commands.base import config_option, json_option


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
    from exporter import app, console
    from exporter.commandline.tables import task_table
    from exporter.config import load
    from exporter.views.tasks import tasks as view

    console.show(view(app.open_sources(load(config_file))), task_table, "There is no task.", as_json=as_json)
