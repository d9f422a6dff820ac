"""`audit`: the log of every decision about a remediation, and whether it is whole."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.commandline.options import Group, config_option, json_option
from exporter.failure import EXIT_UNAVAILABLE, EXIT_USAGE, Failure

if TYPE_CHECKING:
    from exporter.bridge.remediation.audit import Link

_EXIT_NOT_WHOLE = 1


@click.group(cls=Group, default="list")
def audit() -> None:
    """The log of every decision about a remediation.

    \b
    Examples:
      sutazai-exporter audit list --limit 20  what was decided, by whom, and what came of it
      sutazai-exporter audit verify           whether the log is as it was written
    """


@audit.command()
@config_option
@click.option("--anchor", metavar="SEQ:HASH", help="An entry's number and hash, as the daemon logged them.")
def verify(config_file: Path | None, anchor: str | None) -> None:
    """Check that no entry was changed, removed, moved or cut off; exit with 1 and the first that was.

    With --anchor also whether that entry is the one that the daemon logged: without, a log that somebody wrote anew
    from the beginning cannot be told from the true one.

    \b
    Examples:
      sutazai-exporter audit verify
    """
    from exporter import app
    from exporter.bridge.remediation import audit as log
    from exporter.config import load

    link = _link(anchor) if anchor is not None else None
    configuration = load(config_file)
    file = app.store_file(configuration)
    store = app.open_store(configuration, read_only=True)
    if not (file.exists() and file.stat().st_size):  # which is no good news: it may have been taken away
        missing = f"{file}: is not there or empty, so there is no log to verify"
        raise Failure(f"{missing}; the first run makes it, or set SUTAZAI_BASE_DIR", EXIT_UNAVAILABLE)
    verdict = log.verify(store, link)
    if verdict.fault:
        click.echo(f"The audit log is not whole: {verdict.fault}.")
        sys.exit(_EXIT_NOT_WHOLE)
    last = f", the last is {verdict.last}" if verdict.last else ""
    click.echo(f"The audit log is whole: {verdict.entries} entries{last}.")


def _link(text: str) -> Link:
    from exporter.bridge.remediation.audit import Link

    match = re.fullmatch(r"([1-9][0-9]{0,17}):([0-9a-f]{64})", text)
    if not match:
        raise Failure(f"--anchor: {text!r} is not SEQ:HASH, such as 12:0a3f... (64 hexadecimal digits)", EXIT_USAGE)
    return Link(int(match[1]), match[2])


@audit.command("list")
@config_option
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
@json_option
def list_entries(config_file: Path | None, limit: int, as_json: bool) -> None:
    """The newest decisions, newest first.

    \b
    Examples:
      sutazai-exporter audit list --limit 20
      sutazai-exporter audit list --json
    """
    from exporter import app
    from exporter.bridge.remediation import audit as log
    from exporter.commandline import console
    from exporter.config import load

    entries = log.entries(app.open_store(load(config_file), read_only=True), limit)
    if as_json:
        console.print_json(entries)
        return
    columns = ("entry", "at", "who", "alert", "rule", "remediation", "what", "outcome", "detail")
    shown = console.table_of(*columns, wraps=("detail",))
    for entry in entries:
        alert = entry.get("alert")
        name = alert.get("name", "") if isinstance(alert, dict) else ""
        cells = [entry["sequence"], *(entry.get(key) for key in ("at", "who")), name]
        cells += [entry.get(key) for key in ("rule", "remediation", "what", "outcome", "detail")]
        shown.add_row(*(console.said("" if cell is None else cell) for cell in cells))
    console.print_whole(shown if entries else "Nothing was decided yet.")
