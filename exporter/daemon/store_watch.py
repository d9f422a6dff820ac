"""Whether the store works: told by whoever has asked it, and looked at where it keeps them all waiting."""

from __future__ import annotations

import logging
import threading

from exporter import metrics
from exporter.metrics import Metrics
from exporter.store import Store

logger = logging.getLogger(__name__)


class StoreWatch:
    """Shows it in `shown`, until `stop` is set. Any thread may `note`."""

    def __init__(self, store: Store, shown: Metrics, stop: threading.Event) -> None:
        self._store, self._metrics, self._stop = store, shown, stop
        self._thread = threading.Thread(target=self._watch, name="store-watch", daemon=True)
        shown.set(metrics.STORE_UP, 1)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def note(self, worked: bool) -> bool:
        """Show whether the store works; say whether that is news."""
        news = self._metrics.exposition.get(metrics.STORE_UP.name) != float(worked)
        if news:
            self._metrics.set(metrics.STORE_UP, float(worked))
        return news

    def _watch(self) -> None:
        """Show a store that does not answer: whoever asked it is stuck with it, and says nothing."""
        while not self._stop.wait(1):
            if self._store.is_stalled and self.note(False):
                logger.error("the store does not answer: its disk is frozen or gone", extra={"file": self._store.file})
