"""The tables and indexes of one PostgreSQL database, and what may be done with them to keep them well."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from jobs.clients.postgres_session import quoted
from jobs.core.postgres import PAGE_BYTES, Index, Table, Width

if TYPE_CHECKING:
    from jobs.clients.postgres_session import Session

LEAST_BLOATED_BYTES = 1 << 20
"""Of smaller tables and indexes the bloat is not estimated."""
_READ_SECONDS = 60.0
# "sutazai" in numbers: whoever maintains a database holds this advisory lock of it.
_LOCK = (0x53757461, 0x7A6169)

# Until version 16 the owner may vacuum; then whoever has MAINTAIN. The database's owner may do so in all of them.
_OWNS = "pg_has_role({relation}.relowner, 'USAGE')"
_MAINTAINS = "has_table_privilege({relation}.oid, 'MAINTAIN')"
_OWNS_DATABASE = """(NOT c.relisshared AND
    pg_has_role((SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE'))"""

_NAMED = "(%(names)s::name[] IS NULL OR {column} = ANY(%(names)s::name[]))"
_RELATION_NAMED = _NAMED.format(column="c.relname")

# The counters are read one by one: the view pg_stat_all_tables joins every index to its table first.
_TABLES = """
SELECT n.nspname, c.relname, c.relpages::bigint * {page}, c.reltuples::float8,
       pg_stat_get_live_tuples(c.oid), pg_stat_get_dead_tuples(c.oid),
       coalesce(t.reltuples, 0)::float8, coalesce(pg_stat_get_dead_tuples(t.oid), 0),
       pg_stat_get_mod_since_analyze(c.oid), pg_stat_get_ins_since_vacuum(c.oid),
       greatest(age(c.relfrozenxid), age(t.relfrozenxid)), greatest(mxid_age(c.relminmxid), mxid_age(t.relminmxid)),
       extract(epoch FROM now() - greatest(pg_stat_get_last_vacuum_time(c.oid),
                                           pg_stat_get_last_autovacuum_time(c.oid)))::float8,
       extract(epoch FROM now() - greatest(pg_stat_get_last_analyze_time(c.oid),
                                           pg_stat_get_last_autoanalyze_time(c.oid)))::float8,
       pg_stat_get_vacuum_count(c.oid), pg_stat_get_analyze_count(c.oid),
       {may} OR {owns_database}
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
 WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND {named}
"""
# An index of which the table is locked so may be under construction: nobody knows of it yet whether it is valid.
_BUSY = """
EXISTS (SELECT FROM pg_locks l WHERE l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""
# Where in the text an expression stood is no part of what it means.
_DEFINITION = r"""
concat_ws(' ', i.indrelid, c.relam, i.indisunique, i.indnatts, i.indkey, i.indclass, i.indcollation, i.indoption,
          regexp_replace(i.indexprs::text, ':location -?\d+', '', 'g'),
          '/', regexp_replace(i.indpred::text, ':location -?\d+', '', 'g'))
"""
_INDEXES = """
SELECT n.nspname, c.relname, t.relname, c.relpages::bigint * {page}, pg_stat_get_numscans(c.oid),
       i.indisvalid AND i.indisready AND i.indislive, i.indisunique, i.indisexclusion,
       EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid), i.indisreplident, {definition},
       NOT (i.indisvalid AND i.indisready AND i.indislive) AND {busy}, {may}
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'i' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
   AND (n.nspname <> 'pg_toast' OR NOT i.indisvalid)
"""
# Rebuilding an index waits for every snapshot in its database that is older than the new index.
_OLDEST_SNAPSHOT = """
SELECT max(extract(epoch FROM now() - xact_start))::float8 FROM pg_stat_activity
 WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
"""
# Widths are known where every column has statistics; those of an expression stand under the index's own name. Of a view
# of catalogs the planner expects a handful of rows, and would go through all of them for each column: hence the
# materializing, after which it has to hash.
_WIDTHS = """
WITH relations AS MATERIALIZED (
  SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpages, c.reltuples, c.reloptions, i.indrelid, i.indkey
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
   WHERE c.relpersistence <> 't' AND c.relpages >= {least_pages}
     AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
     AND {named}
     AND (c.relkind IN ('r', 'm') OR (c.relkind = 'i' AND i.indisvalid
          AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'btree')))),
columns AS MATERIALIZED (
  SELECT r.oid, coalesce(t.relname, r.relname) AS table_name, coalesce(a.attname, own.attname) AS attname, r.nspname
    FROM relations r JOIN pg_attribute own ON own.attrelid = r.oid AND own.attnum > 0 AND NOT own.attisdropped
    LEFT JOIN pg_attribute a ON a.attrelid = r.indrelid AND a.attnum = r.indkey[own.attnum - 1] AND a.attnum > 0
    LEFT JOIN pg_class t ON t.oid = a.attrelid),
widths AS MATERIALIZED (
  SELECT schemaname, tablename, attname, null_frac, avg_width FROM pg_stats
   WHERE NOT inherited AND schemaname !~ '^pg_' AND schemaname <> 'information_schema'
     AND {table_named})
SELECT r.nspname, r.relname, r.relkind = 'i', r.relpages::bigint * {page}, r.reltuples::float8, w.row_bytes,
       coalesce((SELECT option_value::int FROM pg_options_to_table(r.reloptions) WHERE option_name = 'fillfactor'),
                CASE r.relkind WHEN 'i' THEN 90 ELSE 100 END)
  FROM relations r JOIN (
    SELECT c.oid, CASE WHEN count(*) = count(s.avg_width)
                       THEN sum((1 - s.null_frac) * s.avg_width)::float8 END AS row_bytes
      FROM columns c LEFT JOIN widths s
        ON s.schemaname = c.nspname AND s.tablename = c.table_name AND s.attname = c.attname
     GROUP BY c.oid) w ON w.oid = r.oid
"""


def read_tables(session: Session, names: Collection[str] | None = None) -> list[Table]:
    """Every table, materialized view and catalog of the database, or those of these names; raise QueryFailed."""
    # A table that was never analyzed has -1 rows, until version 13 it had 0.
    query = _TABLES.format(
        page=PAGE_BYTES, may=_may_vacuum(session), owns_database=_OWNS_DATABASE, named=_RELATION_NAMED
    )
    return [Table(*row) for row in session.query(query, _named(names), timeout_seconds=_READ_SECONDS)]


def read_indexes(session: Session) -> list[Index]:
    """Every index but those of catalogs; of TOAST tables the invalid ones. Raise QueryFailed."""
    query = _INDEXES.format(page=PAGE_BYTES, definition=_DEFINITION, busy=_BUSY, may=_OWNS.format(relation="t"))
    return [Index(*row) for row in session.query(query, timeout_seconds=_READ_SECONDS)]


def read_widths(session: Session, names: Collection[str] | None = None) -> list[Width]:
    """What the bloat of tables and B-trees of a megabyte or more is estimated from; raise QueryFailed.

    It is the slowest of these queries, and what is smaller wastes little. Of `names` both an index and its table are
    needed for what the index indexes.
    """
    least_pages, table_named = LEAST_BLOATED_BYTES // PAGE_BYTES, _NAMED.format(column="tablename")
    query = _WIDTHS.format(page=PAGE_BYTES, least_pages=least_pages, named=_RELATION_NAMED, table_named=table_named)
    return [Width(*row) for row in session.query(query, _named(names), timeout_seconds=_READ_SECONDS)]


def database_bytes(session: Session) -> int:
    """The size of the session's database."""
    [(size,)] = session.query("SELECT pg_database_size(current_database())", timeout_seconds=_READ_SECONDS)
    return int(size)


def await_counters(session: Session) -> None:
    """Let the server's counters catch up: until version 14 a process of their own collects them twice a second."""
    if session.server_version < 150000:
        session.query("SELECT pg_sleep(1.1)")


def oldest_snapshot_seconds(session: Session) -> float:
    """Age of the oldest transaction in the database that a rebuilding would wait for; of those that we may see."""
    [(seconds,)] = session.query(_OLDEST_SNAPSHOT)
    return float(seconds or 0)


def prepare(session: Session, lock_timeout_seconds: float) -> None:
    """Let no statement of the session wait longer than this for a lock."""
    session.query(f"SET lock_timeout = {lock_timeout_seconds * 1000:.0f}")


def try_lock(session: Session) -> bool:
    """Whether nobody else maintains the database for as long as the session lasts."""
    [(mine,)] = session.query("SELECT pg_try_advisory_lock(%s, %s)", _LOCK)
    return bool(mine)


def vacuum(session: Session, schema: str, name: str, *, analyze: bool, freeze: bool, timeout_seconds: float) -> None:
    """VACUUM a table beside all other work on it; raise QueryFailed. Never FULL."""
    # Helpers of a parallel vacuum would be more connections than are allowed.
    options = ["PARALLEL 0", *(["ANALYZE"] if analyze else []), *(["FREEZE"] if freeze else [])]
    session.query(f"VACUUM ({', '.join(options)}) {quoted(schema, name)}", timeout_seconds=timeout_seconds)


def analyze(session: Session, schema: str, name: str, *, timeout_seconds: float) -> None:
    """ANALYZE a table; raise QueryFailed."""
    session.query(f"ANALYZE {quoted(schema, name)}", timeout_seconds=timeout_seconds)


def reindex(session: Session, schema: str, name: str, *, timeout_seconds: float) -> None:
    """Rebuild an index beside all other work on its table; raise QueryFailed."""
    session.query(f"REINDEX INDEX CONCURRENTLY {quoted(schema, name)}", timeout_seconds=timeout_seconds)


def drop_index(session: Session, schema: str, name: str, *, timeout_seconds: float) -> None:
    """Drop an index beside all other work on its table; raise QueryFailed."""
    session.query(f"DROP INDEX CONCURRENTLY {quoted(schema, name)}", timeout_seconds=timeout_seconds)


def _named(names: Collection[str] | None) -> dict[str, list[str] | None]:
    return {"names": None if names is None else sorted(names)}


def _may_vacuum(session: Session) -> str:
    return (_MAINTAINS if session.server_version >= 170000 else _OWNS).format(relation="c")
