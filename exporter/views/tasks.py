"""The tasks: what they do, when they run, how they went."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from exporter.bridge.outgoing.problems import problems_of
from exporter.metrics import MISSED
from exporter.plan import cadences_of, stale_after_seconds
from exporter.record import Record
from exporter.store import ledger
from exporter.views import runs as run_views
from exporter.views.moments import told
from exporter.views.sources import Sources
from jobs.core.job import Job
from jobs.core.model import Outcome
from jobs.core.registry import all_jobs

if TYPE_CHECKING:
    from exporter.views.shapes import RunEntry, TaskEntry

DURATIONS = 20
"""So many of a task's newest runs are told of by their durations."""


def tasks(sources: Sources) -> list[TaskEntry]:
    """Every task, by name."""
    elsewhere = run_views.under_way(sources)
    return [_entry(sources, job, elsewhere) for job in all_jobs().values()]


def task(sources: Sources, name: str) -> TaskEntry:
    """One task; raise KeyError where there is none."""
    return _entry(sources, all_jobs()[name], run_views.under_way(sources))


def runs(sources: Sources, task: str | None, limit: int) -> list[RunEntry]:
    """The newest runs that are over, newest first."""
    return run_views.runs(sources, task, limit)


def _entry(sources: Sources, job: Job, elsewhere: dict[str, tuple[datetime, bool]]) -> TaskEntry:
    cadences = cadences_of(sources.configuration, job.name)
    last, worked = _last(sources, job)
    missed = sources.exposition.get(MISSED.name, {"task": job.name})
    return {
        "task": job.name,
        "summary": job.summary,
        "modes": list(job.modes),
        "takes_target": job.takes_target,
        "needs_target": list(job.needs_target),
        "cadences": [str(cadence) for cadence in cadences],
        "enabled": bool(getattr(sources.configuration.settings.jobs, job.key).enabled),
        "next_run": told(sources, min(one.next_time(sources.schedule_now) for one in cadences)) if cadences else None,
        "running": run_views.running(sources, job.name, elsewhere),
        "last_run": run_views.run_entry(sources, last) if last else None,
        "last_success": told(sources, worked.finished) if worked else None,
        "stale": bool(cadences) and _is_stale(sources, job, worked),
        "failing": bool(cadences) and last is not None and _does_not_work(sources, last),
        "missed_total": int(missed or 0),
        "durations": ledger.durations(sources.store, job.name, last.request.mode, DURATIONS) if last else [],
    }


def _last(sources: Sources, job: Job) -> tuple[Record | None, Record | None]:
    """A task's newest run that was not skipped, and its newest that worked."""
    places = sources.newest(job)
    records = sources.records()
    return (records.get(places.last) if places.last else None), (records.get(places.worked) if places.worked else None)


def _is_stale(sources: Sources, job: Job, worked: Record | None) -> bool:
    """Whether the last result is too old; a task that never gave one has none to be old."""
    if worked is None:
        return False
    age_seconds = (sources.now - worked.finished).total_seconds()
    return age_seconds > stale_after_seconds(sources.configuration, job.name)


def _does_not_work(sources: Sources, last: Record) -> bool:
    """Whether a run failed, and not merely for a name that a person mistyped or because it comes again at once."""
    if last.outcome not in (Outcome.ERROR, Outcome.TIMEOUT):
        return False
    return bool(problems_of(last, sources.configuration.settings).seen)
