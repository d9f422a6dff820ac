"""All that a report tells, gathered once: the JSON document and the page are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.core.ports import History, Holdings
from jobs.performance import series
from jobs.performance.comparing import Change, Known, Verdict, compare, known_of, most_changed_first
from jobs.performance.periods import Period
from jobs.performance.sampling.sampled import Sampled
from jobs.performance.scoring import Loss, score_of
from jobs.performance.series import PREFIX, Kind

CHARTED = (
    series.SCORE, series.CPU, series.LOAD, series.MEMORY, series.SWAP, series.DISK, series.DISK_BUSY, series.RECEIVED,
    series.SENT, series.PRESSURE, series.CONTAINER_CPU, series.CONTAINER_MEMORY, series.AGENTS_HEALTHY,
    series.AGENT_RESPONSE, series.AGENT_ERRORS, series.POSTGRES_CACHE, series.POSTGRES_CONNECTIONS,
    series.POSTGRES_COMMITS, series.REDIS_HITS, series.REDIS_MEMORY, series.MODEL_FIRST_TOKEN, series.MODEL_SPEED,
)  # fmt: skip
MAX_LINES = 6
"""So many figures of a kind have a trend: those that got worse, then the greatest."""

Trends = Mapping[Kind, Sequence[tuple[tuple[str, ...], Sequence[tuple[float, float]]]]]
"""By kind: the labels of a figure and its means as (Unix time of the step, mean)."""


@dataclass(frozen=True)
class Report:
    """What was measured now, what it costs, and how the period compares with the one before."""

    host: str
    period: Period
    sampled: Sampled
    losses: Sequence[Loss]
    holdings: Holdings
    known: Known
    changes: Sequence[Change]
    trends: Trends

    @property
    def score(self) -> float:
        """The score of now."""
        return score_of(self.losses)

    @property
    def coverage(self) -> float:
        """The share of the period that is known, as far as the figure known best."""
        return min(1.0, self.known.seconds / self.period.seconds)

    @property
    def worse(self) -> Sequence[Change]:
        """What got worse, the worst first. The score is no cause of anything, and stands by itself."""
        return most_changed_first(self._causes, Verdict.WORSE)

    @property
    def better(self) -> Sequence[Change]:
        """What got better, the best first."""
        return most_changed_first(self._causes, Verdict.BETTER)

    @property
    def _causes(self) -> Sequence[Change]:
        return [change for change in self.changes if change.kind is not series.SCORE]


def gathered(
    host: str, period: Period, sampled: Sampled, losses: Sequence[Loss], history: History, min_coverage_percent: float
) -> Report:
    """Look up the history of the period and of the one before."""
    now = history.summaries(PREFIX, period.since, period.until)
    before = history.summaries(PREFIX, period.before, period.since)
    known = known_of(period, now, before, min_coverage_percent)
    changes = compare(now, before, known)
    holdings = history.holdings(PREFIX)
    return Report(host, period, sampled, losses, holdings, known, changes, _trends(history, period, changes))


def _trends(history: History, period: Period, changes: Sequence[Change]) -> Trends:
    found = {}
    for kind in CHARTED:
        lines = [(labels, _trend(history, period, kind.series(*labels))) for labels in _charted(kind, changes)]
        if known := [(labels, points) for labels, points in lines if points]:
            found[kind] = known
    return found


def _charted(kind: Kind, changes: Sequence[Change]) -> Sequence[tuple[str, ...]]:
    seen = [
        (one.verdict is not Verdict.WORSE, -one.now.p95, one.labels) for one in changes if one.now and one.kind is kind
    ]
    return [labels for _, _, labels in sorted(seen)[:MAX_LINES]]


def _trend(history: History, period: Period, name: str) -> Sequence[tuple[float, float]]:
    return history.trend(name, period.since, period.until, period.step_seconds)
