"""Requests wait here for their turn and become runs, several tasks side by side."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

from exporter.plan import max_run_seconds
from exporter.record import Record
from exporter.runner import LedgerError, Runner, Watcher, check
from exporter.store import StoreError
from jobs.core.model import Outcome, Request, Trigger
from jobs.core.ports import Clock

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.5

OnEnd = Callable[[Record | None], None]
"""Hears, on the thread of the run, how it ended; None if it came to no record."""


@dataclass(frozen=True)
class Progress:
    """How far a run is: `done` of `total` steps; `total` is 0 until the run has said."""

    since: datetime
    done: int = 0
    total: int = 0
    message: str = ""

    @property
    def ratio(self) -> float:
        """The share that is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0


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
        self._waiting: dict[tuple[str, str, str], list[OnEnd]] = {}
        self._running: Counter[str] = Counter()
        self._progress: dict[str, Progress] = {}
        self._progress_told: dict[str, float] = {}
        self._timers: set[threading.Timer] = set()

    def submit(self, request: Request, on_end: OnEnd | None = None) -> None:
        """Enqueue a request; raise UnknownRequest. One that adds nothing is entered as skipped.

        `on_end` gets the record of the run that does what is asked: of one that adds nothing, that of the equal one
        that waits. When everything is stopped before that run begins, it hears nothing.
        """
        _, request = check(request)
        if self._runner.stop.is_set():
            return
        with self._lock:
            adds_nothing = _key(request) in self._waiting
            listeners = self._waiting.setdefault(_key(request), [])
            if on_end:
                listeners.append(on_end)
        # Of a burst of events the first is told; a slot of the schedule is always accounted for.
        if not adds_nothing:
            self._pool.submit(self._guarded, self._run, request)
        elif request.trigger is not Trigger.EVENT:
            self._pool.submit(self._guarded, self._skip, request)

    def submit_later(self, request: Request, seconds: float) -> None:
        """Enqueue a request after a time, unless we are stopped before."""

        def submit() -> None:
            self._timers.discard(timer)
            self.submit(request)

        timer = threading.Timer(seconds, submit)
        timer.daemon = True
        self._timers.add(timer)
        timer.start()

    def progress(self, task: str) -> Progress | None:
        """How far the task's run is that began last, or None if none is under way."""
        return self._progress.get(task)

    def stop(self) -> None:
        """End every run within its grace, and wait until each is entered."""
        self._runner.stop.set()
        for timer in list(self._timers):
            timer.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _guarded(self, work: Callable[[Request], None], request: Request) -> None:
        try:
            work(request)
        except StoreError as error:
            logger.error(str(error), extra=about(request))
            self._on_store_failure()
        except Exception:  # the pool would keep it to itself
            logger.exception("a run could not be dealt with", extra=about(request))

    def _run(self, request: Request) -> None:
        begun: list[OnEnd] | None = None
        listeners: list[OnEnd] = []
        record: Record | None = None

        def started(request: Request, since: datetime) -> None:
            nonlocal begun
            begun = self._begin(request, since)

        try:
            try:
                record, entered = self._record(request, started)
            finally:
                listeners = self._end(request, begun)
            self._told(record, entered)
        finally:
            for listener in listeners:
                listener(record)

    def _record(self, request: Request, started: Callable[[Request, datetime], None]) -> tuple[Record, bool]:
        """The record of a run, and whether it is in the ledger."""
        limit_seconds = max_run_seconds(self._runner.configuration, request.task)
        try:
            return self._runner.run(request, Watcher(started, self._advance), wait_seconds=limit_seconds), True
        except LedgerError as error:
            logger.error(str(error), extra=about(request))
            return error.record, False

    def _skip(self, request: Request) -> None:
        reason = "the same run is waiting already"
        self._told(self._runner.enter(request, Outcome.SKIPPED, reason, self._clock.now()), True)

    def _begin(self, request: Request, since: datetime) -> list[OnEnd]:
        """Show a run as begun; return who wants to hear of its end."""
        logger.info("run started", extra=about(request))
        with self._lock:
            listeners = self._waiting.pop(_key(request), [])
            self._running[request.task] += 1
            self._progress[request.task] = Progress(since)
        self._on_running(request.task, self._progress[request.task])
        return listeners

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

    def _end(self, request: Request, begun: list[OnEnd] | None) -> list[OnEnd]:
        """Show a run as ended, if it had begun (what `_begin` returned); return who wants to hear of it."""
        with self._lock:
            if begun is None:
                return self._waiting.pop(_key(request), [])
            self._running[request.task] -= 1
            idle = self._running[request.task] == 0
            if idle:
                del self._progress[request.task]
        if idle:
            self._on_running(request.task, None)
        return begun

    def _told(self, record: Record, entered: bool) -> None:
        level = logging.INFO if record.outcome in (Outcome.OK, Outcome.SKIPPED) else logging.ERROR
        came_of_it = record.error or (f"{record.result.status}: {record.result.summary}" if record.result else "")
        seconds = round(record.duration_seconds, 3)
        logger.log(
            level,
            "run ended",
            extra=about(record.request) | {"outcome": record.outcome, "seconds": seconds, "result": came_of_it},
        )
        self._on_record(record, entered)
        if record.result and record.result.run_again_seconds is not None:
            again = {"trigger": Trigger.FOLLOW_UP, "mode": "", "reason": "asked for by the run before"}
            self.submit_later(record.request.model_copy(update=again), record.result.run_again_seconds)


def about(request: Request) -> dict[str, str]:
    """A request as fields of a log line."""
    fields = {"task": request.task, "mode": request.mode, "trigger": request.trigger.value}
    return fields | ({"target": request.target} if request.target else {})


def _key(request: Request) -> tuple[str, str, str]:
    return request.task, request.mode, request.target
