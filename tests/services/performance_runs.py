"""Performance reports in this process, on a real store whose history was made at given times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from exporter.store import Store, observations
from jobs.clients import Clients
from jobs.core.model import Observation, Result
from jobs.core.settings import World
from jobs.performance import series
from jobs.performance.running import result_of
from jobs.performance.sampling.sampled import Gap, Sampled
from jobs.performance.series import Figure
from jobs.performance.settings import Settings
from tests.services.clocks import FakeClock
from tests.services.reporters import KeepingReporter

STEP_SECONDS = 300
WELL = (
    Figure(series.CPU, 0.2), Figure(series.MEMORY, 0.4), Figure(series.LOAD, 0.3), Figure(series.DISK, 0.5, ("/",)),
    Figure(series.AGENTS_HEALTHY, 1.0),
)  # fmt: skip
"""A host with nothing to complain about."""


class PerformanceRuns:
    """`record` makes history, `result` reports on it; both at the times that they are given."""

    def __init__(self, base_dir: Path, **settings: Any) -> None:
        self.base_dir, self.settings = base_dir, Settings(**settings)
        self.store = Store(base_dir / "data" / "sutazai.db")

    def record(
        self, since: datetime, until: datetime, figures: Mapping[str, Callable[[datetime], float] | float]
    ) -> None:
        """Observe these series every five minutes, as samples do, all at once."""
        with self.store.transaction() as db:
            at = since.timestamp()
            while at < until.timestamp():
                moment = datetime.fromtimestamp(at, since.tzinfo)
                made = [
                    Observation(series=name, value=value(moment) if callable(value) else value)
                    for name, value in figures.items()
                ]
                observations.observe(db, made, at)
                at += STEP_SECONDS

    def record_days(
        self, days: float, until: datetime, figures: Mapping[str, Callable[[datetime], float] | float]
    ) -> None:
        """The same for so many days up to `until`."""
        self.record(until - timedelta(days=days), until, figures)

    def clients(self, now: datetime) -> Clients:
        """What a run is lent."""
        return Clients(
            world=World(base_dir=self.base_dir),
            clock=FakeClock(now),
            report=KeepingReporter(),
            open_budgets=lambda: self.store,
            open_history=lambda: self.store,
        )

    def result(
        self,
        now: datetime,
        mode: str = "daily",
        figures: tuple[Figure, ...] = WELL,
        gaps: tuple[Gap, ...] = (),
        sections: Mapping[str, Any] | None = None,
    ) -> Result:
        """What a run at `now` says of this sample."""
        sampled = Sampled(figures=figures, gaps=gaps, sections=sections or {})
        return result_of(sampled, self.settings, self.clients(now), mode, now)
