"""One run by hand or by cron: what is asked, done, shown, told and left for others."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from exporter import app
from exporter.clock import SystemClock
from exporter.commandline import mailing, run_screen
from exporter.commandline.job_flags import Chosen, configured
from exporter.failure import EXIT_USAGE, Failure
from exporter.plan import cadences_of
from exporter.record import EXIT_SKIPPED
from exporter.runs.asking import UnknownRequest, check
from exporter.runs.runner import NothingToRun
from exporter.store import schedule_zone
from exporter.users import user_name
from jobs.core.model import Request

if TYPE_CHECKING:
    from datetime import datetime

    from exporter.config import Configuration
    from exporter.record import Record
    from exporter.runs.runner import Runner
    from exporter.store import Store
    from exporter.views.sources import Sources
    from jobs.core.cadence import Cadence

logger = logging.getLogger(__name__)
EXIT_INTERRUPTED = 130


@dataclass(frozen=True)
class Order:
    """What somebody at the command line asks for."""

    task: str
    choice: Chosen = field(default_factory=Chosen)
    target: str = ""
    config_file: Path | None = None
    dry_run: bool = False
    scheduled: bool = False
    wait_seconds: float = 30
    as_json: bool = False
    verbose: bool = False

    @property
    def quiet(self) -> bool:
        """Whether good news is no news: cron mails every line to somebody."""
        return self.scheduled and not (self.as_json or self.verbose or sys.stdout.isatty())


def carry_out(order: Order) -> NoReturn:
    """Run it, show what came of it, and exit with its verdict; raise Failure, ConfigError, StoreError."""
    request = _checked(order)
    configuration = configured(order.config_file, order.choice)
    address = order.choice.mail_to
    letter = None if address is None else mailing.Letter.to(address, order.config_file)
    store = app.open_store(configuration, read_only=order.dry_run)
    runner = app.build_runner(configuration, store)
    run_screen.log_to_screen(configuration, order.verbose)
    if not order.dry_run:
        runner.close_cut_off()
    slots = _Slots(configuration, store, order.task) if order.scheduled else None
    if slots:
        request = slots.due() or _nothing_due(order)
    with run_screen.stopped_by_signals(runner) as signals:
        record = _run(order, request, runner, slots)
        say = _sayer(order, record)
        if letter:
            say(letter.send(record, dry_run=order.dry_run))
        if not order.dry_run:
            _leave_behind(configuration, store, runner)
    sys.exit(EXIT_INTERRUPTED if signals.interrupted else record.exit_code)


def _checked(order: Order) -> Request:
    """What is asked for; raise Failure where that is no task, or does not go together."""
    if order.scheduled and (order.dry_run or order.choice.mode or order.target):
        raise Failure(
            "--scheduled claims a slot, which says what to run: leave out --dry-run, --target, --mode "
            "and flags that choose one",
            EXIT_USAGE,
        )
    asked = f"asked for by user:{user_name()}"
    try:
        job, request = check(
            Request(task=order.task, mode=order.choice.mode, target=order.target, dry_run=order.dry_run, reason=asked)
        )
    except UnknownRequest as error:
        raise Failure(str(error), EXIT_USAGE) from None
    if order.target and not job.takes_target:
        raise Failure(f"{job.name} takes no target: leave out --target", EXIT_USAGE)
    return request


def _run(order: Order, request: Request, runner: Runner, slots: _Slots | None) -> Record:
    # A slot is claimed when nobody else is at the task: what waits in vain leaves it to whoever comes next.
    claim = slots.claim if slots else None
    try:
        with run_screen.run_screen(quiet=order.as_json or order.quiet) as watcher:
            if not order.dry_run:
                watcher.under_way = partial(_get_ready, runner.configuration)
            record = runner.run(request, watcher, wait_seconds=order.wait_seconds, claim=claim)
    except NothingToRun:
        _nothing_due(order)
    if not (order.quiet and record.exit_code == 0):
        run_screen.print_record(record, as_json=order.as_json, verbose=order.verbose)
    return record


def _sayer(order: Order, record: Record) -> Callable[[str], None]:
    quiet = order.as_json or (order.quiet and record.exit_code == 0)
    return (lambda line: None) if quiet else run_screen.print_line


def _leave_behind(configuration: Configuration, store: Store, runner: Runner) -> None:
    app.remind(configuration, store)
    app.send_notifications(configuration, store, runner.stop)
    _write_files(configuration, store)


@dataclass(frozen=True)
class _Slots:
    """The slots of a task."""

    configuration: Configuration
    store: Store
    task: str

    def due(self) -> Request | None:
        """What the first slot asks for that is due and unclaimed."""
        from exporter.slots import look_due

        return self._first(look_due)

    def claim(self) -> Request | None:
        """The same, and it is claimed then."""
        from exporter.slots import claim_due

        return self._first(claim_due)

    def _first(self, way: Callable[[Store, str, Cadence, datetime], Request | None]) -> Request | None:
        now = SystemClock().now()
        if app.is_served(self.configuration):  # beside a daemon, a day's slot is due when it is for the daemon
            now = schedule_zone.by_schedule(self.store, now)
        # The rarest first: what comes every few minutes is always due, and would keep a missed day's run from its turn.
        for cadence in sorted(cadences_of(self.configuration, self.task), key=lambda one: -one.period_seconds):
            due = way(self.store, self.task, cadence, now)
            if due:
                return check(due)[1]
        return None


def _nothing_due(order: Order) -> NoReturn:
    """End: there is no slot."""
    if order.quiet:
        sys.exit(EXIT_SKIPPED)
    raise Failure(f"{order.task}: no slot is due that was not claimed already; nothing was run", EXIT_SKIPPED)


def _get_ready(configuration: Configuration) -> None:
    """Load what will write the files, while the run is still at work: it has a processor of its own."""
    alone = not app.is_served(configuration)
    if alone or configuration.settings.textfile.directory:
        import_module("exporter.replay")
    if alone:
        import_module("exporter.dashboard.file")


def _write_files(configuration: Configuration, store: Store) -> None:
    """Write the textfile, and where no daemon does the status page. The ledger is told again once for both."""
    from exporter.store import StoreError

    directory, alone = configuration.settings.textfile.directory, not app.is_served(configuration)
    if not (directory or alone):
        return
    try:
        sources = app.sources(configuration, store)
    except StoreError as error:
        if directory:
            raise
        logger.error(str(error))  # for the page's sake no run fails
        return
    if alone:
        _write_page(sources)
    if directory:
        _write_textfile(directory, sources)


def _write_page(sources: Sources) -> None:
    from exporter.dashboard.file import DashboardFile

    DashboardFile().write(sources, serving=False)


def _write_textfile(directory: Path, sources: Sources) -> None:
    from exporter.record import EXIT_NOT_OK
    from exporter.textfile import write_textfile

    try:
        write_textfile(directory, sources.exposition)
    except OSError as error:
        raise Failure(f"{error.filename}: the textfile cannot be written: {error.strerror}", EXIT_NOT_OK) from None
