"""What is exported about Redis; the memory in use is the health check's."""

from __future__ import annotations

from jobs.core.model import Family, MetricType

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
