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
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exporter import observations
from exporter.database import open_to_read, open_to_write
from exporter.record import Record
from jobs.core.model import Outcome, Request
from jobs.core.ports import Holdings, Summary

WHOLE_RECORDS = 50
"""So many of a task's newest records are kept with all that they hold."""

CounterKey = tuple[str, tuple[tuple[str, str], ...]]
"""A counter's family and its sorted labels."""


class StoreError(Exception):
    """The store cannot be read or written; the message names the file, the reason and the remedy."""


class Store:
    """The store in `file`; with `read_only` nothing is written, and a file that is not there reads as empty.

    It remembers the observations of `max_series` series.
    """

    def __init__(self, file: Path, *, read_only: bool = False, max_series: int = observations.MAX_SERIES) -> None:
        self.file = file
        self._max_series = max_series
        self._lock = threading.RLock()
        self._began: float | None = None
        self._open = open_to_read if read_only else open_to_write
        with self._errors():
            self._connection: sqlite3.Connection | None = self._open(file)

    def close(self) -> None:
        """Close the file, until it is used again: a connection must not be there when the process is copied."""
        with self._lock:
            if self._connection:
                self._connection.close()
            self._connection = None

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._open(self.file)
        return self._connection

    def stalled_seconds(self) -> float:
        """For how long the access that is under way has lasted; 0 if none is. (A frozen disk answers nothing.)"""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    # Runs

    def begin_run(self, request: Request, started: datetime, pid: int) -> int:
        """Enter a run that is starting and return its number."""
        with self.transaction() as db:
            cursor = db.execute(
                "INSERT INTO runs (task, mode, target, requested, pid, started) VALUES (?, ?, ?, ?, ?, ?)",
                (request.task, request.mode, request.target, request.model_dump_json(), pid, started.timestamp()),
            )
            return int(cursor.lastrowid or 0)

    def finish_run(
        self,
        record: Record,
        counters: Mapping[CounterKey, float],
        at: datetime,
        also: Callable[[sqlite3.Connection], None] = lambda db: None,
    ) -> None:
        """Complete a run: its record, what it adds to the counters, what it observed at `at`, and what `also` writes.

        A run that is complete already stays as it is.
        """
        with self.transaction() as db:
            cursor = db.execute(
                "UPDATE runs SET outcome = ?, record = ?, seconds = ?,"
                " finish_order = (SELECT coalesce(max(finish_order), 0) + 1 FROM runs)"
                " WHERE id = ? AND finish_order IS NULL",
                (record.outcome, record.model_dump_json(), record.duration_seconds, record.run_id),
            )
            if cursor.rowcount == 0:
                return
            add_counters(db, counters)
            if record.result:
                observations.observe(db, record.result.observations, at.timestamp(), self._max_series)
            also(db)

    def unfinished_runs(self) -> list[tuple[int, Request, int, datetime]]:
        """Runs that were entered and never completed, as (number, request, pid, start)."""
        rows = self.rows("SELECT id, requested, pid, started FROM runs WHERE finish_order IS NULL ORDER BY id")
        return [
            (run_id, Request.model_validate_json(requested), pid, datetime.fromtimestamp(started).astimezone())
            for run_id, requested, pid, started in rows
        ]

    def finished_after(self, order: int) -> list[tuple[int, Record]]:
        """Records completed after the given finish order (0: all), oldest first, with theirs."""
        return self._records("SELECT finish_order, record FROM runs WHERE finish_order > ? ORDER BY 1", order)

    def record(self, run_id: int) -> Record | None:
        """The record of one run; None where there is none that is complete."""
        sql = "SELECT finish_order, record FROM runs WHERE id = ? AND finish_order IS NOT NULL"
        return next((record for _, record in self._records(sql, run_id)), None)

    def last_finish_order(self) -> int:
        """The finish order of the newest complete run; 0 before the first."""
        return int(self.rows("SELECT coalesce(max(finish_order), 0) FROM runs")[0][0])

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
        """Claim a slot; exactly one caller ever gets True. Within a transaction it is claimed with that."""
        with self.transaction() as db:
            cursor = db.execute(
                "INSERT OR IGNORE INTO slots VALUES (?, ?, ?, ?)", (task, cadence, slot, now.timestamp())
            )
            return cursor.rowcount == 1

    def is_claimed(self, task: str, cadence: str, slot: str) -> bool:
        """Whether a slot was claimed."""
        sql = "SELECT 1 FROM slots WHERE task = ? AND cadence = ? AND slot = ?"
        return bool(self.rows(sql, task, cadence, slot))

    def slot_before(self, task: str, cadence: str, slot: str) -> str | None:
        """The newest claimed slot that is older than `slot`."""
        rows = self.rows("SELECT max(slot) FROM slots WHERE task = ? AND cadence = ? AND slot < ?", task, cadence, slot)
        return str(rows[0][0]) if rows[0][0] is not None else None

    def newest_slot(self, task: str, cadence: str) -> str | None:
        """The newest slot of this cadence that was ever claimed."""
        rows = self.rows("SELECT max(slot) FROM slots WHERE task = ? AND cadence = ?", task, cadence)
        return str(rows[0][0]) if rows[0][0] is not None else None

    def release_slots_after(self, task: str, cadence: str, slot: str) -> int:
        """Forget claims on slots newer than `slot`; return how many there were."""
        with self.transaction() as db:
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
        with self.transaction() as db:
            db.execute(
                "INSERT INTO missed (task, cadence, after_slot, before_slot, count, noticed) VALUES (?, ?, ?, ?, ?, ?)",
                (task, cadence, *between, count, now.timestamp()),
            )
            add_counters(db, counters)

    def missed(self, task: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """What was missed, newest first: task, cadence, after_slot, before_slot, count, noticed (Unix time)."""
        rows = self.rows(
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
        rows = self.rows("SELECT family, labels, value FROM counters")
        return {(family, tuple(sorted(json.loads(labels).items()))): value for family, labels, value in rows}

    # Budgets (jobs.core.ports.Budgets)

    def spent(self, key: str, since: datetime) -> Sequence[datetime]:
        """When the allowance was spent since then, oldest first."""
        rows = self.rows("SELECT spent FROM budgets WHERE key = ? AND spent >= ? ORDER BY 1", key, since.timestamp())
        return [datetime.fromtimestamp(row[0], since.tzinfo) for row in rows]

    def spend(self, key: str, now: datetime, *, limit: int, window_seconds: float) -> bool:
        """Spend once if fewer than `limit` were spent in the window; the check and the entry are one statement.

        An entry from the future (the clock was set back) counts as well: an allowance is never widened by a clock.
        """
        with self.transaction() as db:
            cursor = db.execute(
                "INSERT INTO budgets SELECT ?, ? WHERE (SELECT count(*) FROM budgets WHERE key = ? AND spent > ?) < ?",
                (key, now.timestamp(), key, now.timestamp() - window_seconds, limit),
            )
            return cursor.rowcount == 1

    def reset(self, key: str) -> None:
        """Give the whole allowance back."""
        with self.transaction() as db:
            db.execute("DELETE FROM budgets WHERE key = ?", (key,))

    # Observations (jobs.core.ports.History)

    def points(self, series: str, since: datetime) -> Sequence[tuple[float, float]]:
        """The raw observations of one series as (Unix time, value), oldest first."""
        with self._lock, self._errors():
            return observations.points(self._connected(), series, since.timestamp())

    def means(self, prefix: str, since: datetime) -> Mapping[str, float]:
        """Time-weighted means by whole hours of every series that starts with `prefix`."""
        with self._lock, self._errors():
            return observations.means(self._connected(), prefix, since.timestamp())

    def summaries(self, prefix: str, since: datetime, until: datetime) -> Mapping[str, Summary]:
        """What every series whose name starts with `prefix` was between two times, by whole hours."""
        with self._lock, self._errors():
            return observations.summaries(self._connected(), prefix, since.timestamp(), until.timestamp())

    def trend(self, series: str, since: datetime, until: datetime, seconds: float) -> Sequence[tuple[float, float]]:
        """The means of one series over steps of `seconds` as (Unix time of the step, mean), oldest first."""
        with self._lock, self._errors():
            return observations.trend(self._connected(), series, since.timestamp(), until.timestamp(), seconds)

    def holdings(self, prefix: str) -> Holdings:
        """How much is remembered of the series whose name starts with `prefix`."""
        with self._lock, self._errors():
            return observations.holdings(self._connected(), prefix)

    # Upkeep

    def prune(self, now: datetime, ledger_retention: timedelta) -> None:
        """Drop what is past its time; the newest run of each task and the newest slot of each cadence stay.

        Of older runs the samples, observations and report go first: they make a record long, and nobody asks
        for them but whoever tells the newest again.
        """
        stamp, oldest = now.timestamp(), (now - ledger_retention).timestamp()
        with self.transaction() as db:
            observations.prune(db, stamp, oldest)
            db.execute("DELETE FROM budgets WHERE spent < ?", (stamp - 7 * 86400,))
            db.execute("DELETE FROM missed WHERE noticed < ?", (oldest,))
            db.execute(
                "UPDATE runs SET whole = 0, record = json_remove("
                "record, '$.result.samples', '$.result.observations', '$.result.report')"
                " WHERE whole = 1 AND finish_order IS NOT NULL AND id IN (SELECT id FROM"
                " (SELECT id, row_number() OVER (PARTITION BY task ORDER BY id DESC) AS place FROM runs)"
                " WHERE place > ?)",
                (WHOLE_RECORDS,),
            )
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
        before, self._began = self._began, time.monotonic()
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            message = f"{self.file}: the store cannot be used: {reason}; check its disk and its owner"
            raise StoreError(message) from error
        finally:
            self._began = before

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction, for the tables that other modules keep in this file; raise StoreError.

        It is committed, durably, when the block ends, and leaves nothing behind when the block raises. Within another
        one it is a part of that.
        """
        with self._lock, self._errors():
            connection = self._connected()
            if connection.in_transaction:  # ours: the lock is
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def change_mark(self) -> tuple[int, int]:
        """Something that is different after every change, by this process or another one; raise StoreError."""
        with self._lock, self._errors():
            connection = self._connected()
            # https://www.sqlite.org/pragma.html#pragma_data_version: of others; of our own there is a count.
            return int(connection.execute("PRAGMA data_version").fetchone()[0]), connection.total_changes

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """What a query finds, for the tables that other modules keep in this file; raise StoreError."""
        with self._lock, self._errors():
            return self._connected().execute(sql, values).fetchall()

    def _records(self, sql: str, *values: Any) -> list[tuple[int, Record]]:
        records = []
        for order, text in self.rows(sql, *values):
            # A record of an older version that no longer fits is history that cannot be told, not a reason to fail.
            with contextlib.suppress(ValidationError):
                records.append((int(order), Record.model_validate_json(text)))
        return records


def add_counters(db: sqlite3.Connection, counters: Mapping[CounterKey, float]) -> None:
    """Add to counters, within a transaction."""
    db.executemany(
        "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
        [(family, json.dumps(dict(labels), sort_keys=True), value) for (family, labels), value in counters.items()],
    )
