"""What a run is lent by whoever runs it: memory between runs, allowances, and a place to say how far it is.

The protocols stand here so that a job can use them without knowing the store behind them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class Summary:
    """What a series was within a span of time: mean by time, extremes, and percentiles of its observations.

    `seconds` is how much of the span the observations speak for, `count` how many there were. A percentile is right to
    one hundredth of its value.
    """

    mean: float
    minimum: float
    maximum: float
    p50: float
    p95: float
    p99: float
    seconds: float
    count: int


@dataclass(frozen=True)
class Holdings:
    """How many series are remembered, since when (None: nothing yet), and those refused for lack of room."""

    series: int
    since: datetime | None
    refused: tuple[str, ...] = ()


class Clock(Protocol):
    """Wall time for dates, monotonic time for durations."""

    def now(self) -> datetime:
        """The wall time, aware, in the local zone."""

    def monotonic(self) -> float:
        """Seconds on a clock that nobody sets."""


class Budgets(Protocol):
    """Allowances that survive restarts and are shared by every process (`restart/orchestrator`)."""

    def spent(self, key: str, since: datetime) -> Sequence[datetime]:
        """When the allowance was spent since then, oldest first."""

    def spend(self, key: str, now: datetime, *, limit: int, window_seconds: float) -> bool:
        """Spend once if fewer than `limit` were spent in the window before `now`; say whether it was."""

    def reset(self, key: str) -> None:
        """Give the whole allowance back."""


class History(Protocol):
    """Observations of former runs: raw for two days, by the hour for two weeks, by the day (of UTC) for longer.

    A span of time is taken by whole hours: one that it touches belongs to it, and a day if it begins in it.
    """

    def points(self, series: str, since: datetime) -> Sequence[tuple[float, float]]:
        """The raw observations of one series as (Unix time, value), oldest first."""

    def means(self, prefix: str, since: datetime) -> Mapping[str, float]:
        """Time-weighted means, by whole hours, of every series whose name starts with `prefix`.

        Time that nobody observed counts for nothing.
        """

    def summaries(self, prefix: str, since: datetime, until: datetime) -> Mapping[str, Summary]:
        """What every series whose name starts with `prefix` was between two times, by whole hours."""

    def trend(self, series: str, since: datetime, until: datetime, seconds: float) -> Sequence[tuple[float, float]]:
        """The means of one series over steps of `seconds` (whole hours) as (Unix time of the step, mean), oldest first.

        A step that nobody observed is left out.
        """

    def holdings(self, prefix: str) -> Holdings:
        """How much is remembered of the series whose name starts with `prefix`."""


class Reporter(Protocol):
    """Where a run says how far it is."""

    def progress(self, done: int, total: int, message: str) -> None:
        """`done` of `total` steps; the message names the step."""

    def log(self, level: str, message: str) -> None:
        """One line for the run's log; level is debug, info, warning or error."""
