"""What the daemon does for the outbox beside its runs: reminders, figures, and the end of what is old."""

from __future__ import annotations

from datetime import timedelta

from exporter.bridge import figures
from exporter.bridge.outgoing import announcing
from exporter.bridge.outgoing.channels import channel_names
from exporter.bridge.outgoing.outbox import Outbox
from exporter.exposition import Exposition
from exporter.settings import Settings
from exporter.store import Store
from jobs.core.ports import Clock

SECONDS = 60.0
"""How often reminders are looked for; figures that nothing but time changes are as old at most."""


class Upkeep:
    """`look` is called once a second and does something where something has changed, and once a minute."""

    def __init__(self, store: Store, exposition: Exposition, clock: Clock) -> None:
        self._store, self._exposition, self._clock = store, exposition, clock
        self._shown: object = None
        self._next = clock.monotonic()
        self._channels: tuple[str, ...] | None = None

    def look(self, settings: Settings) -> bool:
        """Remind, and bring the figures up to date; say whether they were. Raise StoreError."""
        now, due = self._clock.now(), self._clock.monotonic() >= self._next
        if self._channels != channel_names(settings):
            self._channels = channel_names(settings)
            Outbox(self._store).forget_channels(self._channels, now)
        if due:
            self._next = self._clock.monotonic() + SECONDS
            with self._store.transaction() as db:
                announcing.remind(db, settings, now)
        mark = self._store.change_mark()
        if mark == self._shown and not due:
            return False
        figures.show(self._exposition, self._store, settings, now)
        self._shown = mark
        return True

    def prune(self, retention: timedelta) -> None:
        """Forget what is older; raise StoreError."""
        Outbox(self._store).prune(self._clock.now(), retention)
