"""What the maintenance exports of PostgreSQL: servers and databases, never one series for each table."""

from __future__ import annotations

from jobs.core.model import Family, MetricType

_SERVER, _DATABASE = ("server",), ("server", "database")


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(name=f"sutazai_postgres_{name}", help=text, labels=labels)


def _counter(name: str, text: str) -> Family:
    return Family(name=f"sutazai_postgres_{name}_total", help=text, labels=_DATABASE, type=MetricType.COUNTER)


UP = _gauge("up", "1 if the server lets us in and answers, else 0.", *_SERVER)
IN_RECOVERY = _gauge("in_recovery", "1 if the server is a replica, else 0.", *_SERVER)
CONNECTIONS = _gauge("connections", "Connections in use.", *_SERVER)
MAX_CONNECTIONS = _gauge("connections_max", "Connections that the server takes.", *_SERVER)
OLDEST_TRANSACTION = _gauge(
    "oldest_transaction_seconds", "Age of the oldest open transaction; 0 where there is none.", *_SERVER
)
PREPARED = _gauge(
    "prepared_transactions", "Transactions that were prepared and neither committed nor rolled back.", *_SERVER
)
OLDEST_PREPARED = _gauge("oldest_prepared_transaction_seconds", "Age of the oldest prepared transaction.", *_SERVER)
REPLAY_DELAY = _gauge("replay_delay_seconds", "How far a replica is behind what it has received.", *_SERVER)
REPLICA_LAG_BYTES = _gauge("replica_lag_bytes", "WAL that a replica has not replayed yet.", "server", "replica")
REPLICA_LAG_SECONDS = _gauge(
    "replica_lag_seconds", "How long a replica takes to replay WAL; 0 when done.", "server", "replica"
)
SLOTS = _gauge("replication_slots", "Replication slots that are in use (active) or not.", "server", "active")
SLOT_BYTES = _gauge("replication_slot_retained_bytes", "Most WAL that is kept for a replication slot.", *_SERVER)

SIZE = _gauge("size_bytes", "Size of the database.", *_DATABASE)
CACHE_HIT = _gauge("cache_hit_ratio", "Share of block reads answered from the server's own cache.", *_DATABASE)
WRAPAROUND = _gauge(
    "wraparound_ratio",
    "Age of the database's oldest transaction or multixact, as a share of the 2^31 at which their numbers wrap around.",
    *_DATABASE,
)
FREEZE = _gauge(
    "freeze_ratio",
    "Age of the database's oldest transaction or multixact, as a share of the age at which autovacuum freezes.",
    *_DATABASE,
)
TABLES = _gauge("tables", "Tables and materialized views, catalogs left out.", *_DATABASE)
NEVER_VACUUMED = _gauge("tables_never_vacuumed", "Tables with rows that were never vacuumed.", *_DATABASE)
LIVE_ROWS = _gauge("live_rows", "Rows of all tables, as the server estimates them.", *_DATABASE)
DEAD_ROWS = _gauge("dead_rows", "Rows that were updated or deleted and not cleaned up yet.", *_DATABASE)
FAULTY_INDEXES = _gauge(
    "faulty_indexes",
    "Indexes that are invalid, were never read (unused), or index the same as another (duplicate).",
    *_DATABASE,
    "fault",
)

COMMITS = _counter("commits", "Transactions committed.")
ROLLBACKS = _counter("rollbacks", "Transactions rolled back.")
BLOCKS_HIT = _counter("blocks_hit", "Block reads answered from the server's own cache.")
BLOCKS_READ = _counter("blocks_read", "Block reads that went to the operating system.")
DEADLOCKS = _counter("deadlocks", "Deadlocks found.")
TEMP_BYTES = _counter("temp_bytes", "Bytes that queries wrote to temporary files.")

TABLE_BLOAT = _gauge("table_bloat_bytes", "Wasted space in tables, as the last maintenance estimated it.", *_DATABASE)
INDEX_BLOAT = _gauge("index_bloat_bytes", "Wasted space in B-trees, as the last maintenance estimated it.", *_DATABASE)
RECLAIMED = _gauge(
    "maintenance_reclaimed_bytes",
    "By how much the last maintenance made the database smaller; negative where others filled it meanwhile.",
    *_DATABASE,
)
SECONDS = _gauge("maintenance_duration_seconds", "How long the last maintenance of the database took.", *_DATABASE)
WORK = _gauge(
    "maintenance_work",
    "Tables and indexes of the last maintenance, by what came of them: done, failed, locked, postponed, gone.",
    *_DATABASE,
    "outcome",
)

FAMILIES = (
    UP, IN_RECOVERY, CONNECTIONS, MAX_CONNECTIONS, OLDEST_TRANSACTION, PREPARED, OLDEST_PREPARED,
    REPLAY_DELAY, REPLICA_LAG_BYTES, REPLICA_LAG_SECONDS, SLOTS, SLOT_BYTES,
    SIZE, CACHE_HIT, WRAPAROUND, FREEZE, TABLES, NEVER_VACUUMED, LIVE_ROWS, DEAD_ROWS, FAULTY_INDEXES,
    COMMITS, ROLLBACKS, BLOCKS_HIT, BLOCKS_READ, DEADLOCKS, TEMP_BYTES,
    TABLE_BLOAT, INDEX_BLOAT, RECLAIMED, SECONDS, WORK,
)  # fmt: skip
