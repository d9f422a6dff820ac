"""The store's SQLite file: its tables, and how it is opened by those who write and those who only read."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

BUSY_SECONDS = 10
_CACHE_KIB = 256
"""SQLite would keep 2 MB of pages, most of them of runs that nobody asks for again."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY, task TEXT NOT NULL, mode TEXT NOT NULL, target TEXT NOT NULL,
  requested TEXT NOT NULL, pid INTEGER NOT NULL, started REAL NOT NULL,
  finish_order INTEGER UNIQUE, outcome TEXT, record TEXT, whole INTEGER NOT NULL DEFAULT 1);
CREATE INDEX IF NOT EXISTS runs_by_task ON runs (task, id);
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
CREATE TABLE IF NOT EXISTS observations (
  series TEXT NOT NULL, at REAL NOT NULL, value REAL NOT NULL, PRIMARY KEY (series, at)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hours (
  series TEXT NOT NULL, hour INTEGER NOT NULL, seconds REAL NOT NULL, weighted REAL NOT NULL,
  PRIMARY KEY (series, hour)) WITHOUT ROWID;
"""
_VERSION = 1


def open_to_write(file: Path) -> sqlite3.Connection:
    """A connection that other threads may use; the file is made where there is none. Raise sqlite3.Error, OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(file, check_same_thread=False, timeout=BUSY_SECONDS, isolation_level=None)
    file.chmod(0o600)
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    if _format(connection) < _VERSION:
        connection.executescript(_SCHEMA)
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    return connection


def open_to_read(file: Path) -> sqlite3.Connection:
    """A connection that leaves nothing behind: where nobody has the file open, SQLite may not make its own."""
    if file.exists():
        alone = not file.with_name(f"{file.name}-wal").exists()
        uri = f"{file.absolute().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=BUSY_SECONDS)
        if _format(connection):
            return connection
        connection.close()  # somebody is just making it
    connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    connection.executescript(_SCHEMA)
    return connection


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
