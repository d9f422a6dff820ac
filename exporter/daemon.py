"""The daemon: requests from schedule, Docker events and API go in, and what the ledger says comes out on /metrics."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta

from exporter import metrics
from exporter.config import ConfigError, Configuration
from exporter.plan import cadences_of, max_run_seconds, stale_after_seconds
from exporter.record import Record
from exporter.replay import replayed_metrics
from exporter.runner import LedgerError, Runner, Watcher
from exporter.scheduler import Scheduler
from exporter.store import Store, StoreError
from exporter.textfile import write_textfile
from jobs.core.model import Outcome, Request, Trigger
from jobs.core.ports import Clock
from jobs.core.registry import all_jobs

logger = logging.getLogger(__name__)

PRUNE_SECONDS = 3600
NEEDS_RESTART = ("base_dir", "web.listen_address", "runs.max_parallel")
"""What a reload cannot change."""


class Daemon:
    """Ties scheduler, runner, store and metrics together; owns the threads that are not the web server's."""

    def __init__(
        self,
        configuration: Configuration,
        store: Store,
        clock: Clock,
        reload_configuration: Callable[[], Configuration],
    ) -> None:
        settings = configuration.settings
        self._seen = store.last_finish_order()
        self.metrics = replayed_metrics(configuration, store, clock.now())
        self.metrics.set(metrics.STORE_UP, 1)
        self.runner = Runner(configuration, store, clock)
        self._store = store
        self._clock = clock
        self._reload = reload_configuration
        self._scheduler = Scheduler(store, clock, self.submit, self._note_store)
        self._pool = ThreadPoolExecutor(settings.runs.max_parallel, thread_name_prefix="run")
        self._pending: set[tuple[str, str, str]] = set()
        self._pending_lock = threading.Lock()
        self._follow_lock = threading.Lock()
        self._stop = threading.Event()
        self._timers: set[threading.Timer] = set()
        self._thread = threading.Thread(target=self._work, name="scheduler")
        self.ready = threading.Event()
        """Set once the schedule is being watched."""

    @property
    def configuration(self) -> Configuration:
        """The configuration in force."""
        return self.runner.configuration

    # Life

    def start(self) -> None:
        """Close what a former life left open, show what the ledger knows, and begin to watch the schedule."""
        self._close_unfinished()
        self._plan()
        self.metrics.set(metrics.RELOAD_TIME, self._clock.now().timestamp())
        self._thread.start()

    def stop(self) -> None:
        """End every run within its grace, enter it as stopped, and let go."""
        self._stop.set()
        self.runner.stop.set()
        for timer in list(self._timers):
            timer.cancel()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _work(self) -> None:
        self._scheduler.start()
        self.ready.set()
        next_prune = self._clock.monotonic()
        while not self._stop.wait(1):
            try:
                self._scheduler.run_pending()
                self._plan_metrics()
                self.follow()
                for task in self.metrics.expire(self._clock.now()):
                    logger.warning("no result for too long: its gauges are taken back", extra={"task": task})
                if self._clock.monotonic() >= next_prune:
                    next_prune = self._clock.monotonic() + PRUNE_SECONDS
                    days = self.configuration.settings.runs.ledger_retention_days
                    self._store.prune(self._clock.now(), timedelta(days=days))
            except StoreError as error:
                logger.error(str(error))
                self._note_store(False)

    def _close_unfinished(self) -> None:
        for run_id, request, pid, started in self._store.unfinished_runs():
            reason = f"the process that ran it (pid {pid}) ended before it did"
            self.runner.close(run_id, request, Outcome.ERROR, reason, started)
            logger.warning("a run was cut off", extra={"task": request.task, "run": run_id})

    # Configuration

    def reload(self) -> list[str]:
        """Load the configuration anew; return what is wrong with it, in which case the old one stays."""
        try:
            fresh = self._reload()
            problems = [
                f"{path}: cannot change while running; restart the exporter"
                for path in NEEDS_RESTART
                if _value(fresh, path) != _value(self.configuration, path)
            ]
        except ConfigError as error:
            problems = error.problems
        self.metrics.set(metrics.RELOAD_OK, float(not problems))
        for problem in problems:
            logger.error("configuration not reloaded", extra={"problem": problem})
        if not problems:
            self.runner.configuration = fresh
            self.metrics.exposition.max_series_per_family = fresh.settings.web.max_series_per_family
            self._plan()
            self.metrics.set(metrics.RELOAD_TIME, self._clock.now().timestamp())
            logger.info("configuration reloaded")
        return problems

    def _plan(self) -> None:
        configuration = self.configuration
        self._scheduler.plan((task, cadence) for task in all_jobs() for cadence in cadences_of(configuration, task))
        self._plan_metrics()

    def _plan_metrics(self) -> None:
        configuration, now = self.configuration, self._clock.now()
        with self.metrics.exposition.changes():
            for task in all_jobs():
                cadences = cadences_of(configuration, task)
                self.metrics.plan(task, cadences, max_run_seconds(configuration, task), now)

    # Runs

    def submit(self, request: Request) -> Future[Record | None]:
        """Enqueue a request; raise UnknownRequest. The same run is not started twice: the second is skipped."""
        _, request = self.runner.check(request)
        return self._pool.submit(self._run, request)

    def _run(self, request: Request) -> Record | None:
        with self._unless_pending(request) as alone:
            try:
                if alone:
                    wait_seconds = max_run_seconds(self.configuration, request.task)
                    record = self.runner.run(request, Watcher(started=self._show_running), wait_seconds=wait_seconds)
                else:
                    reason = "the same run is waiting or under way already"
                    record = self.runner.enter(request, Outcome.SKIPPED, reason, self._clock.now())
            except LedgerError as error:
                logger.error(str(error), extra={"task": request.task})
                record = error.record
                self.metrics.record(record, stale_after_seconds(self.configuration, request.task))
                self._note_store(False)
            except StoreError as error:
                logger.error(str(error), extra={"task": request.task})
                self._note_store(False)
                return None
            finally:
                if alone:
                    self._show_idle(request)
        self._after(record)
        return record

    @contextmanager
    def _unless_pending(self, request: Request) -> Iterator[bool]:
        key = (request.task, request.mode, request.target)
        with self._pending_lock:
            alone = key not in self._pending
            self._pending.add(key)
        try:
            yield alone
        finally:
            if alone:
                with self._pending_lock:
                    self._pending.discard(key)

    def _show_running(self, request: Request, since: datetime) -> None:
        logger.info("run started", extra=_about(request))
        self.metrics.running(request.task, since)

    def _show_idle(self, request: Request) -> None:
        with self._pending_lock:
            others = any(task == request.task for task, mode, target in self._pending if target != request.target)
        if not others:
            self.metrics.running(request.task, None)

    def _after(self, record: Record) -> None:
        level = logging.INFO if record.outcome in (Outcome.OK, Outcome.SKIPPED) else logging.ERROR
        came_of_it = record.result.summary or record.result.status if record.result else ""
        about = _about(record.request) | {"outcome": record.outcome, "seconds": round(record.duration_seconds, 3)}
        logger.log(level, "run ended", extra=about | {"result": record.error or came_of_it})
        try:
            self.follow()
        except StoreError as error:
            logger.error(str(error))
            self._note_store(False)
        if record.result and record.result.run_again_seconds is not None:
            self._later(record.request, record.result.run_again_seconds)

    def _later(self, request: Request, seconds: float) -> None:
        reason = "asked for by the run before"
        again = request.model_copy(update={"trigger": Trigger.FOLLOW_UP, "mode": "", "reason": reason})

        def submit() -> None:
            self._timers.discard(timer)
            if not self._stop.is_set():
                self.submit(again)

        timer = threading.Timer(seconds, submit)
        timer.daemon = True
        self._timers.add(timer)
        timer.start()

    # Ledger to metrics

    def follow(self) -> None:
        """Show every record that was entered since the last look, by this process or another one."""
        with self._follow_lock:
            fresh = self._store.finished_after(self._seen)
            if not fresh:
                return
            with self.metrics.exposition.changes():
                self.metrics.counters(self._store.counters())
                for order, record in fresh:
                    self._seen = order
                    if record.request.task in all_jobs():
                        self.metrics.record(record, stale_after_seconds(self.configuration, record.request.task))
            self._note_store(True)
            self._write_textfile()

    def _write_textfile(self) -> None:
        directory = self.configuration.settings.textfile.directory
        if directory:
            try:
                write_textfile(directory, self.metrics.exposition)
            except OSError as error:
                logger.error("textfile not written", extra={"file": error.filename, "reason": error.strerror})

    def _note_store(self, worked: bool) -> None:
        if self.metrics.exposition.get(metrics.STORE_UP.name) != float(worked):
            self.metrics.set(metrics.STORE_UP, float(worked))


def _about(request: Request) -> dict[str, str]:
    about = {"task": request.task, "mode": request.mode, "trigger": request.trigger.value}
    return about | ({"target": request.target} if request.target else {})


def _value(configuration: Configuration, path: str) -> object:
    value: object = configuration.settings
    for name in path.split("."):
        value = getattr(value, name)
    return value
