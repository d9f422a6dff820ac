"""The command `history`: what ran."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exporter.commandline.arguments import check_task, task_option
from exporter.commandline.options import config_option, json_option
from exporter.failure import EXIT_USAGE, Failure

if TYPE_CHECKING:
    from exporter.config import Configuration

_SPANS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_USUAL_LIMIT, _LIMIT = 20, 1000


@click.command()
@config_option
@task_option()
@click.option("--since", metavar="WHEN", help="Only from then on: 90m, 12h, 7d, 2w ago, or 2026-03-02[T14:30].")
@click.option(
    "--limit",
    type=click.IntRange(1, _LIMIT),
    help=f"How many at most. [default: {_USUAL_LIMIT}, with --since {_LIMIT}]",
)
@click.option("--run", "run_id", metavar="ID", type=click.IntRange(1), help="All about this one run.")
@json_option
def history(
    config_file: Path | None, task: str | None, since: str | None, limit: int | None, run_id: int | None, as_json: bool
) -> None:
    """What ran, why, how long, what came of it, and what was missed; newest first.

    \b
    Examples:
      sutazai-exporter history --task health-check --since 12h
      sutazai-exporter history --run 1
      sutazai-exporter history --json --limit 5
    """
    from exporter.clock import SystemClock
    from exporter.config import load

    configuration = load(config_file)
    check_task(task)
    oldest = _moment(since, SystemClock().now()) if since else None
    if run_id is not None:
        _print_run(configuration, run_id, as_json=as_json)
    else:
        _print_runs(configuration, task, oldest, limit or (_LIMIT if since else _USUAL_LIMIT), as_json=as_json)


def _print_runs(
    configuration: Configuration, task: str | None, oldest: datetime | None, limit: int, *, as_json: bool
) -> None:
    from exporter import app
    from exporter.commandline import console
    from exporter.commandline.tables import run_table
    from exporter.views.tasks import runs

    sources = app.open_sources(configuration)
    entries = [one for one in runs(sources, task, limit) if not oldest or _at(one["started"]) >= oldest]
    missed = [one for one in sources.store.missed(task, limit) if not oldest or one["noticed"] >= oldest.timestamp()]
    if as_json:
        console.print_json({"runs": entries, "missed": missed})
        return
    console.print_whole(run_table(entries) if entries else f"Nothing has run {'since then' if oldest else 'yet'}.")
    for gap in missed:
        text = f"{gap['task']} ({gap['cadence']}): {gap['count']} missed"
        console.out.print(f"missed: {console.said(text)} between {gap['after_slot']} and {gap['before_slot']}")


def _print_run(configuration: Configuration, run_id: int, *, as_json: bool) -> None:
    from exporter import app
    from exporter.commandline import run_screen

    record = app.open_store(configuration, read_only=True).record(run_id)
    if record is None:
        raise Failure(f"there is no run {run_id} that is over; `history` lists those there are", EXIT_USAGE)
    run_screen.print_record(record, as_json=as_json, verbose=True)


def _moment(text: str, now: datetime) -> datetime:
    """The time that `--since` names; raise Failure."""
    number, unit = text[:-1], text[-1:]
    try:
        if unit in _SPANS and number.isdecimal():
            span: dict[str, Any] = {_SPANS[unit]: int(number)}
            return now - timedelta(**span)
        return _at(text)
    except (ValueError, OverflowError):
        raise Failure(f"--since: {text!r} is no time; write 90m, 12h, 7d, 2w or 2026-03-02T14:30", EXIT_USAGE) from None


def _at(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.astimezone()
