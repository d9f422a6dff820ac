"""The command `findings`: what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.commandline.arguments import check_task, task_option
from exporter.commandline.options import config_option, json_option
from jobs.core.severity import Severity

if TYPE_CHECKING:
    from exporter.views.sources import Sources


@click.command()
@config_option
@task_option()
@click.option(
    "--severity", type=click.Choice([str(one) for one in Severity]), help="Only what is as bad as this, or worse."
)
@json_option
def findings(config_file: Path | None, task: str | None, severity: str | None, as_json: bool) -> None:
    """What was found and not found gone since, the worst first, with what to do about it.

    \b
    Examples:
      sutazai-exporter findings --severity high
      sutazai-exporter findings --task security-scan --json
    """
    from exporter import app
    from exporter.commandline import console
    from exporter.commandline.status_screen import finding_lines
    from exporter.config import load
    from exporter.views.findings import findings as view

    configuration = load(config_file)
    check_task(task)
    least = list(Severity).index(Severity(severity)) if severity else 0
    sources = app.open_sources(configuration)
    found = view(sources, task)
    wanted = [entry for entry in found if list(Severity).index(Severity(entry["severity"])) >= least]
    console.show(wanted, finding_lines, _nothing(sources, task), as_json=as_json)


def _nothing(sources: Sources, task: str | None) -> str:
    """What to say where there is no finding: of tasks that have never run it is not known."""
    from exporter.views.tasks import tasks

    never = [
        one["task"]
        for one in tasks(sources)
        if one["cadences"] and not one["last_success"] and task in (None, one["task"])
    ]
    if not never:
        return "Nothing was found."
    return f"Nothing was found, but not everything was looked at: {', '.join(never)} never gave a result."
