"""The command `reports`: what runs wrote down."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.commandline.arguments import check_task, completing, task_option
from exporter.commandline.arguments import reports as known_reports
from exporter.commandline.options import Group, config_option, json_option
from exporter.failure import EXIT_UNAVAILABLE, EXIT_USAGE, Failure

if TYPE_CHECKING:
    from exporter.views.shapes import ReportEntry
    from exporter.views.sources import Sources

LATEST = "latest"
_report_argument = click.argument("report", metavar="[ID]", default=LATEST, shell_complete=completing(known_reports))
_task_option = task_option("The latest of this task.")


@click.group(cls=Group, default="list")
def reports() -> None:
    """The reports that runs wrote: list, read, open in a browser.

    \b
    Examples:
      sutazai-exporter reports list --task security-scan
      sutazai-exporter reports show latest --task health-check
      sutazai-exporter reports open latest --task performance-report
    """


@reports.command("list")
@config_option
@task_option()
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many.")
@json_option
def list_reports(config_file: Path | None, task: str | None, limit: int, as_json: bool) -> None:
    """The reports on the disk, newest first.

    \b
    Examples:
      sutazai-exporter reports list
      sutazai-exporter reports list --task health-check --limit 5 --json
    """
    from exporter.commandline import console
    from exporter.commandline.tables import report_table
    from exporter.views.reports import reports as view

    nothing = "There is no report yet; `sutazai-exporter run health-check` writes one."
    console.show(view(_sources(config_file, task), task)[:limit], report_table, nothing, as_json=as_json)


@reports.command()
@_report_argument
@config_option
@_task_option
@json_option
@click.option("--raw", "form", metavar="FORM", help="Print the file as it is: json, html or sarif.")
def show(report: str, config_file: Path | None, task: str | None, as_json: bool, form: str | None) -> None:
    """What a report says: the one of ID, or the latest.

    \b
    Examples:
      sutazai-exporter reports show
      sutazai-exporter reports show latest --task health-check --json
      sutazai-exporter reports show latest --task security-scan --raw html
    """
    from exporter.commandline.report_screen import print_as_it_is, print_document, print_report

    sources = _sources(config_file, task)
    entry = _find(sources, report, task)
    if form:
        print_as_it_is(_content(sources, entry, form))
    elif as_json:
        print_document(entry, _content(sources, entry, "json"))
    else:
        print_report(entry, _content(sources, entry, "json"))


@reports.command("open")
@_report_argument
@config_option
@_task_option
def open_report(report: str, config_file: Path | None, task: str | None) -> None:
    """Open a report's page in a browser: $BROWSER, else what xdg-open finds.

    \b
    Examples:
      sutazai-exporter reports open latest --task performance-report
    """
    from exporter.runs.report_index import find
    from jobs.core.registry import all_jobs

    sources = _sources(config_file, task)
    entry = _find(sources, report, task)
    file = find(all_jobs().values(), sources.configuration.settings.base_dir, entry["id"]).forms.get("html")
    if file is None:
        raise Failure(
            f"{entry['id']}: has no page; `sutazai-exporter reports show {entry['id']}` prints it", EXIT_UNAVAILABLE
        )
    _browse(file)


def _browse(file: Path) -> None:
    browser = os.environ.get("BROWSER", "").partition(":")[0] or "xdg-open"
    program = shutil.which(browser)
    if program is None:
        raise Failure(f"{file}: there is no program {browser!r} to open it with; set BROWSER", EXIT_UNAVAILABLE)
    try:
        # What xdg-open says where there is no browser is a line for each that it has looked for.
        complaints = None if os.environ.get("BROWSER") else subprocess.DEVNULL
        done = subprocess.run([program, str(file)], stdin=subprocess.DEVNULL, stderr=complaints, check=False)
    except OSError as error:
        raise Failure(f"{program}: cannot be run: {error.strerror}", EXIT_UNAVAILABLE) from None
    if done.returncode:
        reason = f"{program} could not open it (exit code {done.returncode})"
        raise Failure(f"{file}: {reason}; set BROWSER to a program, or open it elsewhere", EXIT_UNAVAILABLE)


def _sources(config_file: Path | None, task: str | None) -> Sources:
    from exporter import app
    from exporter.config import load

    configuration = load(config_file)
    check_task(task)
    return app.open_sources(configuration)


def _find(sources: Sources, report: str, task: str | None) -> ReportEntry:
    """The report of an id, or the newest; raise Failure."""
    from exporter.misspelt import nearest
    from exporter.views.reports import reports as view

    entries = view(sources, task)
    if report == LATEST and not entries:
        whose = f" of {task}" if task else ""
        raise Failure(f"there is no report{whose} yet; a run writes one", EXIT_UNAVAILABLE)
    found = [entry for entry in entries if report in (LATEST, entry["id"])]
    if not found:
        known = [LATEST, *(entry["id"] for entry in entries)]
        meant = nearest(report, known) or "; `sutazai-exporter reports list` has those there are"
        raise Failure(f"no report{f' of {task}' if task else ''} is called {report!r}{meant}", EXIT_USAGE)
    return found[0]


def _content(sources: Sources, entry: ReportEntry, form: str) -> bytes:
    from exporter.views.reports import content

    if form not in entry["formats"]:
        raise Failure(f"{entry['id']}: has no form {form!r}; it has {', '.join(entry['formats'])}", EXIT_USAGE)
    try:
        return content(sources, entry["id"], form)
    except KeyError:
        raise Failure(f"{entry['id']}: is gone by now", EXIT_UNAVAILABLE) from None
    except OSError as error:
        raise Failure(f"{error.filename or entry['id']}: cannot be read: {error.strerror}", EXIT_UNAVAILABLE) from None
