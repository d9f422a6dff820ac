"""The ledger told again: metrics as they were left by whoever ran last."""

from __future__ import annotations

from datetime import datetime

from exporter.bridge import figures
from exporter.config import Configuration
from exporter.metrics import Metrics
from exporter.plan import cadences_of, max_run_seconds, stale_after_seconds
from exporter.store import Store
from jobs.core.model import Outcome
from jobs.core.registry import all_jobs

REPLAYED_RECORDS = 20
"""So many of a task's newest records are told again, so that what narrowed runs left out is there as well."""


def replayed_metrics(configuration: Configuration, store: Store, now: datetime) -> Metrics:
    """New metrics that show what the ledger knows, without what is too old to be true."""
    metrics = Metrics(configuration.settings.web.max_series_per_family)
    with metrics.exposition.changes():
        metrics.counters(store.counters())
        show_plan(metrics, configuration, now)
        for task in all_jobs():
            success = store.last_record(task, Outcome.OK)
            recent = store.ledger(task, REPLAYED_RECORDS)[::-1]
            for record in [success, *recent] if success and success not in recent else recent:
                metrics.record(record, stale_after_seconds(configuration, task))
        metrics.expire(now)
        figures.show(metrics.exposition, store, configuration.settings, now)
    return metrics


def show_plan(metrics: Metrics, configuration: Configuration, now: datetime) -> None:
    """Show when each task is due next, and how long it may take."""
    with metrics.exposition.changes():
        for task in all_jobs():
            metrics.plan(task, cadences_of(configuration, task), max_run_seconds(configuration, task), now)
