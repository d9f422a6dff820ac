"""Once an hour: what kills have cut off is accounted for, and what is past its time goes."""

from __future__ import annotations

import logging
from datetime import timedelta

from exporter.bridge.incoming.reception import Reception
from exporter.bridge.outgoing.upkeep import Upkeep
from exporter.bridge.remediation import remediations
from exporter.retention import may_remove
from exporter.runs.runner import Runner
from exporter.settings import Settings
from exporter.store import Store
from jobs.core.files import remove_leftovers
from jobs.core.ports import Clock

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 3600
OWN_DIRECTORIES = ("dashboard", "data", "logs", "reports", "secrets_secure")


class Housekeeping:
    """Keeps the base directory and the store in order."""

    def __init__(self, store: Store, runner: Runner, bridge: Upkeep, reception: Reception, clock: Clock) -> None:
        self._store, self._runner, self._bridge, self._reception = store, runner, bridge, reception
        self._clock = clock
        self._next = clock.monotonic() + INTERVAL_SECONDS

    def look(self, settings: Settings) -> None:
        """Do it, if an hour has passed since the last time; raise StoreError."""
        if self._clock.monotonic() >= self._next:
            self._next = self._clock.monotonic() + INTERVAL_SECONDS
            self.tidy(settings)
            self.prune(settings)

    def tidy(self, settings: Settings) -> None:
        """Account for runs and files that a kill has cut off."""
        self._runner.close_cut_off()
        yesterday = self._clock.now() - timedelta(days=1)
        for directory in OWN_DIRECTORIES:
            try:
                removed = remove_leftovers(settings.base_dir / directory, yesterday)
            except OSError as error:
                logger.warning("leftovers stay", extra={"file": error.filename, "reason": error.strerror})
                continue
            for file in removed:
                logger.warning("removed what an interrupted write had left", extra={"file": str(file)})

    def prune(self, settings: Settings) -> None:
        """Drop from the store what is past its time, unless the clock was just set."""
        now = self._clock.now()
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
            self._reception.prune(retention)
