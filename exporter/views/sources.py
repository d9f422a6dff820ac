"""Where views look: the configuration, the ledger, and the figures that it left, at one moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from exporter.bridge.outgoing import standing
from exporter.bridge.outgoing.standing import Standing
from exporter.config import Configuration
from exporter.exposition import Exposition
from exporter.record import Record
from exporter.runs.tickets import Progress
from exporter.store import Store, ledger, schedule_zone
from exporter.store.ledger import Newest
from jobs.core.job import Job
from jobs.core.registry import all_jobs


@dataclass(frozen=True)
class Sources:
    """All that a view may look at.

    `exposition` is the daemon's own, or the ledger told again (`exporter.replay`) where no daemon is asked.
    `progress_of` says how far the run of a task is, None where this process knows of none. What was read of the ledger
    is kept: make new ones for another look.
    """

    configuration: Configuration
    store: Store
    exposition: Exposition
    now: datetime
    progress_of: Callable[[str], Progress | None] = lambda task: None

    def later(self, fresh: Sources) -> Sources:
        """The sources of another look, at a ledger that has not changed since: what was read of it is kept."""
        again, there = replace(fresh), vars(self)
        # By name: another thread may be reading something for the first time.
        vars(again).update({name: there[name] for name in ("_newest", "_records", "_problems") if name in there})
        return again

    @cached_property
    def schedule_now(self) -> datetime:
        """The moment on the clock that the schedule goes by, which need not be that of who looks. Raise StoreError."""
        return schedule_zone.by_schedule(self.store, self.now)

    def problems(self) -> list[Standing]:
        """The problems that stand, of all tasks. Raise StoreError."""
        return self._problems

    def newest(self, job: Job) -> Newest:
        """Where the newest runs of a task are in the ledger. Raise StoreError."""
        return self._newest[job.name]

    def records(self) -> dict[int, Record]:
        """The newest runs of all tasks, in brief, by their places. Raise StoreError."""
        return self._records

    @cached_property
    def _problems(self) -> list[Standing]:
        return standing.all_open(self.store)

    @cached_property
    def _newest(self) -> dict[str, Newest]:
        return {
            job.name: ledger.newest(self.store, job.name, [mode for mode in job.modes if mode not in job.needs_target])
            for job in all_jobs().values()
        }

    @cached_property
    def _records(self) -> dict[int, Record]:
        wanted = frozenset[int]().union(*(newest.all for newest in self._newest.values()))
        return ledger.records_at(self.store, wanted)
