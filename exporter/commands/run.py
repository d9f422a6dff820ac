"""The command `run`: one task, once, now."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.clock import SystemClock
from exporter.commands.base import EXIT_USAGE, Failure, config_option, user_name
from exporter.config import Configuration, load

if TYPE_CHECKING:
    from exporter.store import Store
    from jobs.core.model import Request


@click.command()
@click.argument("task")
@config_option
@click.option("--mode", default="", help="One of the task's modes. [default: its first]")
@click.option("--target", default="", help="Only this one (an agent's name).")
@click.option("--dry-run", is_flag=True, help="Print what would be done; change and write nothing.")
@click.option("--scheduled", is_flag=True, help="Only if a slot of its schedule is due and unclaimed (for cron).")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0, 86400),
    default=30,
    show_default=True,
    help="Seconds to wait for another run of the task to end.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole record as JSON.")
@click.option("--verbose", "-v", is_flag=True, help="Print the run's log and every finding.")
def run(
    task: str,
    config_file: Path | None,
    mode: str = "",
    target: str = "",
    dry_run: bool = False,
    scheduled: bool = False,
    wait_seconds: float = 30,
    as_json: bool = False,
    verbose: bool = False,
) -> None:
    """Run TASK once, now, and exit with its verdict.

    \b
    Examples:
      sutazai-exporter run health-check
      sutazai-exporter run agent-monitor --target sutazai-agent-orchestrator --dry-run
    """
    from exporter import app, run_screen
    from exporter.runner import UnknownRequest, check
    from jobs.core.model import Request

    if scheduled and (dry_run or mode or target):
        raise Failure(
            "--scheduled claims a slot, which says what to run: leave out --dry-run, --mode, --target", EXIT_USAGE
        )
    configuration = load(config_file)
    try:
        asked = f"asked for by user:{user_name()}"
        request = check(Request(task=task, mode=mode, target=target, dry_run=dry_run, reason=asked))[1]
        store = app.open_store(configuration, read_only=dry_run)
        runner = app.build_runner(configuration, store)
        run_screen.log_to_screen(configuration, verbose)
        if not dry_run:
            runner.close_cut_off()
        if scheduled:
            request = _due(request, configuration, store)
        with run_screen.run_screen(quiet=as_json) as watcher, run_screen.stopped_by_signals(runner):
            record = runner.run(request, watcher, wait_seconds=wait_seconds)
    except UnknownRequest as error:
        raise Failure(str(error), EXIT_USAGE) from None
    run_screen.print_record(record, as_json=as_json, verbose=verbose)
    if not dry_run:
        app.remind(configuration, store)
        with run_screen.stopped_by_signals(runner):
            app.send_notifications(configuration, store, runner.stop)
        _update_textfile(configuration, store)
        _update_page(configuration, store)
    sys.exit(record.exit_code)


def _due(request: Request, configuration: Configuration, store: Store) -> Request:
    """What the first slot asks for that is due and unclaimed; it is claimed then. Raise Failure if there is none."""
    from exporter.plan import cadences_of
    from exporter.record import EXIT_SKIPPED
    from exporter.runner import check
    from exporter.scheduler import claim_due

    now = SystemClock().now()
    for cadence in cadences_of(configuration, request.task):
        due = claim_due(store, request.task, cadence, now)
        if due:
            return check(due)[1]
    raise Failure(f"{request.task}: no slot is due that was not claimed already; nothing was run", EXIT_SKIPPED)


def _update_textfile(configuration: Configuration, store: Store) -> None:
    directory = configuration.settings.textfile.directory
    if directory:
        from exporter.record import EXIT_NOT_OK
        from exporter.replay import replayed_metrics
        from exporter.textfile import write_textfile

        try:
            write_textfile(directory, replayed_metrics(configuration, store, SystemClock().now()).exposition)
        except OSError as error:
            raise Failure(f"{error.filename}: the textfile cannot be written: {error.strerror}", EXIT_NOT_OK) from None


def _update_page(configuration: Configuration, store: Store) -> None:
    """Write the status page, where no daemon does. That it cannot be is said in the log, and fails no run."""
    from exporter import app

    if app.is_served(configuration):
        return
    from exporter.dashboard.file import DashboardFile
    from exporter.store import StoreError

    try:
        DashboardFile().write(app.sources(configuration, store), serving=False)
    except StoreError as error:
        logging.getLogger(__name__).error(str(error))
