"""Where alerts are taken in: entered durably, told of to whoever waits for them, and counted where they are refused."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from exporter.bridge.incoming.inbox import Inbox, Taken
from exporter.bridge.model import Alert
from exporter.store import Store, StoreError
from jobs.core.ports import Clock

logger = logging.getLogger(__name__)

REASONS = ("unauthorized", "malformed", "too_large", "incomplete", "overload", "store")
"""Why a request with alerts is refused. Alertmanager sends again after the last two only."""


class Refusals:
    """How many requests were refused, by reason. Any thread may use it.

    The counts live in memory, as they must work where the store does not, and are shown once a second: a flood of
    wrong requests must not have the metrics rendered for each of them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(REASONS, 0)

    def count(self, reason: str) -> None:
        """Count one of REASONS."""
        with self._lock:
            self._counts[reason] += 1

    def series(self) -> list[tuple[Mapping[str, str], float]]:
        """The series of the family INTAKE_REFUSED."""
        with self._lock:
            return [({"reason": reason}, float(count)) for reason, count in self._counts.items()]


class Reception:
    """The daemon's side of the intake. `note_store` hears whether the store worked, and says whether that is news."""

    def __init__(self, store: Store, clock: Clock, note_store: Callable[[bool], bool]) -> None:
        self._inbox = Inbox(store)
        self._clock = clock
        self._note_store = note_store
        self.refusals = Refusals()
        self.came = threading.Event()
        """Set when alerts came that nobody has dealt with; whoever does clears it first."""

    def take(self, alerts: Sequence[Alert]) -> Taken:
        """Enter alerts: they are on the disk when this returns. Raise StoreError if they are not."""
        try:
            taken = self._inbox.take(alerts, self._clock.now())
        except StoreError as error:
            if self._note_store(False):
                logger.error(str(error))
            raise
        self._note_store(True)
        if taken.accepted:
            self.came.set()
        return taken

    def recent(self, limit: int) -> list[dict[str, Any]]:
        """The newest alerts, newest first, as JSON can say them. All of their texts are whoever's who sent them."""
        now, found = self._clock.now(), []
        for entry in self._inbox.recent(limit):
            times = {"received": entry.received, "ended": entry.ended, "handled": entry.handled}
            shown = {name: time.isoformat() if time else None for name, time in times.items()}
            found.append({"id": entry.id, "state": entry.state(now), **entry.alert.model_dump(mode="json"), **shown})
        return found

    def prune(self, ledger_retention: timedelta) -> None:
        """Drop what is past its time; raise StoreError."""
        self._inbox.prune(self._clock.now(), ledger_retention)
