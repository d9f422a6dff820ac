"""`remediations`: what alerts have brought about, and the answers that they wait for."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.clock import SystemClock
from exporter.commandline.options import Group, config_option, dry_run_option, json_option
from exporter.failure import EXIT_USAGE, Failure
from exporter.users import user_name

if TYPE_CHECKING:
    from exporter.bridge.remediation.remediations import Entry

_ID = click.IntRange(1, (1 << 63) - 1)


@click.group(cls=Group, default="list")
def remediations() -> None:
    """What alerts have brought about, and the answers that they wait for.

    \b
    Examples:
      sutazai-exporter remediations list                  what is open, and what waits for a person
      sutazai-exporter remediations list --all            what is over as well
      sutazai-exporter remediations approve 7 --dry-run   what would be done
      sutazai-exporter remediations approve 7             let it be done
    """


@remediations.command("list")
@config_option
@click.option("--all", "all_of_them", is_flag=True, help="Those that are over as well.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
@json_option
def list_remediations(config_file: Path | None, all_of_them: bool, limit: int, as_json: bool) -> None:
    """Remediations that are not over, newest first.

    \b
    Examples:
      sutazai-exporter remediations list
      sutazai-exporter remediations list --all --json
    """
    from exporter import app
    from exporter.bridge.remediation import remediations as table
    from exporter.commandline import console
    from exporter.config import load
    from exporter.views.alerts import remediation_document

    store = app.open_store(load(config_file), read_only=True)
    entries = table.listing(store, limit, only_open=not all_of_them)
    if as_json:
        console.print_json([remediation_document(entry) for entry in entries])
        return
    shown = console.table_of(
        "id", "since", "alert", "rule", "task", "target", "state", "attempts", "what", wraps=("what",)
    )
    for entry in entries:
        cells = (str(entry.id), _when(entry.created), entry.alert.name, entry.rule, entry.task, entry.target)
        shown.add_row(*map(console.said, (*cells, entry.state, str(entry.attempts), entry.detail)))
    console.print_whole(shown if entries else "There are none." if all_of_them else "None is open; see --all.")


@remediations.command()
@click.argument("number", metavar="ID", type=_ID)
@config_option
@dry_run_option
def approve(number: int, config_file: Path | None, dry_run: bool) -> None:
    """Let the remediation ID, which waits for a person, be done.

    A daemon on the same base directory begins within a second, where no budget, cool-down or maintenance window is in
    the way; without one, the next daemon does.

    \b
    Examples:
      sutazai-exporter remediations approve 7 --dry-run
    """
    _answer(number, config_file, dry_run, approved=True)


@remediations.command()
@click.argument("number", metavar="ID", type=_ID)
@config_option
@dry_run_option
def reject(number: int, config_file: Path | None, dry_run: bool) -> None:
    """End the remediation ID, which waits for a person, without doing anything.

    \b
    Examples:
      sutazai-exporter remediations reject 7 --dry-run
    """
    _answer(number, config_file, dry_run, approved=False)


def _answer(number: int, config_file: Path | None, dry_run: bool, *, approved: bool) -> None:
    from exporter import app
    from exporter.bridge.remediation import receiving
    from exporter.bridge.remediation import remediations as table
    from exporter.bridge.remediation.desk import Desk
    from exporter.config import load

    configuration = load(config_file)
    store = app.open_store(configuration, read_only=dry_run)
    try:
        if dry_run:
            entry = receiving.waiting(table.find(store, number), number)
            click.echo(f"{'approve' if approved else 'reject'} {_told(entry)}: {_clean(entry.detail)}")
            return
        desk = Desk(store, configuration.settings, SystemClock().now(), f"user:{user_name()}")
        entry = receiving.answer(desk, number, approved=approved)
    except (receiving.Unknown, receiving.NotWaiting) as error:
        raise Failure(str(error), EXIT_USAGE) from None
    click.echo(f"{_told(entry)} is {entry.state} now: {_clean(entry.detail)}")


def _told(entry: Entry) -> str:
    return f"remediation {entry.id} ({_clean(entry.alert.name)}, {entry.rule})"


def _clean(text: str) -> str:
    from jobs.core.model import clean_message

    return " ".join(str(clean_message(text)).split())


def _when(stamp: float) -> str:
    return f"{datetime.fromtimestamp(stamp).astimezone():%Y-%m-%d %H:%M:%S}"
