"""A run of the performance report: sample, score, remember; and in the modes of a period, tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.core.checks import sample as metric
from jobs.core.model import Observation, Request, Result, Sample
from jobs.core.ports import History
from jobs.core.scoring import deduction_samples
from jobs.performance import families, series
from jobs.performance.document import document
from jobs.performance.page import page_of
from jobs.performance.periods import period_of
from jobs.performance.report import Report, gathered
from jobs.performance.sampling.sampled import Sampled
from jobs.performance.sampling.sampler import sample
from jobs.performance.scoring import losses_of, score_of, verdict_of, word_of
from jobs.performance.series import PREFIX, Figure
from jobs.performance.settings import Settings
from jobs.performance.telling import findings_of_changes, findings_of_losses

if TYPE_CHECKING:
    from jobs.clients import Clients

SAMPLE = "sample"
SCORE_NAME = "performance"


def perform(settings: Settings, clients: Clients, request: Request) -> Result:
    """Measure now; in any mode but `sample` also report on the period that ends now."""
    now = clients.clock.now()
    return result_of(sample(settings, clients, now, dry_run=request.dry_run), settings, clients, request.mode, now)


def result_of(sampled: Sampled, settings: Settings, clients: Clients, mode: str, now: datetime) -> Result:
    """What is to be said of a sample made at `now`, with what is remembered of the time before."""
    losses = losses_of(sampled, settings, clients.world.thresholds)
    points, report = score_of(losses), None
    if mode != SAMPLE:
        about, host = period_of(mode, now), clients.host.name()
        report = gathered(host, about, sampled, losses, clients.history, settings.min_coverage_percent)
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
            *_of_last_day(sampled, clients.history, now),
        ),
        observations=_observations((*sampled.figures, Figure(series.SCORE, points))),
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


def _observations(figures: Sequence[Figure]) -> tuple[Observation, ...]:
    return tuple(Observation(series=figure.kind.series(*figure.labels), value=figure.value) for figure in figures)


def _of_last_day(sampled: Sampled, history: History, now: datetime) -> Iterator[Sample]:
    """Percentiles of the agents that there are, and what is known of the history itself."""
    day, holdings = period_of("daily", now), history.holdings(PREFIX)
    scores = history.summaries(series.SCORE.series(), day.since, now).values()
    yield metric(families.COVERAGE, min(1.0, sum(one.seconds for one in scores) / day.seconds))
    yield metric(families.SERIES, holdings.series)
    yield metric(families.REFUSED, len(holdings.refused))
    answers = history.summaries(f"{series.AGENT_RESPONSE.series()}/", day.since, now)
    for agent in (figure.labels[0] for figure in sampled.figures if figure.kind == series.AGENT_ERRORS):
        if answer := answers.get(series.AGENT_RESPONSE.series(agent)):
            for percentile, seconds in (("50", answer.p50), ("95", answer.p95), ("99", answer.p99)):
                yield metric(families.AGENT_PERCENTILE, seconds, agent=agent, percentile=percentile)
