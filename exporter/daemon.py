"""The daemon: requests from schedule, Docker events and API go in, and what the ledger says comes out on /metrics."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from exporter import metrics
from exporter.bridge.families import INTAKE_REFUSED
from exporter.bridge.incoming.reception import Reception
from exporter.bridge.outgoing.upkeep import Upkeep
from exporter.bridge.remediation import remediations
from exporter.config import ConfigError, Configuration
from exporter.dashboard.file import DashboardFile
from exporter.dispatcher import Dispatcher, OnBegin, OnEnd, Progress
from exporter.hub import Hub
from exporter.locks import holder_of, run_lock
from exporter.plan import cadences_of, max_run_seconds, stale_after_seconds
from exporter.record import Record
from exporter.replay import replayed_metrics
from exporter.retention import may_remove
from exporter.runner import Runner
from exporter.scheduler import Scheduler
from exporter.self_report import wrong
from exporter.store import Store, StoreError
from exporter.textfile import write_textfile
from exporter.views.sources import Sources
from jobs.core.agents.families import UP
from jobs.core.files import remove_leftovers
from jobs.core.model import Request
from jobs.core.ports import Clock
from jobs.core.registry import all_jobs

if TYPE_CHECKING:
    from exporter.views.shapes import RunEntry, RunningEntry

logger = logging.getLogger(__name__)

UPKEEP_SECONDS = 3600
STALL_SECONDS = 12
"""An access to the store that lasts longer (SQLite itself gives up before that) waits for a disk that is stuck."""
OWN_DIRECTORIES = ("dashboard", "data", "logs", "reports", "secrets_secure")
NEEDS_RESTART = ("base_dir", "docker.url", "web", "runs.max_parallel")
"""What a reload cannot change."""


class Daemon:
    """Ties scheduler, dispatcher, store and metrics together.

    `reload_configuration` reads the configuration anew; `on_reloaded` hears when a new one is in force, `on_wrong` what
    is wrong with the daemon itself whenever that has changed.
    """

    def __init__(
        self,
        configuration: Configuration,
        store: Store,
        clock: Clock,
        reload_configuration: Callable[[], Configuration],
        on_reloaded: Callable[[Configuration], None] = lambda configuration: None,
        on_wrong: Callable[[list[str]], None] = lambda words: None,
    ) -> None:
        settings = configuration.settings
        self._seen = store.last_finish_order()
        self.metrics = replayed_metrics(configuration, store, clock.now())
        self.metrics.set(metrics.STORE_UP, 1)
        self.runner = Runner(configuration, store, clock)
        self._store = store
        self._clock = clock
        self._reload = reload_configuration
        self._on_reloaded = on_reloaded
        self._on_wrong = on_wrong
        self._wrong: list[str] = []
        self._dispatcher = Dispatcher(
            self.runner,
            clock,
            settings.runs.max_parallel,
            on_running=self._show_progress,
            on_record=self._on_record,
            on_store_failure=lambda: self._note_store(False),
        )
        self._scheduler = Scheduler(store, clock, self.submit, self._note_store)
        self._bridge = Upkeep(store, self.metrics.exposition, clock)
        self.reception = Reception(store, clock, self._note_store)
        self.alerts_came = self.reception.came
        """Set when alerts came in that nobody has dealt with."""
        self._show_refusals()
        self._page = DashboardFile()
        self._follow_lock = threading.Lock()
        self._reload_lock = threading.Lock()
        self._next_upkeep = clock.monotonic() + UPKEEP_SECONDS
        self._stop = threading.Event()
        self._replan = threading.Event()
        self._thread = threading.Thread(target=self._work, name="scheduler")
        self._watchdog = threading.Thread(target=self._watch_store, name="store-watch", daemon=True)
        self.hub = Hub()
        """Who listens to what happens here."""
        self.ready = threading.Event()
        """Set once the schedule is being watched."""

    @property
    def configuration(self) -> Configuration:
        """The configuration in force."""
        return self.runner.configuration

    # Life

    def start(self) -> None:
        """Close what a former life left open, show what the ledger knows, and begin to watch the schedule."""
        self._tidy()
        self._plan()
        self.metrics.set(metrics.RELOAD_TIME, self._clock.now().timestamp())
        self._thread.start()
        self._watchdog.start()

    def stop(self) -> None:
        """End every run within its grace, enter it as stopped, and let go."""
        self._stop.set()
        self.runner.stop.set()
        self.hub.close()
        if self._thread.is_alive():
            self._thread.join()
        self._dispatcher.stop()
        self._write_page(serving=False)

    def _work(self) -> None:
        self._scheduler.start()
        self.ready.set()
        while not self._stop.wait(1):
            try:
                self._look()
            except StoreError as error:
                logger.error(str(error))
                self._note_store(False)
                if self._tell_wrong():
                    self._write_page()
            except Exception:  # whatever it is, the schedule must go on
                logger.exception("the schedule could not be looked at")

    def _watch_store(self) -> None:
        """Show a store that does not answer: whoever asked it is stuck with it, and says nothing."""
        while not self._stop.wait(1):
            if self._store.stalled_seconds() > STALL_SECONDS and self._note_store(False):
                logger.error("the store does not answer: its disk is frozen or gone", extra={"file": self._store.file})

    def _look(self) -> None:
        """What is due each second."""
        self._show_refusals()
        if self._replan.is_set():
            self._replan.clear()
            self._plan()
        self._scheduler.run_pending()
        self._plan_metrics()
        self.follow()
        looked = self._bridge.look(self.configuration.settings)
        if self._tell_wrong() or looked:
            self._write_textfile()
            self._write_page()
        for task in self.metrics.expire(self._clock.now()):
            logger.warning("no result for too long: its gauges are taken back", extra={"task": task})
        if self._clock.monotonic() >= self._next_upkeep:
            self._next_upkeep = self._clock.monotonic() + UPKEEP_SECONDS
            self._tidy()
            self._prune()

    def _prune(self) -> None:
        settings, now = self.configuration.settings, self._clock.now()
        try:
            may = may_remove(settings.base_dir, "ledger", now)
        except OSError as error:
            logger.warning("the ledger is not pruned", extra={"file": error.filename, "reason": error.strerror})
            return
        if may:
            retention = timedelta(days=settings.runs.ledger_retention_days)
            self._store.prune(now, retention)
            self._bridge.prune(retention)
            remediations.prune(self._store, now - retention)
            self.reception.prune(retention)

    def _tidy(self) -> None:
        """Account for runs and files that a kill has cut off."""
        self.runner.close_cut_off()
        yesterday = self._clock.now() - timedelta(days=1)
        for directory in OWN_DIRECTORIES:
            try:
                removed = remove_leftovers(self.configuration.settings.base_dir / directory, yesterday)
            except OSError as error:
                logger.warning("leftovers stay", extra={"file": error.filename, "reason": error.strerror})
                continue
            for file in removed:
                logger.warning("removed what an interrupted write had left", extra={"file": str(file)})

    # Configuration

    def reload(self) -> list[str]:
        """Load the configuration anew; return what is wrong with it, in which case the old one stays."""
        with self._reload_lock:  # of two at once, the one that read the older file must not be the last
            return self._reload_alone()

    def _reload_alone(self) -> list[str]:
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
            self._replan.set()
            self._on_reloaded(fresh)
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

    def submit(self, request: Request, on_end: OnEnd | None = None, on_begin: OnBegin | None = None) -> None:
        """Enqueue a request; raise UnknownRequest. `on_end` gets the record of the run that does it."""
        self._dispatcher.submit(request, on_end, on_begin)

    def stop_task(self, task: str, by: str, target: str | None = None) -> list[Request]:
        """End what this daemon runs of a task, and let what waits not begin; return what that is."""
        return self._dispatcher.stop_task(task, by, target)

    def running(self, task: str) -> RunningEntry | None:
        """A task's run that is under way here, as views tell of it."""
        from exporter.views import runs

        return runs.running(self.sources(), task, {})

    def _run_entry(self, record: Record) -> RunEntry:
        from exporter.views import runs

        return runs.run_entry(self.sources(), record)

    def is_stopping(self) -> bool:
        """Whether no run is begun any more."""
        return self.runner.stop.is_set()

    def holder(self, task: str, target: str | None = None) -> str:
        """Which other process runs a task (for a target, if given); empty where none does. Raise StoreError."""
        base_dir = self.configuration.settings.base_dir
        targets = [
            request.target
            for _, request, pid, _ in self._store.unfinished_runs()
            if request.task == task and target in (None, request.target) and pid != os.getpid()
        ]
        # The entry stays when a process is killed, the lock does not.
        holders = (holder_of(run_lock(base_dir, task, found)) for found in targets)
        return next(filter(None, holders), "")

    def progress(self, task: str) -> Progress | None:
        """How far a task's run is, or None if none is under way."""
        return self._dispatcher.progress(task)

    def sources(self) -> Sources:
        """What views look at now."""
        return Sources(self.configuration, self._store, self.metrics.exposition, self._clock.now(), self.progress)

    def known_agents(self) -> frozenset[str]:
        """The agents that are listed, and those that the agent monitor last reported."""
        listed = self.configuration.settings.agents.listed or ()
        return frozenset(agent.name for agent in listed) | self.seen_agents()

    def seen_agents(self) -> frozenset[str]:
        """The agents that the agent monitor last reported; none where it has not looked yet."""
        seen = self.metrics.exposition.series(UP.name) if "agent-monitor" in all_jobs() else []
        return frozenset(labels["agent"] for labels, _ in seen)

    def _show_progress(self, task: str, progress: Progress | None) -> None:
        if progress:
            self.metrics.running(task, progress.since, progress.ratio)
        else:
            self.metrics.running(task, None)
        self.hub.tell("progress", task, lambda: {"task": task, "running": self.running(task)})

    def _on_record(self, record: Record, entered: bool) -> None:
        try:
            if not entered:
                raise StoreError("the record is not in the ledger and shown all the same")
            self.follow()
        except StoreError as error:
            logger.error(str(error))
            self.metrics.record(record, stale_after_seconds(self.configuration, record.request.task))
            self._note_store(False)

    # Ledger to metrics

    def follow(self) -> None:
        """Show every record that was entered since the last look, by this process or another one."""
        with self._follow_lock:
            fresh = self._store.finished_after(self._seen)
            if not fresh:
                return
            counters = self._store.counters()  # before the exposition is held: this may take as long as the disk does
            with self.metrics.exposition.changes():
                self.metrics.counters(counters)
                for order, record in fresh:
                    self._seen = order
                    if record.request.task in all_jobs():
                        self.metrics.record(record, stale_after_seconds(self.configuration, record.request.task))
            for order, record in fresh:
                self.hub.tell("run", str(order), partial(self._run_entry, record))
            self._note_store(True)
            self._write_textfile()

    def _show_refusals(self) -> None:
        self.metrics.exposition.replace(INTAKE_REFUSED.name, self.reception.refusals.series())

    def _write_textfile(self) -> None:
        directory = self.configuration.settings.textfile.directory
        if directory:
            try:
                write_textfile(directory, self.metrics.exposition)
            except OSError as error:
                logger.error("textfile not written", extra={"file": error.filename, "reason": error.strerror})

    def _write_page(self, *, serving: bool = True) -> None:
        """Write the status page. The schedule asks once a second at most, whenever anything has changed."""
        written = self._page.write(self.sources(), serving=serving)
        self.metrics.set(metrics.PAGE_WRITTEN, float(written))

    def _tell_wrong(self) -> bool:
        """Say what is wrong with the daemon itself, if that is news; whether it is."""
        found = wrong(self.metrics.exposition)
        if found == self._wrong:
            return False
        self._wrong = found
        self._on_wrong(found)
        return True

    def _note_store(self, worked: bool) -> bool:
        """Show whether the store works; say whether that is news."""
        news = self.metrics.exposition.get(metrics.STORE_UP.name) != float(worked)
        if news:
            self.metrics.set(metrics.STORE_UP, float(worked))
        return news


def _value(configuration: Configuration, path: str) -> object:
    value: object = configuration.settings
    for name in path.split("."):
        value = getattr(value, name)
    return value
