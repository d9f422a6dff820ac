"""What is exported about Redis; the memory in use is the health check's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime, timedelta

from jobs.core.checks import sample
from jobs.core.model import Family, MetricType, Observation, Sample
from jobs.core.ports import History
from jobs.core.redis import Figures, Memory, Totals
from jobs.databases.redis_judgement import Reading, persisting
from jobs.databases.redis_settings import RedisMaintenance

UPTIME = Family(name="sutazai_redis_uptime_seconds", help="How long Redis has been running.")
LOADING = Family(name="sutazai_redis_loading", help="1 while Redis loads its data after a start.")
PEAK = Family(name="sutazai_redis_memory_peak_bytes", help="Most memory that Redis has used for its data.")
MAX = Family(name="sutazai_redis_memory_max_bytes", help="Limit of the memory for data (maxmemory); 0: none.")
EVICTS = Family(
    name="sutazai_redis_memory_evicts", help="1 if Redis evicts keys when it is full, 0 if it refuses writes."
)
RESIDENT = Family(name="sutazai_redis_memory_resident_bytes", help="Memory of Redis's process.")
FRAGMENTED = Family(
    name="sutazai_redis_memory_fragmented_bytes", help="Memory lost between data, in pages in use; with jemalloc."
)
FRAGMENTATION = Family(
    name="sutazai_redis_memory_fragmentation_ratio", help="Pages in use against the data in them; with jemalloc."
)
RETAINED = Family(
    name="sutazai_redis_memory_retained_bytes", help="Empty pages that the allocator keeps; with jemalloc."
)
OVERHEAD = Family(
    name="sutazai_redis_memory_overhead_bytes", help="Memory of the process that is not its allocator's; with jemalloc."
)
KEYS = Family(name="sutazai_redis_keys", help="Keys by database (64 of them, then others).", labels=("database",))
EXPIRING = Family(
    name="sutazai_redis_expiring_keys", help="Keys that have a time to live, by database.", labels=("database",)
)
CLIENTS = Family(name="sutazai_redis_clients", help="Connected clients.")
MAX_CLIENTS = Family(name="sutazai_redis_clients_max", help="Limit of connected clients (maxclients).")
BLOCKED = Family(name="sutazai_redis_clients_blocked", help="Clients that wait in a blocking command.")
PERSISTING = Family(
    name="sutazai_redis_persisting",
    help="1 if what Redis should keep on disk gets there, else 0; absent where nothing should, or nobody can tell.",
)
LAST_SAVE = Family(name="sutazai_redis_last_save_timestamp_seconds", help="When Redis last saved its data (RDB).")
CHANGES = Family(name="sutazai_redis_unsaved_changes", help="Changes since the last save (RDB).")
REPLICAS = Family(name="sutazai_redis_replicas", help="Connected replicas.")
LINK_UP = Family(name="sutazai_redis_master_link_up", help="On a replica: 1 if the link to its master is up, else 0.")
LAG_SECONDS = Family(
    name="sutazai_redis_replica_lag_seconds", help="Time since the slowest replica was heard of; with replicas."
)
LAG_BYTES = Family(name="sutazai_redis_replica_lag_bytes", help="How far the slowest replica is behind; with replicas.")
TOTALS = {
    "evicted_keys": Family(
        name="sutazai_redis_evicted_keys_total", help="Keys evicted for want of memory.", type=MetricType.COUNTER
    ),
    "rejected_connections": Family(
        name="sutazai_redis_rejected_connections_total",
        help="Connections rejected because of maxclients.",
        type=MetricType.COUNTER,
    ),
    "keyspace_hits": Family(
        name="sutazai_redis_keyspace_hits_total", help="Look-ups that found their key.", type=MetricType.COUNTER
    ),
    "keyspace_misses": Family(
        name="sutazai_redis_keyspace_misses_total", help="Look-ups that found no key.", type=MetricType.COUNTER
    ),
    "slow_commands": Family(
        name="sutazai_redis_slow_commands_total",
        help="Commands that took longer than slowlog-log-slower-than.",
        type=MetricType.COUNTER,
    ),
}
SAVE_SECONDS = Family(name="sutazai_redis_save_seconds", help="How long the last maintenance's save took.")
BEFORE_AFTER = Family(
    name="sutazai_redis_maintenance_resident_bytes",
    help="Memory of Redis's process before and after the last maintenance.",
    labels=("when",),
)
RATIO_BEFORE_AFTER = Family(
    name="sutazai_redis_maintenance_fragmentation_ratio",
    help="Fragmentation before and after the last maintenance; with jemalloc.",
    labels=("when",),
)
FAMILIES = (
    *(UPTIME, LOADING, PEAK, MAX, EVICTS, RESIDENT, FRAGMENTED, FRAGMENTATION, RETAINED, OVERHEAD, KEYS, EXPIRING),
    *(CLIENTS, MAX_CLIENTS, BLOCKED, PERSISTING, LAST_SAVE, CHANGES, REPLICAS, LINK_UP, LAG_SECONDS, LAG_BYTES),
    *(*TOTALS.values(), SAVE_SECONDS, BEFORE_AFTER, RATIO_BEFORE_AFTER),
)

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
