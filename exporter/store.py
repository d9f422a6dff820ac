"""The ledger: runs, claimed slots, counters, budgets and observations, in one SQLite file.

Callers see Python values and never SQL or SQLite; every write is one transaction. Several processes share
the file (a daemon, one-shot runs, the runs themselves), so whatever must happen once is decided by one
statement that the database serialises.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exporter.record import Record
from jobs.core.model import Observation, Outcome, Request

BUSY_SECONDS = 10
RAW_SECONDS = 2 * 86400
"""How long an observation is kept as it was made; after that only its hour's mean is known."""
LONGEST_GAP_SECONDS = 900
"""An observation speaks for the time until the next one, but for no longer than this."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY, task TEXT NOT NULL, mode TEXT NOT NULL, target TEXT NOT NULL,
  requested TEXT NOT NULL, pid INTEGER NOT NULL, started REAL NOT NULL,
  finish_order INTEGER UNIQUE, outcome TEXT, record TEXT);
CREATE INDEX IF NOT EXISTS runs_by_task ON runs (task, id);
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

CounterKey = tuple[str, tuple[tuple[str, str], ...]]
"""A counter's family and its sorted labels."""


class StoreError(Exception):
    """The store cannot be read or written; the message names the file, the reason and the remedy."""


class Store:
    """The store in `file`; with `read_only` nothing is written, and a file that is not there reads as empty."""

    def __init__(self, file: Path, *, read_only: bool = False) -> None:
        self.file = file
        self._lock = threading.RLock()
        self._read_only = read_only
        self._began: float | None = None
        with self._errors():
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        if self._read_only:
            return self._open_to_read()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.file, check_same_thread=False, timeout=BUSY_SECONDS, isolation_level=None)
        self.file.chmod(0o600)
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = FULL")
        if _format(connection) < _VERSION:
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        return connection

    def _open_to_read(self) -> sqlite3.Connection:
        """A connection that leaves nothing behind: where nobody has the file open, SQLite may not make its own."""
        if self.file.exists():
            alone = not self.file.with_name(f"{self.file.name}-wal").exists()
            uri = f"{self.file.absolute().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
            connection = sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=BUSY_SECONDS)
            if _format(connection):
                return connection
            connection.close()  # somebody is just making it
        connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        connection.executescript(_SCHEMA)
        return connection

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def stalled_seconds(self) -> float:
        """For how long the access that is under way has lasted; 0 if none is. (A frozen disk answers nothing.)"""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    # Runs

    def begin_run(self, request: Request, started: datetime, pid: int) -> int:
        """Enter a run that is starting and return its number."""
        with self._write() as db:
            cursor = db.execute(
                "INSERT INTO runs (task, mode, target, requested, pid, started) VALUES (?, ?, ?, ?, ?, ?)",
                (request.task, request.mode, request.target, request.model_dump_json(), pid, started.timestamp()),
            )
            return int(cursor.lastrowid or 0)

    def finish_run(self, record: Record, counters: Mapping[CounterKey, float], at: datetime) -> None:
        """Complete a run: its record, what it adds to the counters, and what it observed at `at`.

        A run that is complete already stays as it is.
        """
        with self._write() as db:
            cursor = db.execute(
                "UPDATE runs SET outcome = ?, record = ?,"
                " finish_order = (SELECT coalesce(max(finish_order), 0) + 1 FROM runs)"
                " WHERE id = ? AND finish_order IS NULL",
                (record.outcome, record.model_dump_json(), record.run_id),
            )
            if cursor.rowcount == 0:
                return
            _add_counters(db, counters)
            if record.result:
                _observe(db, record.result.observations, at.timestamp())

    def unfinished_runs(self) -> list[tuple[int, Request, int, datetime]]:
        """Runs that were entered and never completed, as (number, request, pid, start)."""
        rows = self._read("SELECT id, requested, pid, started FROM runs WHERE finish_order IS NULL ORDER BY id")
        return [
            (run_id, Request.model_validate_json(requested), pid, datetime.fromtimestamp(started).astimezone())
            for run_id, requested, pid, started in rows
        ]

    def finished_after(self, order: int) -> list[tuple[int, Record]]:
        """Records completed after the given finish order (0: all), oldest first, with theirs."""
        return self._records("SELECT finish_order, record FROM runs WHERE finish_order > ? ORDER BY 1", order)

    def last_finish_order(self) -> int:
        """The finish order of the newest complete run; 0 before the first."""
        return int(self._read("SELECT coalesce(max(finish_order), 0) FROM runs")[0][0])

    def last_record(self, task: str, outcome: Outcome | None = None) -> Record | None:
        """The newest complete run of a task that was not skipped (with that outcome, if one is given)."""
        records = self._records(
            "SELECT finish_order, record FROM runs WHERE task = ? AND finish_order IS NOT NULL"
            " AND outcome = coalesce(?, outcome) AND outcome != 'skipped' ORDER BY finish_order DESC LIMIT 1",
            task,
            outcome,
        )
        return records[0][1] if records else None

    def ledger(self, task: str | None = None, limit: int = 50) -> list[Record]:
        """The newest complete runs, newest first."""
        return [
            record
            for _, record in self._records(
                "SELECT finish_order, record FROM runs WHERE finish_order IS NOT NULL AND task = coalesce(?, task)"
                " ORDER BY finish_order DESC LIMIT ?",
                task,
                limit,
            )
        ]

    # Slots

    def claim_slot(self, task: str, cadence: str, slot: str, now: datetime) -> bool:
        """Claim a slot; exactly one caller ever gets True."""
        with self._write() as db:
            cursor = db.execute(
                "INSERT OR IGNORE INTO slots VALUES (?, ?, ?, ?)", (task, cadence, slot, now.timestamp())
            )
            return cursor.rowcount == 1

    def slot_before(self, task: str, cadence: str, slot: str) -> str | None:
        """The newest claimed slot that is older than `slot`."""
        rows = self._read(
            "SELECT max(slot) FROM slots WHERE task = ? AND cadence = ? AND slot < ?", task, cadence, slot
        )
        return str(rows[0][0]) if rows[0][0] is not None else None

    def newest_slot(self, task: str, cadence: str) -> str | None:
        """The newest slot of this cadence that was ever claimed."""
        rows = self._read("SELECT max(slot) FROM slots WHERE task = ? AND cadence = ?", task, cadence)
        return str(rows[0][0]) if rows[0][0] is not None else None

    def release_slots_after(self, task: str, cadence: str, slot: str) -> int:
        """Forget claims on slots newer than `slot`; return how many there were."""
        with self._write() as db:
            cursor = db.execute("DELETE FROM slots WHERE task = ? AND cadence = ? AND slot > ?", (task, cadence, slot))
            return cursor.rowcount

    def note_missed(
        self,
        task: str,
        cadence: str,
        between: tuple[str, str],
        count: int,
        now: datetime,
        counters: Mapping[CounterKey, float],
    ) -> None:
        """Enter slots that passed unclaimed, and count them."""
        with self._write() as db:
            db.execute(
                "INSERT INTO missed (task, cadence, after_slot, before_slot, count, noticed) VALUES (?, ?, ?, ?, ?, ?)",
                (task, cadence, *between, count, now.timestamp()),
            )
            _add_counters(db, counters)

    def missed(self, task: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """What was missed, newest first: task, cadence, after_slot, before_slot, count, noticed (Unix time)."""
        rows = self._read(
            "SELECT task, cadence, after_slot, before_slot, count, noticed FROM missed"
            " WHERE task = coalesce(?, task) ORDER BY id DESC LIMIT ?",
            task,
            limit,
        )
        names = ("task", "cadence", "after_slot", "before_slot", "count", "noticed")
        return [dict(zip(names, row, strict=True)) for row in rows]

    # Counters

    def counters(self) -> dict[CounterKey, float]:
        """Every counter's value."""
        rows = self._read("SELECT family, labels, value FROM counters")
        return {(family, tuple(sorted(json.loads(labels).items()))): value for family, labels, value in rows}

    # Budgets (jobs.core.ports.Budgets)

    def spent(self, key: str, since: datetime) -> Sequence[datetime]:
        """When the allowance was spent since then, oldest first."""
        rows = self._read("SELECT spent FROM budgets WHERE key = ? AND spent >= ? ORDER BY 1", key, since.timestamp())
        return [datetime.fromtimestamp(row[0], since.tzinfo) for row in rows]

    def spend(self, key: str, now: datetime, *, limit: int, window_seconds: float) -> bool:
        """Spend once if fewer than `limit` were spent in the window; the check and the entry are one statement.

        An entry from the future (the clock was set back) counts as well: an allowance is never widened by a clock.
        """
        with self._write() as db:
            cursor = db.execute(
                "INSERT INTO budgets SELECT ?, ? WHERE (SELECT count(*) FROM budgets WHERE key = ? AND spent > ?) < ?",
                (key, now.timestamp(), key, now.timestamp() - window_seconds, limit),
            )
            return cursor.rowcount == 1

    def reset(self, key: str) -> None:
        """Give the whole allowance back."""
        with self._write() as db:
            db.execute("DELETE FROM budgets WHERE key = ?", (key,))

    # Observations (jobs.core.ports.History)

    def points(self, series: str, since: datetime) -> Sequence[tuple[float, float]]:
        """The raw observations of one series as (Unix time, value), oldest first."""
        rows = self._read(
            "SELECT at, value FROM observations WHERE series = ? AND at >= ? ORDER BY at", series, since.timestamp()
        )
        return [(float(at), float(value)) for at, value in rows]

    def means(self, prefix: str, since: datetime) -> Mapping[str, float]:
        """Time-weighted means by whole hours of every series that starts with `prefix`."""
        rows = self._read(
            "SELECT series, sum(weighted) / sum(seconds) FROM hours WHERE series >= ? AND series < ? AND hour >= ?"
            " GROUP BY series HAVING sum(seconds) > 0",
            prefix,
            prefix + "\U0010ffff",
            since.timestamp() // 3600,
        )
        return {str(series): float(mean) for series, mean in rows}

    # Upkeep

    def prune(self, now: datetime, ledger_retention: timedelta) -> None:
        """Drop what is past its time; the newest run of each task and the newest slot of each cadence stay."""
        stamp, oldest = now.timestamp(), (now - ledger_retention).timestamp()
        with self._write() as db:
            db.execute("DELETE FROM observations WHERE at < ?", (stamp - RAW_SECONDS,))
            db.execute("DELETE FROM hours WHERE hour < ?", (oldest // 3600,))
            db.execute("DELETE FROM budgets WHERE spent < ?", (stamp - 7 * 86400,))
            db.execute("DELETE FROM missed WHERE noticed < ?", (oldest,))
            db.execute(
                "DELETE FROM runs WHERE started < ? AND finish_order IS NOT NULL"
                " AND id NOT IN (SELECT max(id) FROM runs WHERE finish_order IS NOT NULL GROUP BY task)",
                (oldest,),
            )
            db.execute(
                "DELETE FROM slots WHERE claimed < ? AND (task, cadence, slot) NOT IN"
                " (SELECT task, cadence, max(slot) FROM slots GROUP BY task, cadence)",
                (stamp - 30 * 86400,),
            )

    # Plumbing

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        self._began = time.monotonic()
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            message = f"{self.file}: the store cannot be used: {reason}; check its disk and its owner"
            raise StoreError(message) from error
        finally:
            self._began = None

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _read(self, sql: str, *values: Any) -> list[Any]:
        with self._lock, self._errors():
            return self._connection.execute(sql, values).fetchall()

    def _records(self, sql: str, *values: Any) -> list[tuple[int, Record]]:
        records = []
        for order, text in self._read(sql, *values):
            # A record of an older version that no longer fits is history that cannot be told, not a reason to fail.
            with contextlib.suppress(ValidationError):
                records.append((int(order), Record.model_validate_json(text)))
        return records


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


def _add_counters(db: sqlite3.Connection, counters: Mapping[CounterKey, float]) -> None:
    db.executemany(
        "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
        [(family, json.dumps(dict(labels), sort_keys=True), value) for (family, labels), value in counters.items()],
    )


def _observe(db: sqlite3.Connection, observations: Iterable[Observation], at: float) -> None:
    """Enter observations; the time since the one before is credited, with that one's value, to its hours."""
    for observation in observations:
        before = db.execute(
            "SELECT at, value FROM observations WHERE series = ? AND at < ? ORDER BY at DESC LIMIT 1",
            (observation.series, at),
        ).fetchone()
        if before:
            _credit(db, observation.series, before[0], min(at, before[0] + LONGEST_GAP_SECONDS), before[1])
        db.execute("INSERT OR REPLACE INTO observations VALUES (?, ?, ?)", (observation.series, at, observation.value))


def _credit(db: sqlite3.Connection, series: str, start: float, end: float, value: float) -> None:
    while start < end:
        hour = int(start // 3600)
        until = min(end, (hour + 1) * 3600.0)
        db.execute(
            "INSERT INTO hours VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " seconds = seconds + excluded.seconds, weighted = weighted + excluded.weighted",
            (series, hour, until - start, value * (until - start)),
        )
        start = until
