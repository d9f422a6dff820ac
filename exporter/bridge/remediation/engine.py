"""The engine: alerts in the inbox become remediations, remediations become runs, and a new look says what they did.

It looks once a second, and when a run has ended. What it does survives it: every decision is in the store before
anything is run, and what a kill has cut off is looked at first, never run again.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.bridge.model import RemediationState
from exporter.bridge.remediation import attempts, audit, receiving, remediations, remedies
from exporter.bridge.remediation.desk import FAILED, TASK, Desk
from exporter.bridge.remediation.proof import doubt
from exporter.bridge.remediation.receiving import Place
from exporter.bridge.remediation.remediations import Entry
from exporter.bridge.remediation.settings import Remediation
from exporter.record import Record
from exporter.settings import Settings
from exporter.store import Store, StoreError
from jobs.core.model import Outcome, Request
from jobs.core.ports import Clock

if TYPE_CHECKING:
    from exporter.runs.tickets import OnEnd

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
CHECK_SECONDS = 86400.0
"""How often the whole audit log is checked."""


@dataclass
class Flight:
    """A remediation whose runs are under way: those that are still to come, and whether the last is the look."""

    entry: Entry
    rule: Remediation | None
    steps: list[Request] = field(default_factory=list)
    looks: bool = False

    @property
    def reason(self) -> str:
        """What its runs say of why they are."""
        return f"alert {self.entry.alert.name}, remediation {self.entry.id}"


@dataclass(frozen=True)
class Surroundings:
    """What the engine is given: settings in force, agents that are known, how to run something, and whom to tell."""

    settings: Callable[[], Settings]
    known_agents: Callable[[], Collection[str]]
    submit: Callable[[Request, OnEnd], None]
    stopping: Callable[[], bool]
    audit_checked: Callable[[bool], None]
    came: threading.Event = field(default_factory=threading.Event)
    """Set when there is something to do: alerts came, or a run has ended."""


class Engine:
    """One thread; only `start`, `stop` and the callbacks of runs are for others."""

    def __init__(self, store: Store, clock: Clock, around: Surroundings) -> None:
        self._store, self._clock, self._around = store, clock, around
        self._flights: dict[int, Flight] = {}
        self._blocked: dict[int, Place] = {}
        self._ended: queue.SimpleQueue[tuple[int, Record | None]] = queue.SimpleQueue()
        self._unsettled: list[tuple[int, Record | None]] = []
        self._next_check = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="remediation")

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; what runs is looked at by whoever starts next."""
        self._stop.set()
        self._around.came.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except StoreError as error:
                logger.error(str(error))
            except Exception:  # whatever it is, the next alert must not wait for ever
                logger.exception("remediations could not be looked at")
            self.wait(LOOK_SECONDS)

    def wait(self, seconds: float) -> None:
        """Wait until something has happened, at most so long."""
        self._around.came.wait(seconds)
        self._around.came.clear()
        while not self._ended.empty():
            self._unsettled.append(self._ended.get())

    def look(self) -> None:
        """Do everything that can be done now. Raise StoreError."""
        if self._around.stopping():
            return
        self._check_audit()
        while self._unsettled:
            self._settle(*self._unsettled[0])
            self._unsettled.pop(0)
        # What an alert brings about begins in the look that takes it in.
        self._take_in()
        for entry in remediations.standing(self._store):
            self._go_on(entry)
        self._clear_mended()

    def _desk(self) -> Desk:
        return Desk(self._store, self._around.settings(), self._clock.now())

    def _check_audit(self) -> None:
        now = self._clock.monotonic()
        if now < self._next_check:
            return
        verdict = audit.verify(self._store)
        self._next_check = now + CHECK_SECONDS
        self._around.audit_checked(not verdict.fault)
        if verdict.fault:
            logger.error("the audit log is not whole", extra={"fault": verdict.fault})

    # Alerts that came in

    def _take_in(self) -> None:
        waiting = remediations.undecided(self._store)
        self._blocked = {alert_id: self._blocked[alert_id] for alert_id in waiting if alert_id in self._blocked}
        if not waiting:
            return
        known, full = self._around.known_agents(), remediations.open_places(self._store)
        for alert_id in waiting:
            if self._blocked.get(alert_id) in full or self._stop.is_set():
                continue
            place = receiving.take_in(self._desk(), alert_id, known)
            if place:
                self._blocked[alert_id] = place
                full.add(place)

    # Remediations that stand

    def _go_on(self, entry: Entry) -> None:
        desk = self._desk()
        if entry.state in (RemediationState.RUNNING, RemediationState.VERIFYING):
            if entry.id not in self._flights:
                self._take_up(desk, entry)
        elif entry.ended is not None or entry.state is RemediationState.WAITING:
            if entry.ended is not None or attempts.is_past(desk, entry):
                attempts.close(desk, entry.id)
        elif attempts.is_past(desk, entry):
            begun = attempts.begin(desk, entry.id)
            if begun:
                fresh, rule = begun
                flight = Flight(fresh, rule)
                flight.steps = remedies.steps_of(rule, fresh.target, flight.reason)
                self._flights[fresh.id] = flight
                self._fly(flight)

    def _take_up(self, desk: Desk, entry: Entry) -> None:
        """See what became of one that a former life of the daemon has begun; what it did is not done again."""
        attempts.look(
            desk, entry.id, "interrupted", f"attempt {entry.attempts} was cut off; a new look says what it did"
        )
        flight = self._flights[entry.id] = Flight(entry, desk.rule(entry.rule))
        self._fly(flight)

    def _fly(self, flight: Flight) -> None:
        """Run the next step, or when there is none the look."""
        number, rule = flight.entry.id, flight.rule
        if rule is None:
            self._end(number, None)
            return
        flight.looks = not flight.steps
        request = flight.steps.pop(0) if flight.steps else remedies.look_of(rule, flight.entry.target, flight.reason)
        try:
            self._around.submit(request, lambda record: self._end(number, record))
        except ValueError as error:  # there is no such task, mode or target any more
            logger.error("a remediation cannot go on", extra={"remediation": number, "reason": str(error)})
            self._end(number, None)

    def _end(self, number: int, record: Record | None) -> None:
        self._ended.put((number, record))
        self._around.came.set()

    def _settle(self, number: int, record: Record | None) -> None:
        """Go on after a run."""
        flight = self._flights.get(number)
        if flight is None:
            return
        if flight.looks or flight.rule is None:
            reason = doubt(flight.rule.proof, flight.entry.alert, record) if flight.rule else "its rule is gone"
            attempts.conclude(self._desk(), number, reason)
            del self._flights[number]
        elif record is None or record.outcome is not Outcome.OK:
            attempts.conclude(self._desk(), number, _why(record))
            del self._flights[number]
        else:
            if not flight.steps:
                attempts.look(self._desk(), number, "done", "every step worked; a new look says whether that helped")
            self._fly(flight)

    def _clear_mended(self) -> None:
        """Take back what people were called for, once its alerts have ended."""
        subjects = remediations.open_problems(self._store, TASK, FAILED)
        for subject in remediations.mended(self._store, subjects):
            with self._store.transaction() as db:
                self._desk().clear(db, FAILED, subject, "the alert ended")


def _why(record: Record | None) -> str:
    """Why a step did not work."""
    if record is None:
        return "a step could not be entered or did not exist"
    request = record.request
    return f"{request.task} {request.mode} did not work ({record.outcome}): {record.error}"
