"""Cadences become due slots, due slots become requests. A tick only claims and enqueues."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial

import schedule

from exporter.metrics import missed_counter
from exporter.store import Store, StoreError
from jobs.core.cadence import Cadence
from jobs.core.model import Request, Trigger
from jobs.core.ports import Clock

logger = logging.getLogger(__name__)

LATE_SECONDS = 120
"""A slot that is claimed later than this after it began counts as caught up."""
STEP_BACK = timedelta(days=2)
"""So far the clock may be set back without an unclaimed day being worked on; it was wrong before if it is more."""
CLOCK_STEP_SECONDS = 30
"""The wall clock and the monotonic clock may drift apart by so much between two looks before it is a step."""


class Scheduler:
    """Watches the cadences of all tasks on one thread; `enqueue` gets a request for each slot it claims."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        enqueue: Callable[[Request], object],
        on_store: Callable[[bool], object] = lambda worked: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._enqueue = enqueue
        self._on_store = on_store
        self._library = schedule.Scheduler()
        self._cadences: list[tuple[str, Cadence]] = []
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
                self._enqueue(Request(task=task, mode=cadence.mode, trigger=Trigger.START))

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
        """Claim the slot that is due and enqueue its run; say whether there was one. Never raises for the store.

        (The `schedule` library forgets a job that raises.)
        """
        now = self._clock.now()
        try:
            request = claim_due(self._store, task, cadence, now)
        except StoreError as error:
            logger.error(str(error), extra={"task": task})
            self._on_store(False)
            return False
        self._on_store(True)
        if request:
            self._enqueue(request)
        return request is not None

    def _offset(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()


def claim_due(store: Store, task: str, cadence: Cadence, now: datetime) -> Request | None:
    """Claim the slot of a cadence that is due at `now`; return its request, or None if there is nothing to do.

    The first slot that a store ever sees of a calendar cadence is, unless it is just beginning, only a mark
    to count from: a new installation does not catch up on yesterday.
    """
    newest = store.newest_slot(task, cadence.key)
    _forget_the_future(store, task, cadence, now)
    slot, due = _due(task, cadence, newest, now)
    if slot is None or not store.claim_slot(task, cadence.key, slot, now) or due is None:
        return None
    before = store.slot_before(task, cadence.key, slot)
    count = cadence.slots_between(before, slot) if before else 0
    if before and count:
        store.note_missed(task, cadence.key, (before, slot), count, now, missed_counter(task, count))
        logger.warning("slots passed without a run", extra={"task": task, "cadence": cadence.key, "missed": count})
    return due


def look_due(store: Store, task: str, cadence: Cadence, now: datetime) -> Request | None:
    """What `claim_due` would return; nothing is claimed but a slot that is only a mark to count from."""
    slot, due = _due(task, cadence, store.newest_slot(task, cadence.key), now)
    if slot is None or store.is_claimed(task, cadence.key, slot):
        return None
    if due is None:
        store.claim_slot(task, cadence.key, slot, now)
    return due


def _due(task: str, cadence: Cadence, newest: str | None, now: datetime) -> tuple[str | None, Request | None]:
    """The slot to be claimed at `now`, unless it was, and its request; None for a slot that is but a mark.

    `newest` is the newest slot that was claimed.
    """
    slot = cadence.due_slot(now)
    if cadence.minutes is None and newest and slot < newest and cadence.slot_time(newest, now) - now < STEP_BACK:
        return None, None  # a later day's work is done already
    late = now - cadence.slot_time(slot, now) > timedelta(seconds=LATE_SECONDS)
    if late and not newest and cadence.minutes is None:
        return slot, None
    trigger = Trigger.CATCH_UP if late and newest else Trigger.SCHEDULE
    return slot, Request(task=task, mode=cadence.mode, trigger=trigger, reason=f"{cadence.key}, slot {slot}")


def _forget_the_future(store: Store, task: str, cadence: Cadence, now: datetime) -> None:
    """Keep interval tasks at their pace after the clock was set back.

    Their slots up to the old time are claimed, and waiting for them would leave agents unwatched for as
    long. The next slot stays claimed, so that within one interval nothing runs twice. Calendar slots are
    never given back: a day's work is done once.
    """
    if cadence.minutes is not None:
        following = cadence.due_slot(cadence.next_time(now))
        released = store.release_slots_after(task, cadence.key, following)
        if released:
            logger.warning("claims of later slots released: the clock was set back", extra={"task": task})
