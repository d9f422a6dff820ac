"""All that a report tells, gathered once; the JSON document and the page are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.core.ports import History, Holdings, Summary
from jobs.performance import series
from jobs.performance.comparing import Change, Known, Verdict, compare, compared_name, known_of, worst_first
from jobs.performance.periods import Period
from jobs.performance.sampling.sampled import Sampled
from jobs.performance.scoring import Loss, Now, score_of, word_of
from jobs.performance.series import PREFIX, Kind
from jobs.performance.telling import recommendation, remedy_of

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
        """What got worse, the worst first."""
        return worst_first(self.changes)


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
        seen = [change for change in changes if change.kind is kind and change.now]
        chosen = sorted(seen, key=lambda c: (c.verdict is not Verdict.WORSE, -(c.now.p95 if c.now else 0)))[:MAX_LINES]
        lines = [(c.labels, _trend(history, period, kind.series(*c.labels))) for c in chosen]
        if lines := [(labels, points) for labels, points in lines if points]:
            found[kind] = lines
    return found


def _trend(history: History, period: Period, name: str) -> Sequence[tuple[float, float]]:
    return history.trend(name, period.since, period.until, period.step_seconds)


def document(report: Report, *, format_version: str = "1.0") -> dict[str, Any]:
    """The report in the shape of the script that this job replaces, and what that one did not have."""
    now = Now(report.sampled)
    return {
        "report_info": {
            "timestamp": report.period.until.isoformat(timespec="seconds"),
            "report_type": report.period.mode,
            "hostname": report.host,
            "version": format_version,
        },
        **{name: report.sampled.sections.get(name, {}) for name in _SECTIONS},
        "summary": {
            "overall_status": word_of(report.score),
            "performance_score": report.score,
            "agent_health": {"healthy_ratio": now.value(series.AGENTS_HEALTHY)},
            "resource_usage": {
                "cpu_used_ratio": now.value(series.CPU),
                "load_per_core_ratio": now.value(series.LOAD),
                "memory_used_ratio": now.value(series.MEMORY),
                "disk_used_ratio": now.value(series.DISK),
            },
            "recommendations": [recommendation(loss) for loss in report.losses],
        },
        "deductions": [
            {"points": loss.points, "reason": loss.reason, "message": loss.message, "remedy": loss.remedy}
            for loss in report.losses
        ],
        "period": _period(report),
        "comparison": {
            "got_worse": [{**_change(one), "remedy": remedy_of(one.kind)} for one in report.worse],
            "got_better": [_change(one) for one in worst_first(report.changes, Verdict.BETTER)],
            "figures": [_change(one) for one in report.changes],
        },
        "trends": [
            {"figure": kind.name, "labels": _labels(kind, labels), "means": [_point(report, *one) for one in points]}
            for kind, lines in report.trends.items()
            for labels, points in lines
        ],
        "gaps": [{"source": gap.source, "reason": gap.reason, "absent": gap.absent} for gap in report.sampled.gaps],
    }


_SECTIONS = ("system_metrics", "container_metrics", "agent_metrics", "database_metrics", "ollama_metrics")


def _period(report: Report) -> dict[str, Any]:
    period, since = report.period, report.holdings.since
    return {
        "since": period.since.isoformat(timespec="seconds"),
        "until": period.until.isoformat(timespec="seconds"),
        "compared_since": period.before.isoformat(timespec="seconds"),
        "recorded_since": since.astimezone(period.until.tzinfo).isoformat(timespec="seconds") if since else None,
        "coverage_ratio": round(report.coverage, 4),
        "compared_coverage_ratio": round(min(1.0, report.known.before_seconds / period.before_seconds), 4),
        "comparable": report.known.is_comparable,
        "step_seconds": period.step_seconds,
        "recorded_figures": report.holdings.series,
        "refused_figures": list(report.holdings.refused[:20]),
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "figure": change.kind.name,
        "unit": change.kind.unit,
        "labels": _labels(change.kind, change.labels),
        "verdict": change.verdict,
        "compared_by": compared_name(change.kind),
        "now": _summary(change.now),
        "before": _summary(change.before),
        "difference": change.difference,
        "difference_ratio": change.relative,
    }


def _summary(summary: Summary | None) -> dict[str, float] | None:
    if summary is None:
        return None
    return {
        "mean": summary.mean,
        "minimum": summary.minimum,
        "maximum": summary.maximum,
        "p50": summary.p50,
        "p95": summary.p95,
        "p99": summary.p99,
        "observed_seconds": summary.seconds,
        "observations": summary.count,
    }


def _labels(kind: Kind, labels: Sequence[str]) -> dict[str, str]:
    return dict(zip(kind.parts, labels, strict=True))


def _point(report: Report, at: float, value: float) -> dict[str, Any]:
    moment = report.period.since.fromtimestamp(at, report.period.since.tzinfo)
    return {"since": moment.isoformat(timespec="seconds"), "mean": value}
