"""The command `backups`: what there is to fall back on."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.commandline.options import config_option, json_option


@click.command()
@config_option
@json_option
def backups(config_file: Path | None, as_json: bool) -> None:
    """Every backup on the disk, newest first, and how far it was proven good.

    \b
    Examples:
      sutazai-exporter backups
      sutazai-exporter backups --json
    """
    from exporter import app
    from exporter.commandline import console
    from exporter.commandline.tables import backup_table
    from exporter.config import load
    from exporter.views.backups import backups as view

    nothing = "There is no backup; `sutazai-exporter run database-maintenance` makes one."
    console.show(view(app.open_sources(load(config_file))), backup_table, nothing, as_json=as_json)
