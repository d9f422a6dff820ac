"""The report as a page: the score, what got worse first, what to do, then area by area."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from jobs.core.ports import Summary
from jobs.pages import moments
from jobs.pages.page import (
    Block,
    Cell,
    Column,
    Fact,
    Facts,
    Line,
    LineChart,
    Notice,
    Notices,
    Page,
    Score,
    Section,
    Table,
    Tone,
)
from jobs.performance import series
from jobs.performance.comparing import Change, Verdict, compared_by
from jobs.performance.report import Report
from jobs.performance.scoring import word_of
from jobs.performance.series import Kind
from jobs.performance.telling import difference_of, name_of, remedy_of, shown

MAX_ROWS = 200
"""So many figures of an area stand in its table; the JSON report has them all."""
_WORD_TONES = {"excellent": Tone.GOOD, "good": Tone.GOOD, "fair": Tone.WARNING, "poor": Tone.CRITICAL}
_VERDICT_TONES = {Verdict.WORSE: Tone.WARNING, Verdict.BETTER: Tone.GOOD, Verdict.NOT_COMPARABLE: Tone.UNKNOWN}
_LENGTHS = {"daily": "The last day", "weekly": "The last week", "monthly": "The last 30 days"}
_AREAS = (
    ("The machine", (series.SCORE, *series.HOST)),
    ("Agents", series.AGENTS),
    ("Containers", series.CONTAINERS),
    ("Databases", series.DATABASES),
    ("Models", series.MODELS),
)
_FACTS = (series.CPU, series.MEMORY, series.DISK, series.LOAD, series.AGENTS_HEALTHY)


def page_of(report: Report) -> Page:
    """The whole page."""
    word = word_of(report.score)
    return Page(
        title=f"Performance, {report.period.mode}",
        host=report.host,
        at=report.period.until,
        summary=f"{_LENGTHS[report.period.mode]}, compared with as long before. {_score(report)}{_coverage(report)}",
        sections=(
            _overview(report),
            _advice(report),
            *(section for title, kinds in _AREAS if (section := _area(report, title, kinds))),
            _gaps(report),
        ),
        score=Score(
            title="Performance score",
            value=report.score,
            word=word,
            tone=_WORD_TONES[word],
            deductions=[(loss.points, loss.message) for loss in report.losses],
        ),
    )


def _score(report: Report) -> str:
    found = next((one for one in report.changes if one.kind is series.SCORE), None)
    if found is None or found.now is None:
        return ""
    before = f", and {found.before.mean:.0f} before" if found.before else ""
    return f"The score was {found.now.mean:.0f} in the mean{before}. "


def _coverage(report: Report) -> str:
    since, zone = report.holdings.since, report.period.until.tzinfo
    if since is None:
        return "Nothing is recorded yet: this is the first sample."
    known = f"{report.coverage * 100:.0f} % of it is known; recorded since {moments.text(since.astimezone(zone))}."
    missing = "" if report.known.is_comparable else " Too little is known to compare it with the time before."
    refused = len(report.holdings.refused)
    full = f" The history is full: {refused} figures or more are not recorded." if refused else ""
    return known + missing + full


def _overview(report: Report) -> Section:
    said = "Nothing did." if report.known.is_comparable else "Not comparable: too little of both periods is known."
    worse = _changes("Got worse, the worst first", report.worse, said, remedies=True)
    return Section("What changed", (Facts(tuple(_facts(report))), worse, _changes("Got better", report.better, said)))


def _advice(report: Report) -> Section:
    notices = tuple(
        Notice(loss.message, "", loss.remedy, Tone.UNKNOWN if loss.is_unknown else Tone.WARNING)
        for loss in report.losses
    )
    return Section("What to do", (Notices(notices, empty="Nothing: every figure is within its limit."),))


def _facts(report: Report) -> Iterator[Fact]:
    for kind in _FACTS:
        figures = [figure for figure in report.sampled.figures if figure.kind == kind]
        if figures:
            figure = max(figures, key=lambda one: one.value)
            change = next((c for c in report.changes if (c.kind, c.labels) == (kind, figure.labels)), None)
            mean = f"mean {shown(kind, change.now.mean)}" if change and change.now else "not recorded yet"
            before = f", before {shown(kind, change.before.mean)}" if change and change.before else ""
            yield Fact(name_of(kind, figure.labels), shown(kind, figure.value), note=mean + before)


def _area(report: Report, title: str, kinds: Sequence[Kind]) -> Section | None:
    charts = [chart for kind in kinds for chart in _charts(report, kind)]
    changes = [change for change in report.changes if change.kind in kinds]
    blocks: list[Block] = [*charts]
    if changes:
        blocks.append(_figures(f"{title}: every figure", changes))
    return Section(title, tuple(blocks)) if blocks else None


def _charts(report: Report, kind: Kind) -> Iterator[LineChart]:
    lines = report.trends.get(kind, ())
    if lines:
        drawn = tuple(Line("/".join(labels) or kind.title, tuple(_points(report, points))) for labels, points in lines)
        hours = report.period.step_seconds // 3600
        step = "day" if hours == 24 else "hour" if hours == 1 else f"{hours} hours"
        yield LineChart(kind.title, kind.unit, drawn, f"Mean of every {step}.")


def _points(report: Report, points: Sequence[tuple[float, float]]) -> Iterator[tuple[datetime, float | None]]:
    """The points, with a gap wherever a step is not known."""
    step, known = report.period.step_seconds, dict(points)
    zone, at = report.period.until.tzinfo, report.period.since.timestamp()
    while at < report.period.until.timestamp():
        yield datetime.fromtimestamp(at, zone), known.get(at)
        at += step


def _changes(caption: str, changes: Sequence[Change], empty: str, *, remedies: bool = False) -> Table:
    columns = (Column("Figure"), Column("Now", True), Column("Before", True), Column("Change", True))
    more = (Column("What helps"),) if remedies else ()
    rows = ((*_change_row(one), *((remedy_of(one.kind),) if remedies else ())) for one in changes[:MAX_ROWS])
    return Table(caption, (*columns, *more), tuple(rows), empty)


def _change_row(change: Change) -> tuple[Cell | str, ...]:
    tone = _VERDICT_TONES.get(change.verdict, Tone.PLAIN)
    return (
        name_of(change.kind, change.labels),
        _compared(change, change.now),
        _compared(change, change.before),
        Cell(difference_of(change), tone, change.difference),
    )


def _figures(caption: str, changes: Sequence[Change]) -> Table:
    numbers = ("Mean", "p50", "p95", "p99", "Before", "Change")
    columns = (Column("Figure"), *(Column(title, True) for title in numbers), Column("Verdict"))
    left_out = len(changes) - MAX_ROWS
    note = f" (the first {MAX_ROWS}; {left_out} more are in the JSON report)" if left_out > 0 else ""
    return Table(caption + note, columns, tuple(_figure_row(change) for change in changes[:MAX_ROWS]))


def _figure_row(change: Change) -> tuple[Cell | str, ...]:
    now = change.now
    return (
        name_of(change.kind, change.labels),
        *(_number(change, value) for value in ((now.mean, now.p50, now.p95, now.p99) if now else (None,) * 4)),
        _compared(change, change.before),
        Cell(difference_of(change), number=change.difference),
        Cell(change.verdict, _VERDICT_TONES.get(change.verdict, Tone.PLAIN)),
    )


def _compared(change: Change, summary: Summary | None) -> Cell:
    return _number(change, compared_by(change.kind, summary) if summary else None)


def _number(change: Change, value: float | None) -> Cell:
    return Cell(shown(change.kind, value), number=value)


def _gaps(report: Report) -> Section:
    rows = tuple(
        (gap.source, gap.reason, Cell("absent") if gap.absent else Cell("unknown", Tone.UNKNOWN))
        for gap in report.sampled.gaps
    )
    columns = (Column("Source"), Column("Reason"), Column("State"))
    table = Table("Not measured in this sample", columns, rows, "Everything was measured.")
    intro = "What is absent is not configured and was not there; what is unknown costs score."
    return Section("What could not be measured", (table,), intro)
