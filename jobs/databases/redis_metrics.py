"""Figures of Redis as samples and observations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime, timedelta

from jobs.core.checks import sample
from jobs.core.model import Family, Observation, Sample
from jobs.core.ports import History
from jobs.core.redis import Figures, Memory, Totals
from jobs.databases.redis_families import (
    BEFORE_AFTER,
    BLOCKED,
    CHANGES,
    CLIENTS,
    EVICTS,
    EXPIRING,
    FRAGMENTATION,
    FRAGMENTED,
    KEYS,
    LAG_BYTES,
    LAG_SECONDS,
    LAST_SAVE,
    LINK_UP,
    LOADING,
    MAX,
    MAX_CLIENTS,
    OVERHEAD,
    PEAK,
    PERSISTING,
    RATIO_BEFORE_AFTER,
    REPLICAS,
    RESIDENT,
    RETAINED,
    SAVE_SECONDS,
    TOTALS,
    UPTIME,
)
from jobs.databases.redis_judgement import Reading, persisting
from jobs.databases.redis_settings import RedisMaintenance

_REMEMBERED = timedelta(hours=48)
_SERIES = "redis_total"


def counted(figures: Figures, history: History, now: datetime) -> Totals:
    """What was counted since the run before: nothing where there was none, all where the server was restarted since."""
    totals = _totals(figures)
    return Totals(**{name: _increment(figures, name, total, history, now) for name, total in totals.items()})


def _totals(figures: Figures) -> dict[str, int]:
    found = {field.name: getattr(figures.totals, field.name) for field in fields(Totals)}
    return {name: total for name, total in found.items() if total is not None}


def _increment(figures: Figures, name: str, total: int, history: History, now: datetime) -> int:
    points = history.points(f"{_SERIES}/{name}", now - _REMEMBERED)
    if not points:
        return 0
    at, before = points[-1]
    restarted = now.timestamp() - at > figures.uptime_seconds + 1 or before > total
    return total if restarted else total - int(before)


def observations(figures: Figures) -> list[Observation]:
    """What the next run needs to tell what was counted since."""
    return [Observation(series=f"{_SERIES}/{name}", value=total) for name, total in _totals(figures).items()]


def samples(reading: Reading, settings: RedisMaintenance) -> list[Sample]:
    """The metrics of one reading."""
    figures = reading.figures
    return [
        *_values(_single(reading, settings)),
        *(sample(KEYS, count, database=label) for label, count in figures.keys.items()),
        *(sample(EXPIRING, count, database=label) for label, count in figures.expiring.items()),
        *_values([(family, getattr(reading.counted, name)) for name, family in TOTALS.items()]),
    ]


def maintenance_samples(before: Memory, after: Memory, save_seconds: float | None) -> list[Sample]:
    """The metrics of a maintenance, which stay until the next."""
    found = [] if save_seconds is None else [sample(SAVE_SECONDS, save_seconds)]
    for when, memory in (("before", before), ("after", after)):
        found.append(sample(BEFORE_AFTER, memory.resident_bytes, when=when))
        if memory.fragmentation_ratio is not None:
            found.append(sample(RATIO_BEFORE_AFTER, memory.fragmentation_ratio, when=when))
    return found


def _values(values: Sequence[tuple[Family, float | None]]) -> Iterator[Sample]:
    yield from (sample(family, value) for family, value in values if value is not None)


def _single(reading: Reading, settings: RedisMaintenance) -> list[tuple[Family, float | None]]:
    figures = reading.figures
    memory, kept, replication = figures.memory, figures.persistence, figures.replication
    return [
        (UPTIME, figures.uptime_seconds),
        (LOADING, figures.loading),
        (PEAK, memory.peak_bytes),
        (MAX, memory.max_bytes),
        (EVICTS, memory.evicts),
        (RESIDENT, memory.resident_bytes),
        (FRAGMENTED, memory.fragmented_bytes),
        (FRAGMENTATION, memory.fragmentation_ratio),
        (RETAINED, memory.retained_bytes),
        (OVERHEAD, memory.overhead_bytes),
        (CLIENTS, figures.clients),
        (MAX_CLIENTS, figures.max_clients),
        (BLOCKED, figures.blocked_clients),
        (PERSISTING, persisting(reading, settings)),
        (LAST_SAVE, kept.last_save.timestamp() if kept.last_save else None),
        (CHANGES, kept.changes),
        (REPLICAS, replication.replicas),
        (LINK_UP, replication.link_up),
        (LAG_SECONDS, replication.lag_seconds),
        (LAG_BYTES, replication.lag_bytes),
    ]
