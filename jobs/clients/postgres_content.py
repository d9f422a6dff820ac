"""What a database holds, told so that a restored copy can be compared with its original: its schema and its rows."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jobs.clients.postgres_session import QueryFailed, Session, quoted

# Objects of extensions are left out: pg_dump writes CREATE EXTENSION, whose objects are those of the version installed.
_SCHEMA = """
WITH extensions AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
schemas AS (
  SELECT oid, nspname AS schema FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
relations AS (
  SELECT c.oid, s.schema, c.relname AS name, c.relkind AS kind, c.relpersistence AS persistence
    FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
     AND (c.tableoid, c.oid) NOT IN (SELECT classid, objid FROM extensions)),
types AS (
  SELECT t.*, s.schema FROM pg_type t JOIN schemas s ON s.oid = t.typnamespace
   WHERE (t.tableoid, t.oid) NOT IN (SELECT classid, objid FROM extensions))
SELECT 'extension', extname, '', '' FROM pg_extension
UNION ALL
SELECT 'schema', schema, '', '' FROM schemas
 WHERE ('pg_namespace'::regclass, oid) NOT IN (SELECT classid, objid FROM extensions)
UNION ALL
SELECT 'relation', schema, name, concat_ws(' ', kind, persistence) FROM relations
UNION ALL
SELECT 'column', schema, name,
       concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
                 a.attgenerated, pg_get_expr(e.adbin, e.adrelid))
  FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid
  LEFT JOIN pg_attrdef e ON e.adrelid = a.attrelid AND e.adnum = a.attnum
 WHERE a.attnum > 0 AND NOT a.attisdropped AND r.kind <> 'S'
UNION ALL
SELECT 'constraint', schema, name, k.conname || ' ' || pg_get_constraintdef(k.oid)
  FROM relations r JOIN pg_constraint k ON k.conrelid = r.oid WHERE k.contype <> 'n'
UNION ALL
SELECT 'index', schema, name, pg_get_indexdef(i.indexrelid)
  FROM relations r JOIN pg_index i ON i.indrelid = r.oid WHERE i.indisvalid
UNION ALL
SELECT 'view', schema, name, pg_get_viewdef(oid) FROM relations WHERE kind IN ('v', 'm')
UNION ALL
SELECT 'trigger', schema, name, pg_get_triggerdef(t.oid)
  FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'policy', schema, name,
       concat_ws(' ', p.polname, p.polcmd, pg_get_expr(p.polqual, r.oid), pg_get_expr(p.polwithcheck, r.oid))
  FROM relations r JOIN pg_policy p ON p.polrelid = r.oid
UNION ALL
SELECT 'function', s.schema, p.proname,
       concat_ws(' ', p.prokind, pg_get_function_identity_arguments(p.oid), format_type(p.prorettype, NULL),
                 md5(p.prosrc))
  FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace
 WHERE (p.tableoid, p.oid) NOT IN (SELECT classid, objid FROM extensions)
UNION ALL
SELECT 'enum', schema, typname, string_agg(v.enumlabel, ',' ORDER BY v.enumsortorder)
  FROM types t JOIN pg_enum v ON v.enumtypid = t.oid GROUP BY schema, typname
UNION ALL
SELECT 'domain', schema, typname, concat_ws(' ', format_type(typbasetype, typtypmod), typnotnull)
  FROM types WHERE typtype = 'd'
"""
_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND (c.tableoid, c.oid) NOT IN (SELECT classid, objid FROM pg_depend WHERE deptype = 'e')
 ORDER BY 1, 2
"""
# Restoring an expression moves its casts and brackets: ('a'::varchar)::text comes back as 'a'::text.
_CAST = re.compile(r"::\s*(?:\"[^\"]+\"|[a-z_][a-z0-9_ .]*)(?:\(\d+(?:,\s*\d+)?\))?(?:\[\])*")
_NOISE = re.compile(r"[\s()\[\]]|ARRAY")


@dataclass(frozen=True)
class Content:
    """A schema's fingerprint (sha256, hexadecimal) and the number of rows of each table (`"public"."order"`).

    The fingerprint is the same before a dump and after its restore, whoever owns what, on any server of one major
    version; across major versions it may differ, as the server's spelling of definitions does.
    """

    schema_fingerprint: str
    row_counts: Mapping[str, int]


def read_content(session: Session, *, timeout_seconds: float) -> Content:
    """What the database of `session` holds, in its transaction's snapshot if it is in one; raise QueryFailed.

    Every row is counted, as an estimate proves nothing: about a second for each gigabyte. `timeout_seconds` is for all
    of it.
    """
    deadline = time.monotonic() + timeout_seconds
    # As pg_dump does it: better refused than only those rows that a policy lets us see.
    session.query("SET row_security = off")
    session.query("SET search_path = ''")  # so that every name in a definition is written in full
    fingerprint = fingerprint_of(session.query(_SCHEMA, timeout_seconds=timeout_seconds))
    counts = {}
    for schema, table in session.query(_TABLES):
        left = deadline - time.monotonic()
        if left <= 0:
            message = f"PostgreSQL at {session.where}: the rows of {session.database!r} could not be counted"
            raise QueryFailed(f"{message} within {timeout_seconds:g} s")
        name = quoted(schema, table)
        [(counts[name],)] = session.query(f"SELECT count(*) FROM {name}", timeout_seconds=left)  # noqa: S608  # quoted
    return Content(fingerprint, counts)


def fingerprint_of(rows: Iterable[tuple[str, ...]]) -> str:
    """Given (kind, schema, name, definition) of every object, return their sha256 in no particular order."""
    lines = sorted("\0".join((*row[:3], _NOISE.sub("", _CAST.sub("", row[3] or "")))).encode() for row in rows)
    return hashlib.sha256(b"\n".join(lines)).hexdigest()
