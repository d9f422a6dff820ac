"""A run of the performance report: sample, score, remember; and in the modes of a period, tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.core.checks import sample as metric
from jobs.core.model import Observation, Request, Result, Sample
from jobs.core.ports import Holdings, Summary
from jobs.core.scoring import deduction_samples
from jobs.performance import families, series
from jobs.performance.page import page_of
from jobs.performance.periods import period_of
from jobs.performance.report import Report, document, gathered
from jobs.performance.sampling.sampled import Sampled
from jobs.performance.sampling.sampler import sample
from jobs.performance.scoring import losses_of, score_of, verdict_of, word_of
from jobs.performance.series import PREFIX
from jobs.performance.settings import Settings
from jobs.performance.telling import findings_of_changes, findings_of_losses

if TYPE_CHECKING:
    from jobs.clients import Clients

SAMPLE = "sample"
SCORE_NAME = "performance"
_PERCENTILES = ("50", "95", "99")


def perform(settings: Settings, clients: Clients, request: Request) -> Result:
    """Measure now; in any mode but `sample` also report on the period that ends now."""
    now = clients.clock.now()
    return result_of(sample(settings, clients, now, dry_run=request.dry_run), settings, clients, request.mode, now)


def result_of(sampled: Sampled, settings: Settings, clients: Clients, mode: str, now: datetime) -> Result:
    """What is to be said of a sample made at `now`, with what is remembered of the time before."""
    losses = losses_of(sampled, settings, clients.world.thresholds)
    points, history = score_of(losses), clients.history
    report = None
    if mode != SAMPLE:
        period = period_of(mode, now)
        report = gathered(clients.host.name(), period, sampled, losses, history, settings.min_coverage_percent)
    day = period_of("daily", now)
    last_day = {
        kind: history.summaries(kind.series() + suffix, day.since, now)
        for kind, suffix in ((series.SCORE, ""), (series.AGENT_RESPONSE, "/"))
    }
    figures = (*sampled.figures, series.Figure(series.SCORE, points))
    return Result(
        status=word_of(points).upper(),
        verdict=verdict_of(losses),
        summary=_summary(points, report),
        score=points,
        deductions=tuple(loss.deduction for loss in losses),
        findings=(
            *findings_of_losses(losses, settings.finding_points),
            *(findings_of_changes(report.worse, settings.max_worse_findings) if report else ()),
            *sampled.findings,
        ),
        samples=(
            metric(families.SCORE, points),
            *deduction_samples(SCORE_NAME, [loss.deduction for loss in losses]),
            *sampled.samples,
            *_percentiles(last_day[series.AGENT_RESPONSE]),
            *_history(history.holdings(PREFIX), last_day[series.SCORE], day.seconds),
        ),
        observations=tuple(
            Observation(series=figure.kind.series(*figure.labels), value=figure.value) for figure in figures
        ),
        report=document(report) if report and settings.report_format != "html" else None,
        renderings=_renderings(report) if report and settings.report_format != "json" else {},
    )


def _summary(points: float, report: Report | None) -> str:
    words = f"score {points:g}, {word_of(points)}"
    if report is None:
        return words
    if not report.known.is_comparable:
        return f"{words}; {report.coverage * 100:.0f} % of the period is known, not comparable with the one before"
    return f"{words}; {len(report.worse)} figures got worse"


def _renderings(report: Report) -> dict[str, str]:
    from jobs.pages.html import render

    return {".html": render(page_of(report))}


def _percentiles(answers: Mapping[str, Summary]) -> Iterator[Sample]:
    for name, summary in answers.items():
        (agent,) = series.AGENT_RESPONSE.labels(name)
        for percentile in _PERCENTILES:
            value = getattr(summary, f"p{percentile}")
            yield metric(families.AGENT_PERCENTILE, value, agent=agent, percentile=percentile)


def _history(holdings: Holdings, scores: Mapping[str, Summary], seconds: float) -> Iterator[Sample]:
    known = sum(summary.seconds for summary in scores.values())
    yield metric(families.COVERAGE, min(1.0, known / seconds))
    yield metric(families.SERIES, holdings.series)
    yield metric(families.REFUSED, len(holdings.refused))
