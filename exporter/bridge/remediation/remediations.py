"""The table of remediations: one row for each alert that brought one about, and where it stands."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from exporter.bridge import families
from exporter.bridge.model import OPEN_STATES, Alert, RemediationState
from exporter.bridge.remediation.remedies import HOUR_SECONDS, Past
from exporter.store import Store, add_counters

OVERALL = "remediation"
"""The budget of all attempts; that of a target has its name behind a slash."""

ENDS = tuple(state for state in RemediationState if state not in OPEN_STATES)
"""The states that are final."""

OPEN = f"state IN {tuple(map(str, OPEN_STATES))}"
"""Which rows are not over, as the index of them has it."""
_NEWEST, _FEW = 10, 3
_SELECT = (
    "SELECT r.id, r.alert, r.rule, r.task, r.target, r.state, r.attempts, r.due, r.created, r.changed, r.who, r.detail,"
    " a.alert, a.ended FROM remediations r JOIN alerts a ON a.id = r.alert"
)


@dataclass(frozen=True)
class Entry:
    """A remediation as it stands; times are Unix times, `ended` that of its alert. `who` approved or rejected it."""

    id: int
    alert_id: int
    rule: str
    task: str
    target: str
    state: RemediationState
    attempts: int
    due: float | None
    created: float
    changed: float
    who: str
    detail: str
    alert: Alert
    ended: float | None


def add(
    db: sqlite3.Connection,
    alert_id: int,
    rule: str,
    task: str,
    target: str,
    state: RemediationState,
    now: datetime,
    due: datetime | None = None,
    detail: str = "",
) -> int:
    """Enter a remediation of an alert and return its number."""
    stamp = now.timestamp()
    cursor = db.execute(
        "INSERT INTO remediations (alert, rule, task, target, state, due, created, changed, detail)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (alert_id, rule, task, target, state, due and due.timestamp(), stamp, stamp, detail),
    )
    _count(db, rule, state)
    return int(cursor.lastrowid or 0)


def move(
    db: sqlite3.Connection,
    entry: Entry,
    state: RemediationState,
    now: datetime,
    *,
    due: datetime | None = None,
    detail: str = "",
    attempts: int | None = None,
    who: str | None = None,
) -> None:
    """Let a remediation stand elsewhere; to be called in the transaction that read it."""
    db.execute(
        "UPDATE remediations SET state = ?, due = ?, detail = ?, changed = ?, attempts = ?, who = ? WHERE id = ?",
        (
            *(state, due and due.timestamp(), detail, now.timestamp()),
            *(entry.attempts if attempts is None else attempts, entry.who if who is None else who, entry.id),
        ),
    )
    _count(db, entry.rule, state)


def _count(db: sqlite3.Connection, rule: str, state: RemediationState) -> None:
    if state in ENDS:
        add_counters(db, {(families.REMEDIATIONS.name, (("remediation", rule), ("state", state.value))): 1.0})


def read(db: sqlite3.Connection, number: int) -> Entry | None:
    """The remediation of this number, within a transaction."""
    row = db.execute(f"{_SELECT} WHERE r.id = ?", (number,)).fetchone()
    return _entry(row) if row else None


def find(store: Store, number: int) -> Entry | None:
    """The remediation of this number. Raise StoreError."""
    rows = store.rows(f"{_SELECT} WHERE r.id = ?", number)
    return _entry(rows[0]) if rows else None


def is_open(db: sqlite3.Connection, task: str, target: str) -> bool:
    """Whether a remediation of this task and target is not over."""
    sql = f"SELECT 1 FROM remediations WHERE task = ? AND target = ? AND {OPEN}"  # noqa: S608  # made of constants
    return db.execute(sql, (task, target)).fetchone() is not None


def standing(store: Store) -> list[Entry]:
    """Every remediation that is not over, oldest first. Raise StoreError."""
    # Asked for each second. The plus keeps SQLite from going by the numbers through all that ever were.
    return [_entry(row) for row in store.rows(f"{_SELECT} WHERE {OPEN} ORDER BY +r.id")]


def listing(store: Store, limit: int, *, only_open: bool = False) -> list[Entry]:
    """The newest remediations, newest first. Raise StoreError."""
    where = f"WHERE {OPEN}" if only_open else ""
    return [_entry(row) for row in store.rows(f"{_SELECT} {where} ORDER BY r.id DESC LIMIT ?", limit)]


def lately_ended(store: Store, since: datetime) -> list[Entry]:
    """Those of the newest that are over since then, a few, the last first; something was attempted in each.

    Raise StoreError.
    """
    found = [entry for entry in listing(store, _NEWEST) if entry.state in ENDS and entry.attempts]
    found = [entry for entry in found if entry.changed >= since.timestamp()]
    return sorted(found, key=lambda entry: entry.changed, reverse=True)[:_FEW]


def past(db: sqlite3.Connection, entry: Entry, now: datetime) -> Past:
    """What was done lately to the target of a remediation, and at all."""
    since = now.timestamp() - HOUR_SECONDS
    target, overall = (
        tuple(at for (at,) in db.execute("SELECT spent FROM budgets WHERE key = ? AND spent > ?", (key, since)))
        for key in (_budget(entry), OVERALL)
    )
    sql = "SELECT max(changed) FROM remediations WHERE task = ? AND target = ? AND id != ? AND attempts > 0"
    ended = db.execute(sql, (entry.task, entry.target, entry.id)).fetchone()[0]
    return Past(target, overall, ended)


def spend(db: sqlite3.Connection, entry: Entry, now: datetime) -> None:
    """Take an attempt from both budgets, in the transaction that looked at them (`past`)."""
    for key in (_budget(entry), OVERALL):
        db.execute("INSERT INTO budgets VALUES (?, ?)", (key, now.timestamp()))


def open_places(store: Store) -> set[tuple[str, str]]:
    """The tasks and targets of which a remediation is not over. Raise StoreError."""
    sql = f"SELECT task, target FROM remediations WHERE {OPEN}"  # noqa: S608  # made of constants
    return set(store.rows(sql))


def undecided(store: Store) -> list[int]:
    """The numbers of the alerts that nobody has dealt with, in the order in which they came. Raise StoreError."""
    return [number for (number,) in store.rows("SELECT id FROM alerts WHERE handled IS NULL ORDER BY id")]


def open_problems(store: Store, task: str, kind: str) -> list[str]:
    """The subjects of the problems of a kind that stand. Raise StoreError."""
    sql = "SELECT subject FROM problems WHERE task = ? AND kind = ? AND cleared IS NULL"
    return [subject for (subject,) in store.rows(sql, task, kind)]


def mended(store: Store, subjects: Sequence[str]) -> list[str]:
    """Of failed remediations, those subjects of which no alert fires any more. Raise StoreError."""
    sql = (
        "SELECT 1 FROM remediations r JOIN alerts a ON a.id = r.alert WHERE r.state = 'failed' AND a.ended IS NULL"
        " AND r.task || CASE r.target WHEN '' THEN '' ELSE '/' || r.target END = ? LIMIT 1"
    )
    return [subject for subject in subjects if not store.rows(sql, subject)]


def prune(store: Store, oldest: datetime) -> None:
    """Drop remediations that were over before then. Raise StoreError."""
    sql = f"DELETE FROM remediations WHERE changed < ? AND NOT ({OPEN})"  # noqa: S608  # made of constants
    with store.transaction() as db:
        db.execute(sql, (oldest.timestamp(),))


def _budget(entry: Entry) -> str:
    return f"{OVERALL}/{entry.task}/{entry.target}"


def _entry(row: Any) -> Entry:
    values: list[Any] = [*row[:5], RemediationState(row[5]), *row[6:12], Alert.model_validate_json(row[12]), row[13]]
    return Entry(*values)
