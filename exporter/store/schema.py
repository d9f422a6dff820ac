"""The store's SQLite file: its tables, and how it is opened by those who write and those who only read."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

BUSY_SECONDS = 10
_CACHE_KIB = 256
"""SQLite would keep 2 MB of pages, most of them of runs that nobody asks for again."""

BRIEF = "json_remove(record, '$.result.samples', '$.result.observations', '$.result.report')"
"""Of a row of `runs` the record without what makes it long."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY, task TEXT NOT NULL, mode TEXT NOT NULL, target TEXT NOT NULL,
  requested TEXT NOT NULL, pid INTEGER NOT NULL, started REAL NOT NULL,
  finish_order INTEGER UNIQUE, outcome TEXT, record TEXT, whole INTEGER NOT NULL DEFAULT 1, seconds REAL);
CREATE INDEX IF NOT EXISTS runs_by_task ON runs (task, id);
CREATE INDEX IF NOT EXISTS runs_by_end ON runs (task, finish_order, outcome, mode, target, started, seconds);
CREATE INDEX IF NOT EXISTS whole_runs ON runs (id) WHERE whole = 1;
CREATE TABLE IF NOT EXISTS slots (
  task TEXT NOT NULL, cadence TEXT NOT NULL, slot TEXT NOT NULL, claimed REAL NOT NULL,
  PRIMARY KEY (task, cadence, slot)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS missed (
  id INTEGER PRIMARY KEY, task TEXT NOT NULL, cadence TEXT NOT NULL, after_slot TEXT NOT NULL,
  before_slot TEXT NOT NULL, count INTEGER NOT NULL, noticed REAL NOT NULL);
CREATE TABLE IF NOT EXISTS counters (
  family TEXT NOT NULL, labels TEXT NOT NULL, value REAL NOT NULL, PRIMARY KEY (family, labels)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS budgets (key TEXT NOT NULL, spent REAL NOT NULL);
CREATE INDEX IF NOT EXISTS budgets_by_key ON budgets (key, spent);
CREATE TABLE IF NOT EXISTS idempotency_keys (
  who TEXT NOT NULL, key TEXT NOT NULL, request TEXT NOT NULL, answer TEXT NOT NULL, life TEXT NOT NULL,
  begun INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL, PRIMARY KEY (who, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idempotency_keys_by_age ON idempotency_keys (created);
"""
_BRIDGE = """
CREATE TABLE IF NOT EXISTS problems (
  id INTEGER PRIMARY KEY, task TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, mode TEXT NOT NULL,
  severity TEXT NOT NULL, problem TEXT NOT NULL, opened REAL NOT NULL, told REAL NOT NULL,
  thread TEXT NOT NULL, cleared REAL);
CREATE UNIQUE INDEX IF NOT EXISTS open_problems ON problems (task, kind, subject) WHERE cleared IS NULL;
CREATE TABLE IF NOT EXISTS outbox (
  id INTEGER PRIMARY KEY, message_id TEXT NOT NULL, channel TEXT NOT NULL, message TEXT NOT NULL,
  thread TEXT NOT NULL, created REAL NOT NULL, due REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL DEFAULT 'pending', finished REAL, error TEXT NOT NULL DEFAULT '',
  UNIQUE (message_id, channel));
CREATE INDEX IF NOT EXISTS pending_messages ON outbox (channel, id) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS pending_threads ON outbox (channel, thread, id) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS told (
  problem INTEGER NOT NULL REFERENCES problems, entry INTEGER NOT NULL REFERENCES outbox, news TEXT NOT NULL,
  severity TEXT NOT NULL, PRIMARY KEY (problem, entry)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS told_by_entry ON told (entry);
CREATE TABLE IF NOT EXISTS channels (
  name TEXT PRIMARY KEY, failures INTEGER NOT NULL DEFAULT 0, closed_until REAL NOT NULL DEFAULT 0,
  last_attempt REAL, last_success REAL, error TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alerts (
  id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, starts_at REAL NOT NULL, status TEXT NOT NULL,
  alert TEXT NOT NULL, received REAL NOT NULL, ended REAL, handled REAL, UNIQUE (fingerprint, starts_at, status));
CREATE INDEX IF NOT EXISTS firing_alerts ON alerts (fingerprint) WHERE status = 'firing' AND ended IS NULL;
CREATE INDEX IF NOT EXISTS alert_ends ON alerts (fingerprint, ended) WHERE status = 'resolved';
CREATE INDEX IF NOT EXISTS unhandled_alerts ON alerts (id) WHERE handled IS NULL;
CREATE TABLE IF NOT EXISTS remediations (
  id INTEGER PRIMARY KEY, alert INTEGER NOT NULL REFERENCES alerts, rule TEXT NOT NULL, task TEXT NOT NULL,
  target TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due REAL, created REAL NOT NULL,
  changed REAL NOT NULL, who TEXT NOT NULL DEFAULT '', detail TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS open_remediations ON remediations (task, target)
  WHERE state IN ('waiting', 'due', 'running', 'verifying');
CREATE TABLE IF NOT EXISTS audit (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, entry TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL);
"""
_HISTORY = """
CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE observations (
  series INTEGER NOT NULL, at REAL NOT NULL, value REAL NOT NULL, PRIMARY KEY (series, at)) WITHOUT ROWID;
CREATE TABLE spans (
  series INTEGER NOT NULL, start INTEGER NOT NULL, hours INTEGER NOT NULL DEFAULT 1,
  seconds REAL NOT NULL DEFAULT 0, weighted REAL NOT NULL DEFAULT 0, count INTEGER NOT NULL DEFAULT 0,
  minimum REAL, maximum REAL, sketch BLOB NOT NULL DEFAULT x'', PRIMARY KEY (series, start)) WITHOUT ROWID;
CREATE TABLE refused (name TEXT NOT NULL PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
"""
_FROM_FORMAT_1 = """
INSERT INTO series (name) SELECT series FROM old_observations UNION SELECT series FROM hours ORDER BY 1;
INSERT INTO observations SELECT id, at, value FROM old_observations JOIN series ON name = series;
INSERT INTO spans (series, start, seconds, weighted) SELECT id, hour, seconds, weighted
  FROM hours JOIN series ON name = series;
DROP TABLE old_observations;
DROP TABLE hours;
"""
_BEFORE_FORMAT_4 = """
ALTER TABLE runs ADD COLUMN seconds REAL;
UPDATE runs SET seconds = json_extract(record, '$.duration_seconds') WHERE json_valid(record);
"""
"""What a run took stands in a column, so that nobody reads whole records for it."""
_VERSION = 4


def open_to_write(file: Path) -> sqlite3.Connection:
    """A connection that other threads may use; the file is made where there is none. Raise sqlite3.Error, OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(file, check_same_thread=False, timeout=BUSY_SECONDS, isolation_level=None)
    file.chmod(0o600)
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    if _format(connection) < _VERSION:
        _bring_up_to_date(connection)
    return connection


def open_to_read(file: Path) -> sqlite3.Connection:
    """A connection that leaves nothing behind: where nobody has the file open, SQLite may not make its own."""
    if file.exists():
        alone = not file.with_name(f"{file.name}-wal").exists()
        uri = f"{file.absolute().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=BUSY_SECONDS)
        if _format(connection) == _VERSION:
            return connection
        with contextlib.closing(connection):  # somebody is just making it, or an older version made it
            return _in_memory(connection)
    return _in_memory(None)


def open_to_examine(file: Path) -> sqlite3.Connection:
    """A connection that touches no file at all, not even the index of a log that a killed daemon has left behind.

    Raise sqlite3.Error where the file is not ours, is of a newer format, or cannot be read without changing something.
    """
    alone = not file.with_name(f"{file.name}-wal").exists()
    uri = f"{file.absolute().as_uri()}?mode=ro&{'immutable' if alone else 'readonly_shm'}=1"
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=BUSY_SECONDS)
    try:
        _format(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _in_memory(original: sqlite3.Connection | None) -> sqlite3.Connection:
    """A copy that may be changed, up to date."""
    connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    if original:
        original.backup(connection)
    _bring_up_to_date(connection)
    return connection


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Make what is not there, and change what is of an older format, in one transaction: others may be at it too."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _format(connection)
        steps = (_BEFORE_FORMAT_4 if 0 < found < 4 else "") + _SCHEMA + _BRIDGE
        if found == 1:
            steps += f"ALTER TABLE observations RENAME TO old_observations;{_HISTORY}{_FROM_FORMAT_1}"
        elif found == 0:
            steps += _HISTORY
        for statement in steps.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Use a write-ahead log. Several processes may be making the file: for this step SQLite itself does not wait."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)


def _format(connection: sqlite3.Connection) -> int:
    """The format of the file, 0 if it is empty; raise if we do not know it."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > _VERSION:
        raise sqlite3.DatabaseError(f"written by a newer version (format {version}); upgrade the exporter")
    return version
