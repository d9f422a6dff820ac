"""What the figures of a PostgreSQL server and its databases amount to: samples and findings."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.core.checks import listed, sample
from jobs.core.model import Finding, Sample, Severity
from jobs.core.postgres import Database, Index, Server, Table
from jobs.databases import postgres_families as families
from jobs.databases.postgres_plan import duplicates, invalid, unused
from jobs.databases.postgres_settings import PostgresMaintenance

WRAPAROUND_RATIO = 0.5
FREEZE_RATIO = 1.5
PREPARED_SECONDS = 3600.0
_SLOT_BYTES = 1 << 30


def server_samples(name: str, server: Server) -> list[Sample]:
    """The figures of a server as a whole."""
    found = [
        sample(families.UP, 1, server=name),
        sample(families.IN_RECOVERY, server.in_recovery, server=name),
        sample(families.CONNECTIONS, server.connections, server=name),
        sample(families.MAX_CONNECTIONS, server.max_connections, server=name),
        sample(families.PREPARED, len(server.prepared), server=name),
        sample(families.OLDEST_PREPARED, max((one.seconds for one in server.prepared), default=0), server=name),
        sample(families.SLOT_BYTES, max((slot.retained_bytes for slot in server.slots), default=0), server=name),
    ]
    for active in (True, False):
        count = sum(slot.active is active for slot in server.slots)
        found.append(sample(families.SLOTS, count, server=name, active=str(active).lower()))
    if server.sees_all:
        oldest = max((one.seconds for one in server.transactions), default=0)
        found.append(sample(families.OLDEST_TRANSACTION, oldest, server=name))
    if server.replay_delay_seconds is not None:
        found.append(sample(families.REPLAY_DELAY, server.replay_delay_seconds, server=name))
    return found + _replica_samples(name, server)


def _replica_samples(name: str, server: Server) -> list[Sample]:
    """One series for each name: of several replicas that share one, the worst."""
    found: dict[tuple[str, str], Sample] = {}
    for replica in server.replicas:
        for family, value in (
            (families.REPLICA_LAG_BYTES, replica.lag_bytes),
            (families.REPLICA_LAG_SECONDS, replica.lag_seconds),
        ):
            before = found.get((family.name, replica.name))
            if value is not None and (before is None or before.value < value):
                found[family.name, replica.name] = sample(family, value, server=name, replica=replica.name)
    return list(found.values())


def wraparound_samples(name: str, server: Server, database: Database) -> list[Sample]:
    """How near a database is to the end of its transaction numbers; of templates, too, as they have the same end."""
    labels = {"server": name, "database": database.name}
    return [
        sample(families.WRAPAROUND, database.wraparound_ratio, **labels),
        sample(families.FREEZE, freeze_ratio(server, database), **labels),
    ]


def database_samples(name: str, database: Database) -> list[Sample]:
    """The figures of a database that the server knows without a look into it."""
    labels = {"server": name, "database": database.name}
    found = []
    if database.bytes is not None:
        found.append(sample(families.SIZE, database.bytes, **labels))
    if database.cache_hit_ratio is not None:
        found.append(sample(families.CACHE_HIT, database.cache_hit_ratio, **labels))
    return found


def content_samples(name: str, database: str, tables: Sequence[Table], indexes: Sequence[Index]) -> list[Sample]:
    """The figures of a database's tables and indexes together."""
    labels = {"server": name, "database": database}
    own = [table for table in tables if not is_catalog(table)]
    faults = {
        "invalid": len(invalid(indexes)),
        "unused": len(unused(indexes)),
        "duplicate": len(duplicates(indexes)),
    }
    return [
        sample(families.TABLES, len(own), **labels),
        sample(families.NEVER_VACUUMED, len(never_vacuumed(tables)), **labels),
        sample(families.LIVE_ROWS, sum(table.live_rows for table in own), **labels),
        sample(families.DEAD_ROWS, sum(table.dead_rows for table in own), **labels),
        *(sample(families.FAULTY_INDEXES, count, **labels, fault=fault) for fault, count in faults.items()),
    ]


def never_vacuumed(tables: Sequence[Table]) -> list[Table]:
    """Tables with rows that neither autovacuum nor anybody else has ever vacuumed."""
    return [table for table in tables if table.vacuum_seconds is None and table.live_rows and not is_catalog(table)]


def freeze_ratio(server: Server, database: Database) -> float:
    """The age of a database's oldest numbers, as a share of that at which autovacuum freezes them."""
    return max(
        database.transaction_age / server.freeze_max_age, database.multixact_age / server.multixact_freeze_max_age
    )


def server_findings(name: str, server: Server, settings: PostgresMaintenance) -> list[Finding]:
    """What a person should know of a server."""
    return [
        *_connection_findings(name, server, settings),
        *(found for database in server.databases for found in _wraparound_findings(name, server, database)),
        *_transaction_findings(name, server, settings),
        *_replication_findings(name, server, settings),
    ]


def _connection_findings(name: str, server: Server, settings: PostgresMaintenance) -> list[Finding]:
    used_percent = 100 * server.connections / server.max_connections
    if used_percent <= settings.max_connection_percent:
        return []
    message = f"{server.connections} of {server.max_connections} connections of {name} are in use"
    remedy = "find who holds them in pg_stat_activity, put a pooler in between, or raise max_connections"
    return [_finding("connections_high", f"postgres/{name}", Severity.MEDIUM, message, remedy)]


def _wraparound_findings(name: str, server: Server, database: Database) -> list[Finding]:
    subject = f"postgres/{name}/{database.name}"
    age = max(database.transaction_age, database.multixact_age)
    remedy = "see what holds vacuum back: old transactions, prepared ones, replication slots; then VACUUM FREEZE"
    if database.wraparound_ratio > WRAPAROUND_RATIO:
        message = f"{database.name} is {database.wraparound_ratio:.0%} on its way to transaction wraparound"
        return [_finding("wraparound", subject, Severity.CRITICAL, message, remedy)]
    if freeze_ratio(server, database) > FREEZE_RATIO:
        message = f"the oldest rows of {database.name} are {age:,} transactions old: autovacuum does not keep up"
        return [_finding("freezing_late", subject, Severity.MEDIUM, message, remedy)]
    return []


def _transaction_findings(name: str, server: Server, settings: PostgresMaintenance) -> list[Finding]:
    subject, found = f"postgres/{name}", []
    if not server.sees_all:
        message = f"open transactions and the lag of replicas of {name} are not known: its user may not see them"
        found.append(_finding("not_permitted", subject, Severity.LOW, message, "GRANT pg_monitor TO that user"))
    old = [one for one in server.transactions if one.seconds > settings.max_transaction_seconds]
    if old:
        told = [
            f"process {one.pid} of {one.user} ({one.application or 'no application name'}) in {one.database}, "
            f"{one.state}, for {one.seconds / 60:.0f} min"
            for one in old
        ]
        message = f"open transactions keep dead rows from being cleaned up: {listed(told)}"
        remedy = "end them in the application, or with pg_terminate_backend; set idle_in_transaction_session_timeout"
        found.append(_finding("long_transaction", subject, Severity.MEDIUM, message, remedy))
    forgotten = [f"{one.name!r} in {one.database}" for one in server.prepared if one.seconds > PREPARED_SECONDS]
    if forgotten:
        message = f"prepared transactions were never ended, and keep locks and dead rows: {listed(forgotten)}"
        remedy = "COMMIT PREPARED or ROLLBACK PREPARED them"
        found.append(_finding("prepared_transaction", subject, Severity.MEDIUM, message, remedy))
    return found


def _replication_findings(name: str, server: Server, settings: PostgresMaintenance) -> list[Finding]:
    limit, subject, found = settings.max_replica_lag_mb * 1e6, f"postgres/{name}", []
    behind = [
        f"{one.name} {one.lag_bytes / 1e6:.0f} MB"
        for one in server.replicas
        if (one.lag_bytes or 0) > limit and one.lag_bytes
    ]
    if behind:
        message = f"replicas of {name} are behind: {listed(behind)}"
        found.append(_finding("replica_lag", subject, Severity.MEDIUM, message, "look at the replica and its network"))
    slots = [
        f"{slot.name} {slot.retained_bytes / 1e6:.0f} MB"
        for slot in server.slots
        if not slot.active and slot.retained_bytes > _SLOT_BYTES
    ]
    if slots:
        message = f"replication slots that nobody reads keep WAL, and fill the disk of {name}: {listed(slots)}"
        remedy = "start their readers, or pg_drop_replication_slot"
        found.append(_finding("slot_retains_wal", subject, Severity.MEDIUM, message, remedy))
    return found


def content_findings(name: str, database: str, tables: Sequence[Table], indexes: Sequence[Index]) -> list[Finding]:
    """What a person should know of a database's tables and indexes."""
    subject, found = f"postgres/{name}/{database}", []
    if broken := invalid(indexes):
        message = f"invalid indexes in {database} cost writes and are not read: {listed([i.label for i in broken])}"
        remedy = "REINDEX INDEX CONCURRENTLY rebuilds one, DROP INDEX CONCURRENTLY removes it"
        found.append(_finding("invalid_indexes", subject, Severity.MEDIUM, message, remedy))
    if same := duplicates(indexes):
        message = f"indexes in {database} do the work of others: {listed([_twins(*pair) for pair in same])}"
        found.append(_finding("duplicate_indexes", subject, Severity.LOW, message, "drop the second of each"))
    if idle := unused(indexes):
        size = sum(index.bytes for index in idle) / 1e6
        message = f"indexes in {database} were never read here ({size:.1f} MB): {listed([i.label for i in idle])}"
        remedy = "drop those that no replica reads either, and that are not for rare reports"
        found.append(_finding("unused_indexes", subject, Severity.INFO, message, remedy))
    if new := never_vacuumed(tables):
        message = f"tables in {database} were never vacuumed: {listed([table.label for table in new])}"
        found.append(_finding("never_vacuumed", subject, Severity.INFO, message, "is autovacuum on?"))
    return found


def _twins(first: Index, second: Index) -> str:
    return f"{second.label} as {first.name}"


def is_catalog(table: Table) -> bool:
    """Whether a table is the server's own."""
    return table.schema in ("pg_catalog", "information_schema")


def _finding(kind: str, subject: str, severity: Severity, message: str, remedy: str) -> Finding:
    return Finding(kind=kind, subject=subject, severity=severity, message=" ".join(message.split()), remedy=remedy)
