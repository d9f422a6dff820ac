"""The store: runs, claimed slots, counters, budgets and observations, as values and never as SQL.

Every write is one transaction. Several processes share the file (a daemon, one-shot runs, the runs themselves), so
whatever must happen once is decided by one statement that the database serialises.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from exporter.record import Record
from exporter.store import observations, pruning
from exporter.store.file import StoreFile
from jobs.core.model import Outcome, Request
from jobs.core.ports import Holdings, Summary

CounterKey = tuple[str, tuple[tuple[str, str], ...]]
"""A counter's family and its sorted labels."""


class Store(StoreFile):
    """The store in `file`; with `read_only` nothing is written, and a file that is not there reads as empty.

    It remembers the observations of `max_series` series.
    """

    def __init__(self, file: Path, *, read_only: bool = False, max_series: int = observations.MAX_SERIES) -> None:
        super().__init__(file, read_only=read_only)
        self._max_series = max_series

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
        return self.records("SELECT finish_order, record FROM runs WHERE finish_order > ? ORDER BY 1", order)

    def record(self, run_id: int) -> Record | None:
        """The record of one run; None where there is none that is complete."""
        sql = "SELECT finish_order, record FROM runs WHERE id = ? AND finish_order IS NOT NULL"
        return next((record for _, record in self.records(sql, run_id)), None)

    def last_finish_order(self) -> int:
        """The finish order of the newest complete run; 0 before the first."""
        return int(self.rows("SELECT coalesce(max(finish_order), 0) FROM runs")[0][0])

    def last_record(self, task: str, outcome: Outcome | None = None) -> Record | None:
        """The newest complete run of a task that was not skipped (with that outcome, if one is given)."""
        records = self.records(
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
            for _, record in self.records(
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
        with self.reading() as db:
            return observations.points(db, series, since.timestamp())

    def means(self, prefix: str, since: datetime) -> Mapping[str, float]:
        """Time-weighted means by whole hours of every series that starts with `prefix`."""
        with self.reading() as db:
            return observations.means(db, prefix, since.timestamp())

    def summaries(self, prefix: str, since: datetime, until: datetime) -> Mapping[str, Summary]:
        """What every series whose name starts with `prefix` was between two times, by whole hours."""
        with self.reading() as db:
            return observations.summaries(db, prefix, since.timestamp(), until.timestamp())

    def trend(self, series: str, since: datetime, until: datetime, seconds: float) -> Sequence[tuple[float, float]]:
        """The means of one series over steps of `seconds` as (Unix time of the step, mean), oldest first."""
        with self.reading() as db:
            return observations.trend(db, series, since.timestamp(), until.timestamp(), seconds)

    def holdings(self, prefix: str) -> Holdings:
        """How much is remembered of the series whose name starts with `prefix`."""
        with self.reading() as db:
            return observations.holdings(db, prefix)

    # Upkeep

    def prune(self, now: datetime, ledger_retention: timedelta) -> None:
        """Drop what is past its time; the newest run of each task and the newest slot of each cadence stay."""
        with self.transaction() as db:
            pruning.prune(db, now.timestamp(), (now - ledger_retention).timestamp())


def add_counters(db: sqlite3.Connection, counters: Mapping[CounterKey, float]) -> None:
    """Add to counters, within a transaction."""
    db.executemany(
        "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
        [(family, json.dumps(dict(labels), sort_keys=True), value) for (family, labels), value in counters.items()],
    )
