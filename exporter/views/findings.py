"""What was found and not found gone since."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from exporter.bridge.model import Problem
from exporter.bridge.outgoing.problems import RANK, Name, name_of, problems_of
from exporter.bridge.outgoing.standing import Standing
from exporter.record import Record
from exporter.views.moments import told, told_seconds
from exporter.views.sources import Sources
from jobs.core.job import Job
from jobs.core.model import Severity
from jobs.core.registry import all_jobs

if TYPE_CHECKING:
    from exporter.views.shapes import FindingEntry

Seen = dict[Name, tuple[Problem, datetime]]
"""What stands of a task, by kind and subject, and when it was last seen."""


def findings(sources: Sources, task: str | None = None) -> list[FindingEntry]:
    """Every standing finding (of one task, if it is given), the worst first."""
    kept: dict[str, dict[Name, Standing]] = {}
    for one in sources.problems():
        kept.setdefault(one.problem.task, {})[name_of(one.problem)] = one
    names = [*all_jobs(), *sorted(kept.keys() - all_jobs().keys())]
    found = [entry for name in names if task in (None, name) for entry in _of_task(sources, name, kept.get(name, {}))]
    return sorted(found, key=lambda entry: -RANK[Severity(entry["severity"])])


def _of_task(sources: Sources, task: str, kept: dict[Name, Standing]) -> Iterable[FindingEntry]:
    job = all_jobs().get(task)
    seen = _seen(sources, job) if job else {}
    for name in sorted(seen.keys() | kept.keys()):
        problem, at = seen.get(name, (None, None))
        if name in kept:
            problem = kept[name].problem
        if problem is not None:
            yield _entry(sources, problem, at, kept.get(name))


def _seen(sources: Sources, job: Job) -> Seen:
    """What the newest runs of each mode have found, and no later one has looked at and not found.

    What is severe enough to be kept as a problem is known from further back; of this the newest runs tell all.
    """
    places, records = sources.newest(job), sources.records()
    seen: Seen = {}
    for order in sorted({*places.whole, *places.narrowed}):
        if order in records:
            seen = _after(sources, seen, records[order])
    return seen


def _after(sources: Sources, seen: Seen, record: Record) -> Seen:
    """What stands after one more run."""
    view = problems_of(record, sources.configuration.settings)
    still = {name: (problem, at) for name, (problem, at) in seen.items() if view.left_of(problem) is not None}
    return {**still, **{name: (problem, record.finished) for name, problem in view.seen.items()}}


def _entry(sources: Sources, problem: Problem, at: datetime | None, kept: Standing | None) -> FindingEntry:
    since = told_seconds(sources, kept.since_seconds) if kept else None
    return {
        "task": problem.task,
        "mode": problem.mode,
        "kind": problem.kind,
        "subject": problem.subject,
        "severity": problem.severity.value,
        "message": problem.message,
        "remedy": problem.remedy,
        "at": told(sources, at) if at else since or told(sources, problem.opened),
        "since": since,
    }
