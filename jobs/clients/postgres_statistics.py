"""What a PostgreSQL server says of itself as a whole: its databases, sessions and replicas.

Every query here and in `postgres_tables` reads catalogs and counters only: none takes a lock on a table, so none waits
for one. They are for versions 13 to 18; where those differ, it says so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jobs.clients.errors import ClientError
from jobs.core.postgres import Database, Prepared, Replica, Server, Slot, Statement, Transaction

if TYPE_CHECKING:
    from jobs.clients.postgres_session import Session

OLDEST_VERSION = 130000
_MAX_LISTED = 20
_MAX_QUERY = 300

_SERVER = """
SELECT current_setting('server_version'), pg_is_in_recovery(),
       CASE WHEN NOT pg_is_in_recovery() THEN NULL
            WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8 END,
       (SELECT sum(numbackends) FROM pg_stat_database)::int, current_setting('max_connections')::int,
       current_setting('autovacuum_freeze_max_age')::bigint,
       current_setting('autovacuum_multixact_freeze_max_age')::bigint,
       pg_has_role('pg_read_all_stats', 'USAGE')
"""
_DATABASES = """
SELECT d.datname, d.datistemplate, d.datallowconn,
       CASE WHEN has_database_privilege(d.oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
            THEN pg_database_size(d.oid) END,
       age(d.datfrozenxid), mxid_age(d.datminmxid),
       s.xact_commit, s.xact_rollback, s.blks_hit, s.blks_read, s.deadlocks, s.temp_bytes
  FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid
 WHERE d.datconnlimit <> -2  -- a database that DROP DATABASE has left half-way
 ORDER BY d.datname
"""
# A replica's place is told from where the primary is: from what it has received, on a replica with replicas.
_WAL = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END"
# How long replaying takes is told only for as long as there is something to replay; with nothing left of it, no time.
_REPLICAS = f"""
SELECT coalesce(nullif(application_name, ''), host(client_addr), 'pid ' || pid),
       pg_wal_lsn_diff({_WAL}, replay_lsn)::bigint,
       coalesce(extract(epoch FROM replay_lag), CASE WHEN replay_lsn >= {_WAL} THEN 0 END)::float8
  FROM pg_stat_replication WHERE coalesce(state, '') <> 'backup'
 ORDER BY pg_wal_lsn_diff({_WAL}, replay_lsn) DESC NULLS LAST LIMIT {_MAX_LISTED}
"""  # noqa: S608  # constants of this module
_SLOTS = f"""
SELECT slot_name, active, coalesce(pg_wal_lsn_diff({_WAL}, restart_lsn), 0)::bigint
  FROM pg_replication_slots ORDER BY 3 DESC LIMIT {_MAX_LISTED}
"""  # noqa: S608  # constants of this module
_TRANSACTIONS = f"""
SELECT pid, coalesce(usename, ''), coalesce(application_name, ''), coalesce(datname, ''), coalesce(state, ''),
       extract(epoch FROM now() - xact_start)::float8
  FROM pg_stat_activity
 WHERE xact_start IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid()
 ORDER BY xact_start LIMIT {_MAX_LISTED}
"""  # noqa: S608  # constants of this module
_PREPARED = f"""
SELECT gid, database, extract(epoch FROM now() - prepared)::float8
  FROM pg_prepared_xacts ORDER BY prepared LIMIT {_MAX_LISTED}
"""  # noqa: S608  # constants of this module
_GATE = """
SELECT (SELECT count(*) FROM pg_stat_progress_basebackup)::int,
       (SELECT string_agg(DISTINCT application_name, ', ') FROM pg_stat_activity
         WHERE application_name IN ('pg_dump', 'pg_dumpall', 'pg_basebackup', 'pg_restore')),
       (SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)) FROM pg_stat_replication
         WHERE state IN ('streaming', 'catchup'))::bigint
"""
_HAS_STATEMENTS = """
SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
 WHERE e.extname = 'pg_stat_statements'
"""
# The names of the columns are those of 1.8, which came with version 13.
_STATEMENTS = """
SELECT query, calls, total_exec_time / 1000, mean_exec_time / 1000, rows FROM {schema}.pg_stat_statements
 WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query IS NOT NULL
   AND query ~* '^\\s*(select|insert|update|delete|merge|with)\\s'
 ORDER BY total_exec_time DESC LIMIT %s
"""
_CONSTANT = re.compile(r"'(?:[^']|'')*'")


def read_server(session: Session) -> Server:
    """What the server says of itself and its databases; raise QueryFailed, ClientError where it is too old."""
    if session.server_version < OLDEST_VERSION:
        major = session.server_version // 10000
        raise ClientError(f"PostgreSQL at {session.where} is version {major}; maintenance needs 13 or newer")
    [(version, in_recovery, delay, connections, most, freeze, multixact_freeze, sees_all)] = session.query(_SERVER)
    return Server(
        where=session.where,
        version=version,
        in_recovery=in_recovery,
        replay_delay_seconds=delay,
        connections=connections,
        max_connections=most,
        freeze_max_age=freeze,
        multixact_freeze_max_age=multixact_freeze,
        sees_all=sees_all,
        databases=tuple(Database(*row) for row in session.query(_DATABASES)),
        replicas=tuple(Replica(*row) for row in session.query(_REPLICAS)),
        slots=tuple(Slot(*row) for row in session.query(_SLOTS)),
        transactions=tuple(Transaction(*row) for row in session.query(_TRANSACTIONS)) if sees_all else (),
        prepared=tuple(Prepared(*row) for row in session.query(_PREPARED)),
    )


def closed_gate(session: Session, max_replica_lag_bytes: float) -> str:
    """Why nothing should be changed at this moment: a backup under way, a replica that lags; else empty."""
    [(base_backups, dumps, lag)] = session.query(_GATE)
    if base_backups or dumps:
        return f"a backup is being made ({dumps or 'pg_basebackup'})"
    if lag is not None and lag > max_replica_lag_bytes:
        return f"a replica is {lag / 1e6:.0f} MB behind"
    return ""


def slow_statements(session: Session, most: int) -> list[Statement] | None:
    """What has cost most time in this database, None where pg_stat_statements is not there; raise QueryFailed.

    Only queries and changes of rows are told: PostgreSQL keeps the text of others whole, passwords included.
    """
    schemas = session.query(_HAS_STATEMENTS)
    if not schemas:
        return None
    rows = session.query(_STATEMENTS.format(schema=schemas[0][0]), [most])
    return [Statement(_without_constants(query), *figures) for query, *figures in rows]


def _without_constants(query: str) -> str:
    line = _CONSTANT.sub("'…'", " ".join(query.split()))
    return line if len(line) <= _MAX_QUERY else f"{line[: _MAX_QUERY - 1]}…"
