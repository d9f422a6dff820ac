"""The report as JSON: in the shape of the script that this job replaces, and what that one did not have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from jobs.core.ports import Summary
from jobs.performance import series
from jobs.performance.comparing import Change, compared_name
from jobs.performance.report import Report
from jobs.performance.scoring import Now, word_of
from jobs.performance.series import Kind
from jobs.performance.telling import recommendation, remedy_of

_VERSION = "1.0"
_SECTIONS = ("system_metrics", "container_metrics", "agent_metrics", "database_metrics", "ollama_metrics")
_MAX_REFUSED = 20


def document(report: Report) -> dict[str, Any]:
    """The whole document. Figures are in the unit that their name ends in, times are in the zone of the host."""
    return {
        "report_info": {
            "timestamp": report.period.until.isoformat(timespec="seconds"),
            "report_type": report.period.mode,
            "hostname": report.host,
            "version": _VERSION,
        },
        **{name: report.sampled.sections.get(name, {}) for name in _SECTIONS},
        "summary": _conclusion(report),
        "deductions": [asdict(loss) for loss in report.losses],
        "period": _period(report),
        "comparison": {
            "got_worse": [{**_change(one), "remedy": remedy_of(one.kind)} for one in report.worse],
            "got_better": [_change(one) for one in report.better],
            "figures": [_change(one) for one in report.changes],
        },
        "trends": [
            {"figure": kind.name, "labels": _labels(kind, labels), "means": [_point(report, *one) for one in points]}
            for kind, lines in report.trends.items()
            for labels, points in lines
        ],
        "gaps": [asdict(gap) for gap in report.sampled.gaps],
    }


def _conclusion(report: Report) -> dict[str, Any]:
    now = Now(report.sampled)
    return {
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
    }


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
        "refused_figures": list(report.holdings.refused[:_MAX_REFUSED]),
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
    moment = datetime.fromtimestamp(at, report.period.since.tzinfo)
    return {"since": moment.isoformat(timespec="seconds"), "mean": value}
