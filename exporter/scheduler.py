"""Cadences become due slots, due slots become requests. A tick only looks and enqueues: the run itself claims its slot.

So a slot whose run has not begun is nobody's, whatever kills the daemon meanwhile, and is found due again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import schedule

from exporter.record import Record
from exporter.runs.tickets import NOBODY, Asker, Submit
from exporter.slots import claim_due, look_due
from exporter.store import Store, StoreError, schedule_zone
from jobs.core.cadence import Cadence
from jobs.core.model import Outcome, Request, Trigger
from jobs.core.ports import Clock

logger = logging.getLogger(__name__)

RETRY_SECONDS = 300
"""So long a cadence is let be whose run could not begin and was entered as skipped or failed."""
CLOCK_STEP_SECONDS = 30
"""The wall clock and the monotonic clock may drift apart by so much between two looks before it is a step."""


@dataclass(eq=False)
class _Waiting:
    """A cadence whose run was enqueued and has not begun; no other is enqueued until then (monotonic time)."""

    until: float = float("inf")


class Scheduler:
    """Watches the cadences of all tasks on one thread; `enqueue` gets a request for each slot that is due."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        enqueue: Submit,
        on_store: Callable[[bool], object] = lambda worked: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._enqueue = enqueue
        self._on_store = on_store
        self._library = schedule.Scheduler()
        self._cadences: list[tuple[str, Cadence]] = []
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._offset_seconds = self._offset()

    def plan(self, cadences: Iterable[tuple[str, Cadence]]) -> None:
        """Watch these cadences from now on, instead of those before."""
        self._cadences = list(cadences)
        self._library.clear()
        for task, cadence in self._cadences:
            cadence.schedule(self._library, partial(self.tick, task, cadence))
        # What the library overlooks (a time that a clock change skips, a claim that could not be entered) is
        # found by looking at every cadence once a minute: a tick too many does nothing.
        self._library.every(1).minutes.do(self.tick_all)

    def start(self) -> None:
        """Begin: catch up once on each calendar cadence, and run what goes by intervals at once."""
        for task, cadence in self._cadences:
            ran = self.tick(task, cadence)
            if cadence.minutes is not None and not ran:
                self._enqueue(Request(task=task, mode=cadence.mode, trigger=Trigger.START), NOBODY)

    def run_pending(self) -> None:
        """Do what is due now. To be called about once a second."""
        offset = self._offset()
        step_seconds = offset - self._offset_seconds
        self._offset_seconds = offset
        if abs(step_seconds) > CLOCK_STEP_SECONDS:
            logger.warning("the clock was set: schedule made anew", extra={"step_seconds": round(step_seconds)})
            # The library waits for the wall times that it has computed, which after a step back is too long.
            self.plan(self._cadences)
            self.tick_all()
        self._library.run_pending()

    def tick_all(self) -> None:
        """Look at every cadence."""
        for task, cadence in self._cadences:
            self.tick(task, cadence)

    def tick(self, task: str, cadence: Cadence) -> bool:
        """Enqueue the run of the slot that is due, unless one waits already; say so. Never raises for the store.

        (The `schedule` library forgets a job that raises.)
        """
        waiting = self._waiting.get((task, cadence.key))
        if waiting and self._clock.monotonic() < waiting.until:
            return False
        try:
            now = self._clock.now()
            schedule_zone.leave(self._store, now)  # a daemon that begins in another zone may claim nothing for days
            request = look_due(self._store, task, cadence, now)
        except StoreError as error:
            logger.error(str(error), extra={"task": task})
            self._on_store(False)
            return False
        if request:
            self._submit(task, cadence, request)
        else:  # whether a slot can be claimed shows when its run begins
            self._on_store(True)
        return request is not None

    def _submit(self, task: str, cadence: Cadence, request: Request) -> None:
        key, waiting = (task, cadence.key), _Waiting()
        self._waiting[key] = waiting

        def begun() -> None:
            self._on_store(True)
            self._forget(key, waiting)

        def ended(record: Record | None) -> None:
            if record is None or record.outcome is Outcome.STOPPED:  # its slot is claimed, and the next one is free
                self._forget(key, waiting)
            else:
                waiting.until = self._clock.monotonic() + RETRY_SECONDS

        def claim() -> Request | None:
            claimed = claim_due(self._store, task, cadence, self._clock.now())
            # What was seen in time and had to wait for its turn is not caught up.
            return request if claimed and claimed.reason == request.reason else claimed

        self._enqueue(request, Asker(ended, begun, claim))

    def _forget(self, key: tuple[str, str], waiting: _Waiting) -> None:
        if self._waiting.get(key) is waiting:
            del self._waiting[key]

    def _offset(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()
