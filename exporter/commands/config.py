"""The command `config`: what the settings are, and where each came from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.commandline.arguments import completing
from exporter.commandline.arguments import settings as known_settings
from exporter.commandline.options import Group, config_option, json_option
from exporter.failure import EXIT_USAGE, Failure

if TYPE_CHECKING:
    from exporter.views.shapes import SettingEntry


@click.group(cls=Group, default="show")
def config() -> None:
    """The configuration: what is in force, and every setting there is.

    \b
    Examples:
      sutazai-exporter config show --changed
      sutazai-exporter config show jobs.log_rotation
      sutazai-exporter config reference
    """


@config.command()
@click.argument("names", metavar="[SETTING]...", nargs=-1, shell_complete=completing(known_settings))
@config_option
@click.option("--changed", is_flag=True, help="Only those that somebody has set.")
@json_option
def show(config_file: Path | None, names: tuple[str, ...], changed: bool, as_json: bool) -> None:
    """Every setting as it is in force, and where it came from; secrets are masked.

    SETTING is a key, or the beginning of some (jobs.log_rotation).

    \b
    Examples:
      sutazai-exporter config show --changed
      sutazai-exporter config show jobs.log_rotation thresholds
      sutazai-exporter config show web.listen_address --json
    """
    from exporter.commandline import console
    from exporter.commandline.tables import setting_table
    from exporter.config import load
    from exporter.views.settings import DEFAULT, settings_of

    entries = _named(settings_of(load(config_file)), names)
    if changed:
        entries = [entry for entry in entries if entry["origin"] != DEFAULT]
    console.show(entries, setting_table, "Every setting has its default.", as_json=as_json)


def _named(entries: Sequence[SettingEntry], names: Sequence[str]) -> list[SettingEntry]:
    """Those that are named, or whose keys begin so; raise Failure for a name of none."""
    from exporter.misspelt import nearest

    known = {entry["setting"] for entry in entries}
    sections = {".".join(key.split(".")[:depth]) for key in known for depth in range(1, key.count(".") + 2)}
    for name in names:
        if name not in sections:
            raise Failure(f"no setting is called {name!r}{nearest(name, sections)}", EXIT_USAGE)
    return [entry for entry in entries if not names or any(f"{entry['setting']}.".startswith(f"{n}.") for n in names)]


@config.command()
def reference() -> None:
    """Every setting as a Markdown table: key, type and limits, default, variable, meaning.

    \b
    Examples:
      sutazai-exporter config reference
    """
    from exporter.commandline.reference import print_settings

    print_settings()
