"""Which slot of a cadence is due, and whose it is: looked for, claimed with the run that does it, and given back."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from exporter.metrics import missed_counter
from exporter.store import Store, ledger, schedule_zone
from jobs.core.cadence import Cadence
from jobs.core.model import Request, Trigger

logger = logging.getLogger(__name__)

LATE_SECONDS = 120
"""A slot that is claimed later than this after it began counts as caught up."""
STEP_BACK = timedelta(days=2)
"""So far the clock may be set back without an unclaimed day being worked on; it was wrong before if it is more."""
MAX_RUNS = 2
"""So many runs are begun for a slot where none of them came to its end."""
_INSTANT = timedelta(microseconds=1)


def look_due(store: Store, task: str, cadence: Cadence, now: datetime) -> Request | None:
    """What `claim_due` would return; nothing is claimed but a slot that is only a mark to count from."""
    newest = store.newest_slot(task, cadence.key)
    _forget_the_future(store, task, cadence, newest, now)
    slot, due = _due(task, cadence, newest, now)
    if slot is None or store.is_claimed(task, cadence.key, slot):
        return None
    if due is None:
        _claim(store, task, cadence, slot, now)
    return due


def claim_due(store: Store, task: str, cadence: Cadence, now: datetime) -> Request | None:
    """Claim the slot of a cadence that is due at `now`; return its request, or None if there is nothing to do.

    The first slot that a store ever sees of a calendar cadence is, unless it is just beginning, only a mark
    to count from: a new installation does not catch up on yesterday.
    """
    newest = store.newest_slot(task, cadence.key)
    _forget_the_future(store, task, cadence, newest, now)
    slot, due = _due(task, cadence, newest, now)
    if slot is None or not _claim(store, task, cadence, slot, now) or due is None:
        return None
    before = store.slot_before(task, cadence.key, slot)
    count = cadence.slots_between(before, slot) if before else 0
    if before and count:
        store.note_missed(task, cadence.key, (before, slot), count, now, missed_counter(task, count))
        logger.warning("slots passed without a run", extra={"task": task, "cadence": cadence.key, "missed": count})
    return due


def _claim(store: Store, task: str, cadence: Cadence, slot: str, now: datetime) -> bool:
    """Claim a slot, and leave word of the zone by whose clock; say whether it was free."""
    with store.transaction():
        claimed = store.claim_slot(task, cadence.key, slot, now)
        if claimed:
            schedule_zone.leave(store, now)
    return claimed


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
    return slot, Request(task=task, mode=cadence.mode, trigger=trigger, reason=_reason(cadence, slot))


def _reason(cadence: Cadence, slot: str) -> str:
    """What the run of a slot was begun for."""
    return f"{cadence.key}, slot {slot}"


def _forget_the_future(store: Store, task: str, cadence: Cadence, newest: str | None, now: datetime) -> None:
    """Keep interval tasks at their pace after the clock was set back; `newest` is the newest slot that was claimed.

    Their slots up to the old time are claimed, and waiting for them would leave agents unwatched for as
    long. The next slot stays claimed, so that within one interval nothing runs twice. Calendar slots are
    never given back for a clock: a day's work is done once.
    """
    if cadence.minutes is None or newest is None:
        return
    following = cadence.due_slot(cadence.next_time(now))
    if newest > following and store.release_slots_after(task, cadence.key, following):
        logger.warning("claims of later slots released: the clock was set back", extra={"task": task})


def give_back(store: Store, request: Request, cadences: Iterable[Cadence], now: datetime) -> bool:
    """Give a calendar slot back whose run was cut short, so that it is due again; say whether there was one.

    To be called in the transaction that completes that run. A slot whose second run was cut short as well stays
    claimed: what ends the exporter each time must not do so for ever. So does one after which another is due already,
    as that is caught up. The slot before it is marked as claimed, so that what was counted as missed is not counted
    again. Who completes it may be somebody else than who claimed it, with another zone.
    """
    now = schedule_zone.by_schedule(store, now)
    for cadence in cadences:
        slot = cadence.due_slot(now)
        if cadence.minutes is not None or request.reason != _reason(cadence, slot):
            continue
        if ledger.begun_for(store, request.task, request.reason) >= MAX_RUNS:
            return False
        before = cadence.due_slot(cadence.slot_time(slot, now) - _INSTANT)
        store.claim_slot(request.task, cadence.key, before, now)
        return store.release_slots_after(request.task, cadence.key, before) > 0
    return False
