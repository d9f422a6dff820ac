"""Requests wait here for their turn and become runs, several tasks side by side."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial

from exporter.plan import max_run_seconds
from exporter.record import Record
from exporter.runs.answer import Watcher
from exporter.runs.asking import check
from exporter.runs.later import Later
from exporter.runs.runner import LedgerError, NothingToRun, Runner
from exporter.runs.stopping import Stop
from exporter.runs.tickets import NOBODY, Asker, Progress, Ticket, about, key_of
from exporter.store import StoreError
from jobs.core.model import Outcome, Request, Trigger
from jobs.core.ports import Clock

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.5


class Dispatcher:
    """Runs what is submitted. Of equal requests one may be running and one waiting: a third adds nothing.

    `on_running` hears how far a task is (twice a second at most) and when no run of it is left (None);
    `on_record` gets each record with whether it is in the ledger; `on_store` hears that the store failed.
    """

    def __init__(
        self,
        runner: Runner,
        clock: Clock,
        max_parallel: int,
        *,
        on_running: Callable[[str, Progress | None], None],
        on_record: Callable[[Record, bool], None],
        on_store_failure: Callable[[], object],
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._on_running = on_running
        self._on_record = on_record
        self._on_store_failure = on_store_failure
        self._pool = ThreadPoolExecutor(max_parallel, thread_name_prefix="run")
        self._lock = threading.Lock()
        self._tickets: set[Ticket] = set()
        self._waiting: dict[tuple[str, str, str], Ticket] = {}
        self._running: Counter[str] = Counter()
        self._progress: dict[str, Progress] = {}
        self._progress_told: dict[str, float] = {}
        self._later = Later(self._lock, self._admit)

    def submit(self, request: Request, asker: Asker = NOBODY) -> None:
        """Enqueue a request; raise UnknownRequest. One that adds nothing is entered as skipped.

        Who asks hears of the run that does what is asked: for one that adds nothing, of the equal one that waits. When
        everything is stopped before that run begins, they hear nothing. A slot is claimed as the run begins, which
        then does what that claim says; what others have done meanwhile is not done.
        """
        _, request = check(request)
        with self._lock:
            self._admit(request, asker)

    def _admit(self, request: Request, asker: Asker = NOBODY) -> None:
        """Do what `submit` does; to be called with the lock."""
        if self._runner.stop.is_set():
            return
        ticket = self._waiting.get(key_of(request))
        adds_nothing = ticket is not None
        if ticket is None:
            ticket = Ticket(request, Stop(self._runner.stop))
            ticket.work = self._pool.submit(self._guarded, partial(self._run, ticket), request)
            self._waiting[key_of(request)] = ticket
            self._tickets.add(ticket)
        ticket.askers.append(asker)
        # Of a burst of events the first is told; a slot of the schedule is always accounted for.
        if adds_nothing and request.trigger is not Trigger.EVENT:
            self._pool.submit(self._guarded, partial(self._skip, request), request)

    def stop_task(self, task: str, by: str, target: str | None = None) -> list[Request]:
        """End what this process runs of a task (of one target, if given), and let what waits not begin.

        Return what that is, which may be nothing. Each is entered as stopped by whoever `by` is; a run has its grace
        first, and may end by itself in it.
        """
        with self._lock:
            found = [t for t in self._tickets if t.request.task == task and target in (None, t.request.target)]
            for ticket in found:
                ticket.stop.ask(by)
                self._no_longer_waits(ticket)
            cancelled = [t for t in found if t.work and t.work.cancel()]
            self._tickets.difference_update(cancelled)
            put_off = [Ticket(request, Stop(self._runner.stop)) for request in self._later.take_back(task, target)]
        for ticket in put_off:
            ticket.stop.ask(by)
        for ticket in [*cancelled, *put_off]:
            self._guarded(partial(self._cancel, ticket), ticket.request)
        return [ticket.request for ticket in [*found, *put_off]]

    def progress(self, task: str) -> Progress | None:
        """How far the task's run is that began last, or None if none is under way."""
        return self._progress.get(task)

    def stop(self) -> None:
        """End every run within its grace, and wait until each is entered."""
        self._runner.stop.set()
        with self._lock:
            self._later.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _guarded(self, work: Callable[[], None], request: Request) -> None:
        try:
            work()
        except NothingToRun:
            logger.info("somebody else has run it meanwhile", extra=about(request))
        except StoreError as error:
            logger.error(str(error), extra=about(request))
            self._on_store_failure()
        except Exception:  # the pool would keep it to itself
            logger.exception("a run could not be dealt with", extra=about(request))

    def _run(self, ticket: Ticket) -> None:
        record: Record | None = None
        try:
            try:
                record, entered = self._record(ticket)
                self._follow_up(ticket, record)
            finally:
                self._end(ticket)
            self._told(record, entered)
        finally:
            self._hear(ticket, record)

    def _record(self, ticket: Ticket) -> tuple[Record, bool]:
        """The record of a run, and whether it is in the ledger."""
        request = ticket.request
        limit_seconds = max_run_seconds(self._runner.configuration, request.task)
        watcher = Watcher(partial(self._begin, ticket), self._advance)
        claim = partial(self._claim, ticket)
        try:
            return self._runner.run(request, watcher, wait_seconds=limit_seconds, stop=ticket.stop, claim=claim), True
        except LedgerError as error:
            logger.error(str(error), extra=about(request))
            return error.record, False

    def _claim(self, ticket: Ticket) -> Request | None:
        with self._lock:
            self._no_longer_waits(ticket)  # who asks from here on would come too late for this run
        return ticket.claim()

    def _skip(self, request: Request) -> None:
        reason = "the same run is waiting already"
        self._told(self._runner.enter(request, Outcome.SKIPPED, reason, self._clock.now()), True)

    def _cancel(self, ticket: Ticket) -> None:
        record: Record | None = None
        try:
            reason = f"{ticket.stop.reason} before it began"
            claim = partial(self._claim, ticket)
            record = self._runner.enter(ticket.request, Outcome.STOPPED, reason, self._clock.now(), claim)
            self._told(record, True)
        finally:
            self._hear(ticket, record)

    def _hear(self, ticket: Ticket, record: Record | None) -> None:
        for asker in ticket.askers:
            self._guarded(partial(asker.on_end, record), ticket.request)

    def _begin(self, ticket: Ticket, request: Request, since: datetime) -> None:
        """Show a run as begun, with what it was asked for in the end."""
        ticket.request, task = request, request.task
        for asker in ticket.askers:
            asker.on_begin()
        logger.info("run started", extra=about(ticket.request))
        with self._lock:
            ticket.begun = True
            self._running[task] += 1
            self._progress[task] = Progress(since)
        self._on_running(task, self._progress[task])

    def _no_longer_waits(self, ticket: Ticket) -> None:
        """Let the next equal request have a run of its own; to be called with the lock."""
        if self._waiting.get(key_of(ticket.request)) is ticket:
            del self._waiting[key_of(ticket.request)]

    def _advance(self, request: Request, done: int, total: int, message: str) -> None:
        task, now = request.task, self._clock.monotonic()
        with self._lock:
            progress = replace(self._progress[task], done=done, total=total, message=message)
            self._progress[task] = progress
            # Each telling renders a body anew; a run may step thousands of times a second.
            due = now - self._progress_told.get(task, 0.0) >= PROGRESS_SECONDS
            if due:
                self._progress_told[task] = now
        if due:
            self._on_running(task, progress)

    def _end(self, ticket: Ticket) -> None:
        """Show a run as ended, if it had begun."""
        task = ticket.request.task
        with self._lock:
            self._tickets.discard(ticket)
            self._no_longer_waits(ticket)
            self._running[task] -= ticket.begun
            idle = ticket.begun and self._running[task] == 0
            if idle:
                del self._progress[task]
        if idle:
            self._on_running(task, None)

    def _told(self, record: Record, entered: bool) -> None:
        as_wanted = record.outcome in (Outcome.OK, Outcome.SKIPPED, Outcome.STOPPED)
        level = logging.INFO if as_wanted else logging.ERROR
        came_of_it = record.error or (f"{record.result.status}: {record.result.summary}" if record.result else "")
        seconds = round(record.duration_seconds, 3)
        logger.log(
            level,
            "run ended",
            extra=about(record.request) | {"outcome": record.outcome, "seconds": seconds, "result": came_of_it},
        )
        self._on_record(record, entered)

    def _follow_up(self, ticket: Ticket, record: Record) -> None:
        """Enqueue later what the run has asked for, unless somebody has stopped it."""
        seconds = record.result.run_again_seconds if record.result else None
        again = {"trigger": Trigger.FOLLOW_UP, "mode": "", "reason": "asked for by the run before"}
        with self._lock:
            if seconds is not None and not ticket.stop.is_set():
                self._later.put_off(check(record.request.model_copy(update=again))[1], seconds)
