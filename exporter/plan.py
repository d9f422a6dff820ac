"""What a configuration says of a task: when it runs, how long it may, and when its results are too old."""

from __future__ import annotations

from exporter.config import Configuration
from exporter.settings import Settings
from jobs.core.cadence import Cadence
from jobs.core.registry import all_jobs


def cadences_of(configuration: Configuration, task: str) -> tuple[Cadence, ...]:
    """When a task runs; never, if it is disabled."""
    return schedule_of(configuration.settings, task)


def schedule_of(settings: Settings, task: str) -> tuple[Cadence, ...]:
    """When a task runs; never, if it is disabled."""
    job = all_jobs()[task]
    own = getattr(settings.jobs, job.key)
    if not own.enabled:
        return ()
    return job.cadences if own.schedule is None else tuple(own.schedule)


def max_run_seconds(configuration: Configuration, task: str) -> float:
    """After which time a run of the task is killed."""
    return float(getattr(configuration.settings.jobs, all_jobs()[task].key).max_run_seconds)


def stale_after_seconds(configuration: Configuration, task: str) -> float:
    """Two of the task's shortest intervals and one run; without a schedule, results do not grow stale."""
    cadences = cadences_of(configuration, task)
    if not cadences:
        return float("inf")
    return 2 * min(cadence.period_seconds for cadence in cadences) + max_run_seconds(configuration, task)
