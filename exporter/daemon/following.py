"""The ledger followed: what any process enters is shown on /metrics, and told to whoever listens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from exporter.config import Configuration
from exporter.daemon.hub import Hub
from exporter.plan import stale_after_seconds
from exporter.record import Record
from exporter.replay import replayed_metrics
from exporter.store import Store
from jobs.core.registry import all_jobs

if TYPE_CHECKING:
    from exporter.views.shapes import RunEntry
    from exporter.views.sources import Sources


class Follower:
    """Shows in its `metrics` what the ledger holds, and then every record that is entered."""

    def __init__(
        self, configuration: Configuration, store: Store, now: datetime, hub: Hub, sources: Callable[[], Sources]
    ) -> None:
        self._store, self._hub, self._sources = store, hub, sources
        self._seen = store.last_finish_order()  # first: what is entered meanwhile is shown twice rather than never
        self.metrics = replayed_metrics(configuration, store, now)

    def look(self, configuration: Configuration) -> bool:
        """Show every record that was entered since the last look, and say whether there was any; raise StoreError.

        One thread at a time.
        """
        fresh = self._store.finished_after(self._seen)
        if fresh:
            self._show(fresh, configuration)
        return bool(fresh)

    def _show(self, fresh: list[tuple[int, Record]], configuration: Configuration) -> None:
        counters = self._store.counters()  # before the exposition is held: this may take as long as the disk does
        with self.metrics.exposition.changes():
            self.metrics.counters(counters)
            for order, record in fresh:
                self._seen = order
                if record.request.task in all_jobs():
                    self.metrics.record(record, stale_after_seconds(configuration, record.request.task))
        for order, record in fresh:
            self._hub.tell("run", str(order), partial(self._entry, record))

    def _entry(self, record: Record) -> RunEntry:
        from exporter.views import runs

        return runs.run_entry(self._sources(), record)
