"""Reports how the machine, its containers, agents, databases and models perform, and what got worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.core.cadence import Cadence
from jobs.core.job import Flag, Job, JobError, ReportFiles
from jobs.core.model import Request, Result
from jobs.core.sight import ANY_MODE, Sight
from jobs.performance.families import FAMILIES
from jobs.performance.settings import Settings

if TYPE_CHECKING:
    from jobs.clients import Clients


def run(settings: Settings, clients: Clients, request: Request) -> Result:
    """Sample everything; in the modes of a period also compare it with the period before, and report."""
    if request.target:
        raise JobError(f"performance-report measures everything and takes no target (given: {request.target!r})")
    from jobs.performance.running import perform

    return perform(settings, clients, request.model_copy(update={"mode": request.mode or JOB.modes[0]}))


JOB = Job(
    name="performance-report",
    summary="Samples performance, and reports by the day, week and month",
    cadences=(
        Cadence.parse("every 5 minutes: sample"),
        Cadence.parse("daily at 07:00: daily"),
        Cadence.parse("sunday at 08:00: weekly"),
        Cadence.parse("monthly on 1 at 08:30: monthly"),
    ),
    settings=Settings,
    run=run,
    metrics=FAMILIES,
    modes=("daily", "weekly", "monthly", "sample"),
    report=ReportFiles(
        directory="reports/performance",
        stem="performance_report_{mode}",
        link="reports/performance/latest_performance_report.json",
        log_stem="performance_report",
        renderings=(".html",),
    ),
    score_name="performance",
    # What got worse within a day is not better because the week is no worse than the one before.
    sight=Sight(
        looks_at={ANY_MODE: "(?!worse ).*"},
        blind={
            **{f"{area}_unknown": f"{area}_.*" for area in ("agents", "containers", "postgres", "redis")},
            "host_unknown": "(memory|disk|load)_.*",
            **dict.fromkeys(("ollama_down", "model_silent"), "model_.* model/.*"),
        },
    ),
    flags=(
        Flag("--format", "Forms of the report.", setting="report_format"),
        Flag("--period", "The time that is reported on.", modes=("daily", "weekly", "monthly")),
    ),
    mode_notes={
        "daily": "the last day against the day before, with a report",
        "weekly": "the last week against the week before, with a report",
        "monthly": "the last month against the month before, with a report",
        "sample": "only takes a sample",
    },
    verdicts={
        0: "the score is good or excellent",
        1: "it is fair, or something could not be measured",
        2: "it is poor",
    },
)
