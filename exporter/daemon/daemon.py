"""The daemon: requests from schedule, Docker events and API go in, and what the ledger says comes out on /metrics."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from exporter import metrics
from exporter.bridge.families import INTAKE_REFUSED
from exporter.bridge.incoming.reception import Reception
from exporter.bridge.outgoing.upkeep import Upkeep
from exporter.config import ConfigError, Configuration
from exporter.daemon.files import Files
from exporter.daemon.following import Follower
from exporter.daemon.housekeeping import Housekeeping
from exporter.daemon.hub import Hub
from exporter.daemon.reloading import needs_restart
from exporter.daemon.store_watch import StoreWatch
from exporter.plan import cadences_of, stale_after_seconds
from exporter.record import Record
from exporter.replay import show_plan
from exporter.runs.dispatcher import Dispatcher
from exporter.runs.runner import Runner
from exporter.runs.tickets import NOBODY, Asker, Progress
from exporter.runs.under_way import held_elsewhere
from exporter.scheduler import Scheduler
from exporter.store import Store, StoreError
from exporter.views.sources import Sources
from jobs.core.agents.families import UP
from jobs.core.model import Request
from jobs.core.ports import Clock
from jobs.core.registry import all_jobs

if TYPE_CHECKING:
    from exporter.views.shapes import RunningEntry

logger = logging.getLogger(__name__)


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
        self.hub = Hub()
        """Who listens to what happens here."""
        self._follower = Follower(configuration, store, clock.now(), self.hub, self.sources)
        self.metrics = self._follower.metrics
        self._stop = threading.Event()
        self._store_watch = StoreWatch(store, self.metrics, self._stop)
        self.runner = Runner(configuration, store, clock)
        self._store, self._clock = store, clock
        self._reload, self._on_reloaded = reload_configuration, on_reloaded
        self._dispatcher = Dispatcher(
            self.runner,
            clock,
            settings.runs.max_parallel,
            on_running=self._show_progress,
            on_record=self._on_record,
            on_store_failure=lambda: self._store_watch.note(False),
        )
        self._scheduler = Scheduler(store, clock, self._dispatcher.submit, self._store_watch.note)
        self._bridge = Upkeep(store, self.metrics.exposition, clock)
        self.reception = Reception(store, clock, self._store_watch.note)
        self.alerts_came = self.reception.came
        """Set when alerts came in that nobody has dealt with."""
        self.housekeeping = Housekeeping(store, self.runner, self._bridge, self.reception, clock)
        self._show_refusals()
        self._files = Files(self.metrics, self.sources, on_wrong)
        self._follow_lock, self._reload_lock = threading.Lock(), threading.Lock()
        self._replan, self._reload_tried = threading.Event(), threading.Event()
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
        self.housekeeping.tidy(self.configuration.settings)
        self._plan()
        self.metrics.set(metrics.RELOAD_TIME, self._clock.now().timestamp())
        self._thread.start()
        self._store_watch.start()

    def stop(self) -> None:
        """End every run within its grace, enter it as stopped, and let go."""
        self._stop.set()
        self.runner.stop.set()
        self.hub.close()
        if self._thread.is_alive():
            self._thread.join()
        self._dispatcher.stop()
        self._files.write_page(serving=False)

    def _work(self) -> None:
        self._scheduler.start()
        self.ready.set()
        while not self._stop.wait(1):
            try:
                self._look()
            except StoreError as error:
                logger.error(str(error))
                self._store_watch.note(False)
                if self._files.tell_wrong():
                    self._files.write_page()
            except Exception:  # whatever it is, the schedule must go on
                logger.exception("the schedule could not be looked at")

    def _look(self) -> None:
        """What is due each second."""
        self._show_refusals()
        if self._replan.is_set():
            self._replan.clear()
            self._plan()
        self._scheduler.run_pending()
        show_plan(self.metrics, self.configuration, self._clock.now())
        self._follow()
        reloaded = self._reload_tried.is_set()
        self._reload_tried.clear()
        looked = self._bridge.look(self.configuration.settings)
        if self._files.tell_wrong() or looked or reloaded:
            self._files.write_textfile()
            self._files.write_page()
        for task in self.metrics.expire(self._clock.now()):
            logger.warning("no result for too long: its gauges are taken back", extra={"task": task})
        self.housekeeping.look(self.configuration.settings)

    # Configuration

    def reload(self) -> list[str]:
        """Load the configuration anew; return what is wrong with it, in which case the old one stays."""
        with self._reload_lock:  # of two at once, the one that read the older file must not be the last
            return self._reload_alone()

    def _reload_alone(self) -> list[str]:
        try:
            fresh = self._reload()
            problems = needs_restart(self.configuration, fresh)
        except ConfigError as error:
            problems = error.problems
        self.metrics.set(metrics.RELOAD_OK, float(not problems))
        self._reload_tried.set()
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
        show_plan(self.metrics, self.configuration, self._clock.now())

    # Runs

    def submit(self, request: Request, asker: Asker = NOBODY) -> None:
        """Enqueue a request; raise UnknownRequest (`Dispatcher.submit`)."""
        self._dispatcher.submit(request, asker)

    def stop_task(self, task: str, by: str, target: str | None = None) -> list[Request]:
        """End what this daemon runs of a task, and let what waits not begin; return what that is."""
        return self._dispatcher.stop_task(task, by, target)

    def running(self, task: str) -> RunningEntry | None:
        """A task's run that is under way here, as views tell of it."""
        from exporter.views import runs

        return runs.running(self.sources(), task, {})

    def is_stopping(self) -> bool:
        """Whether no run is begun any more."""
        return self.runner.stop.is_set()

    def holder(self, task: str, target: str | None = None) -> str:
        """Which other process runs a task (for a target, if given); empty where none does. Raise StoreError."""
        return held_elsewhere(self._store, self.configuration.settings.base_dir, task, target)

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
            self._follow()
        except StoreError as error:
            logger.error(str(error))
            self.metrics.record(record, stale_after_seconds(self.configuration, record.request.task))
            self._store_watch.note(False)

    # What others see

    def _follow(self) -> None:
        """Show what was entered into the ledger since the last look; raise StoreError."""
        with self._follow_lock:
            if self._follower.look(self.configuration):
                self._store_watch.note(True)
                self._files.write_textfile()

    def _show_refusals(self) -> None:
        self.metrics.exposition.replace(INTAKE_REFUSED.name, self.reception.refusals.series())
