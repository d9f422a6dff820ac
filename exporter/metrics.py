"""The catalogue of every metric family, and how records of runs become series."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache

from exporter import __version__
from exporter.bridge import families as bridge
from exporter.exposition import Exposition
from exporter.record import Record
from exporter.store import CounterKey
from jobs.core.cadence import Cadence
from jobs.core.job import Job
from jobs.core.model import Family, MetricType, Outcome, Result, Sample
from jobs.core.registry import all_jobs

DURATION_BUCKETS_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)


def _task_family(name: str, text: str, *labels: str, type: MetricType = MetricType.GAUGE) -> Family:
    return Family(name=f"sutazai_task_{name}", help=text, labels=("task", *labels), type=type)


LAST_RUN = _task_family("last_run_timestamp_seconds", "When the task's last run began, whatever came of it.")
LAST_SUCCESS = _task_family("last_success_timestamp_seconds", "When the task's last run that worked ended.")
NEXT_RUN = _task_family("next_run_timestamp_seconds", "When the task is due next.")
RUNNING = _task_family("running", "1 while a run of the task is under way.")
STARTED = _task_family("started_timestamp_seconds", "When the run that is under way began; absent between runs.")
PROGRESS = _task_family("progress_ratio", "How much of the run that is under way is done; absent between runs.")
INTERVAL = _task_family("interval_seconds", "Distance between two slots of the task's most frequent cadence.")
MAX_RUN = _task_family("max_run_seconds", "Limit after which a run of the task is killed.")
RUNS = _task_family("runs_total", "Runs of the task by outcome.", "outcome", type=MetricType.COUNTER)
MISSED = _task_family("missed_runs_total", "Slots of the task that passed without a run.", type=MetricType.COUNTER)
DURATION = _task_family("duration_seconds", "Duration of the task's runs.", type=MetricType.HISTOGRAM)

BUILD_INFO = Family(
    name="sutazai_build_info", help="1, with the version that is running.", labels=("version", "python")
)
RELOAD_OK = Family(name="sutazai_config_last_reload_successful", help="1 if the last reload took effect, else 0.")
RELOAD_TIME = Family(
    name="sutazai_config_last_reload_success_timestamp_seconds", help="When the configuration was last loaded."
)
WEB_CONFIG_OK = Family(
    name="sutazai_web_config_last_reload_successful",
    help="1 if the web configuration file and what it names are in force as they are, else 0; absent without one.",
)
WEB_CONFIG_TIME = Family(
    name="sutazai_web_config_last_reload_success_timestamp_seconds",
    help="When the web configuration that is in force was read; absent without one.",
)
STORE_UP = Family(name="sutazai_store_up", help="1 if the last access to the store worked, else 0.")
EVENTS_CONNECTED = Family(
    name="sutazai_docker_events_connected", help="1 while the Docker engine's events are being received, else 0."
)
PAGE_WRITTEN = Family(
    name="sutazai_status_page_written", help="1 if the file of the status page could be written last, else 0."
)
DROPPED = Family(
    name="sutazai_dropped_series", help="Series left out because their family was full.", labels=("family",)
)

OWN_FAMILIES = (
    BUILD_INFO, RELOAD_OK, RELOAD_TIME, WEB_CONFIG_OK, WEB_CONFIG_TIME,
    STORE_UP, EVENTS_CONNECTED, PAGE_WRITTEN, DROPPED,
    LAST_RUN, LAST_SUCCESS, NEXT_RUN, RUNNING, STARTED, PROGRESS, INTERVAL, MAX_RUN, RUNS, MISSED, DURATION,
    *bridge.FAMILIES,
)  # fmt: skip


@cache
def catalogue() -> tuple[Family, ...]:
    """Every family: the daemon's own, then each job's; a family that several jobs share stands once."""
    families = {family.name: family for family in OWN_FAMILIES}
    for job in all_jobs().values():
        for family in job.metrics:
            if families.setdefault(family.name, family) != family:
                raise ValueError(f"jobs/{job.key}.py declares {family.name} differently than another module")
    return tuple(families.values())


def counter_key(family: Family, labels: Mapping[str, str], suffix: str = "") -> CounterKey:
    """The name that the store knows a counter or a part of a histogram by."""
    return family.name + suffix, tuple(sorted(labels.items()))


def counters_of(record: Record) -> dict[CounterKey, float]:
    """What a record adds to the counters."""
    task = {"task": record.request.task}
    added = {counter_key(RUNS, task | {"outcome": record.outcome}): 1.0}
    if record.outcome is not Outcome.SKIPPED:
        seconds = record.duration_seconds
        for bound in DURATION_BUCKETS_SECONDS:
            added[counter_key(DURATION, task | {"le": str(bound)}, "_bucket")] = float(seconds <= bound)
        added[counter_key(DURATION, task | {"le": "+Inf"}, "_bucket")] = 1.0
        added[counter_key(DURATION, task, "_sum")] = seconds
        added[counter_key(DURATION, task, "_count")] = 1.0
    for sample in _counter_samples(record):
        key = (sample.family, tuple(sorted(sample.labels.items())))
        added[key] = added.get(key, 0.0) + sample.value
    return added


def missed_counter(task: str, count: int) -> dict[CounterKey, float]:
    """What `count` missed slots of a task add to the counters."""
    return {counter_key(MISSED, {"task": task}): float(count)}


class Metrics:
    """Keeps the exposition true to what the runs said."""

    def __init__(self, max_series_per_family: int = 50_000) -> None:
        self.exposition = Exposition(catalogue(), max_series_per_family)
        self._gauges_of = {
            name: [f.name for f in job.metrics if f.type is not MetricType.COUNTER] for name, job in all_jobs().items()
        }
        self._counters: dict[CounterKey, float] = {}
        self._expires: dict[str, float] = {}
        with self.exposition.changes():
            self.exposition.set(BUILD_INFO.name, 1, {"version": __version__, "python": platform.python_version()})
            self.exposition.set(RELOAD_OK.name, 1)
            self.exposition.set(EVENTS_CONNECTED.name, 0)
            for task in all_jobs():
                self.exposition.set(RUNNING.name, 0, {"task": task})

    def set(self, family: Family, value: float) -> None:
        """Set one of the daemon's own figures that have no labels."""
        self.exposition.set(family.name, value)

    def plan(self, task: str, cadences: Iterable[Cadence], max_run_seconds: float, now: datetime) -> None:
        """Show when a task is due next and how long it may take; with no cadence it is never due."""
        labels, cadences = {"task": task}, tuple(cadences)
        with self.exposition.changes():
            for family, values in (
                (NEXT_RUN, [cadence.next_time(now).timestamp() for cadence in cadences]),
                (INTERVAL, [float(cadence.period_seconds) for cadence in cadences]),
                (MAX_RUN, [max_run_seconds]),
            ):
                self.exposition.replace(family.name, [(labels, min(values))] if values else [], scope=labels)

    def running(self, task: str, since: datetime | None, progress_ratio: float = 0.0) -> None:
        """Show a task as running since then and how far it is, or as not running."""
        labels = {"task": task}
        with self.exposition.changes():
            self.exposition.set(RUNNING.name, float(since is not None), labels)
            self.exposition.replace(STARTED.name, [(labels, since.timestamp())] if since else [], scope=labels)
            self.exposition.replace(PROGRESS.name, [(labels, progress_ratio)] if since else [], scope=labels)

    def counters(self, values: Mapping[CounterKey, float]) -> None:
        """Show the counters of tasks as the store has them; those of jobs show with the record that names them."""
        self._counters = dict(values)
        with self.exposition.changes():
            for task in all_jobs():
                self._task_counters(task)

    def _task_counters(self, task: str) -> None:
        labels, value = {"task": task}, self._counters.get
        for outcome in Outcome:
            with_outcome = labels | {"outcome": outcome}
            self.exposition.set(RUNS.name, value(counter_key(RUNS, with_outcome), 0), with_outcome)
        self.exposition.set(MISSED.name, value(counter_key(MISSED, labels), 0), labels)
        for bound in (*map(str, DURATION_BUCKETS_SECONDS), "+Inf"):
            bucket = labels | {"le": bound}
            self.exposition.set(
                DURATION.name, value(counter_key(DURATION, bucket, "_bucket"), 0), bucket, suffix="_bucket"
            )
        for suffix in ("_sum", "_count"):
            self.exposition.set(DURATION.name, value(counter_key(DURATION, labels, suffix), 0), labels, suffix=suffix)

    def record(self, record: Record, stale_after_seconds: float) -> None:
        """Show what a record says. A run that had no result leaves no gauge of its task behind.

        One that was stopped says nothing: what stands there grows old as it would without it.
        """
        if record.outcome is Outcome.SKIPPED:
            return
        task = record.request.task
        labels = {"task": task}
        with self.exposition.changes():
            self.exposition.set(LAST_RUN.name, record.started.timestamp(), labels)
            if record.outcome is Outcome.OK:
                self.exposition.set(LAST_SUCCESS.name, record.finished.timestamp(), labels)
            if record.result is not None:
                self._show(all_jobs()[task], record.result)
                if not record.result.scope:
                    self._expires[task] = record.finished.timestamp() + stale_after_seconds
            elif not (record.request.target or record.outcome is Outcome.STOPPED):
                self.drop(task)

    def _show(self, job: Job, result: Result) -> None:
        by_family: dict[str, list[tuple[Mapping[str, str], float]]] = {family.name: [] for family in job.metrics}
        for sample in result.samples:
            value = self._total(sample) if _is_counter(sample.family) else sample.value
            by_family[sample.family].append((sample.labels, value))
        for name, series in by_family.items():
            dropped = self.exposition.replace(name, series, self._scope_of(name, job, result.scope))
            if dropped or self.exposition.get(DROPPED.name, {"family": name}):
                self.exposition.set(DROPPED.name, dropped, {"family": name})

    def _scope_of(self, family: str, job: Job, scope: Mapping[str, str]) -> Mapping[str, str]:
        """Which series of a family are a job's to replace: of a family with a label `score`, its own only."""
        shared = family == "sutazai_score_deduction_points" and not scope
        return {"score": job.score_name} if shared else scope

    def _total(self, sample: Sample) -> float:
        return self._counters.get((sample.family, tuple(sorted(sample.labels.items()))), sample.value)

    def drop(self, task: str) -> None:
        """Take back every gauge of a task: nothing measured them lately."""
        job = all_jobs()[task]
        with self.exposition.changes():
            for name in self._gauges_of[task]:
                self.exposition.replace(name, [], self._scope_of(name, job, {}))
        self._expires.pop(task, None)

    def expire(self, now: datetime) -> list[str]:
        """Take back the gauges of tasks that have not measured for too long; return those tasks."""
        expired = [task for task, at in self._expires.items() if at < now.timestamp()]
        for task in expired:
            self.drop(task)
        return expired


def _counter_samples(record: Record) -> list[Sample]:
    return [s for s in record.result.samples if _is_counter(s.family)] if record.result else []


def _is_counter(name: str) -> bool:
    return name.endswith("_total")
