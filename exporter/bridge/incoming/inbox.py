"""Alerts that came in: each episode once for its beginning and once for its end, however often it is sent.

Alertmanager sends at least once, repeats what still fires, and several of them may send the same in any order:

- A resolution ends every episode of its alert (of its fingerprint) that began before the end that it tells of. Two
  Prometheus may give one alert two beginnings, and of these it is the earlier one that resolves.
- A firing alert that comes within a minute after such a resolution was only late. One that comes later fires again:
  a Prometheus that was cut off for some minutes takes its alerts up with their old beginnings.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pydantic import ValidationError

from exporter.bridge.families import ALERTS_RECEIVED
from exporter.bridge.model import Alert, AlertStatus
from exporter.store import Store, add_counters

LATE_SECONDS = 60
"""So long after the resolution a firing alert may be one that was on its way; a second Alertmanager waits 15 s."""
STALE_HOURS = 24
"""An alert that nobody repeated for so long may fire or not. Alertmanager repeats every 4 hours unless told."""
KEPT_FIRING = timedelta(days=7)
"""An alert without an end is kept so long after it was last heard of, even if the ledger is kept for less."""

END_FIRING = """
UPDATE alerts SET ended = (SELECT min(ended) FROM alerts AS other
  WHERE other.fingerprint = alerts.fingerprint AND status = 'resolved' AND ended >= alerts.starts_at)
WHERE fingerprint = ? AND status = 'firing' AND ended IS NULL
"""
"""Ends the open episodes of a fingerprint that a resolution tells of."""


class State(StrEnum):
    """Where an alert stands. `stale` is no good news: whoever should repeat or resolve it does not."""

    FIRING = "firing"
    STALE = "stale"
    ENDED = "ended"


@dataclass(frozen=True)
class Taken:
    """How many alerts of one body were news, and how many were there already."""

    accepted: int
    duplicates: int


@dataclass(frozen=True)
class Entry:
    """One alert of the inbox. `received` is when it was last sent; `ended` is None while no end is known."""

    id: int
    alert: Alert
    received: datetime
    ended: datetime | None
    handled: datetime | None

    def state(self, now: datetime) -> State:
        """Where it stands; a resolved alert is its own end."""
        if self.ended is not None:
            return State.ENDED
        return State.STALE if now - self.received > timedelta(hours=STALE_HOURS) else State.FIRING


class Inbox:
    """The alerts of a store. Every method may raise StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def take(self, alerts: Sequence[Alert], now: datetime) -> Taken:
        """Enter all of them, or none; they are on the disk when this returns."""
        with self._store.transaction() as db:
            news = [_enter(db, alert, now) for alert in alerts]
            _count(db, zip(alerts, news, strict=True))
        return Taken(sum(news), len(news) - sum(news))

    def recent(self, limit: int) -> list[Entry]:
        """The newest alerts, newest first."""
        return self._entries("ORDER BY id DESC LIMIT ?", limit)

    def firing(self, limit: int) -> list[Entry]:
        """The newest alerts without an end, newest first."""
        # The plus keeps SQLite from going by the numbers through all that ever came.
        return self._entries("WHERE status = 'firing' AND ended IS NULL ORDER BY +id DESC LIMIT ?", limit)

    def _entries(self, which: str, limit: int) -> list[Entry]:
        rows = self._store.rows(f"SELECT id, alert, received, ended, handled FROM alerts {which}", limit)  # noqa: S608
        times = {number: [_time(at) for at in rest] for number, _, *rest in rows}
        return [
            Entry(number, alert, times[number][0] or alert.starts_at, *times[number][1:])
            for number, alert in _readable((number, text) for number, text, *_ in rows)
        ]

    def prune(self, now: datetime, ledger_retention: timedelta) -> None:
        """Drop what was last heard of before the retention; what a remediation tells of stays as long as that."""
        oldest = now - ledger_retention
        with self._store.transaction() as db:
            db.execute(
                "DELETE FROM alerts WHERE received < CASE WHEN ended IS NULL THEN ? ELSE ? END"
                " AND id NOT IN (SELECT alert FROM remediations)",
                (min(oldest, now - KEPT_FIRING).timestamp(), oldest.timestamp()),
            )


def _enter(db: sqlite3.Connection, alert: Alert, now: datetime) -> bool:
    """Enter one alert; return whether it is news."""
    again = alert.status is AlertStatus.FIRING and _fires_again(db, alert, now)
    cursor = db.execute(
        "INSERT INTO alerts (fingerprint, starts_at, status, alert, received, ended) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (*_key(alert), alert.status, alert.model_dump_json(), now.timestamp(), _own_end(alert, now)),
    )
    news = again or cursor.rowcount == 1
    if news:
        db.execute(END_FIRING, (alert.fingerprint,))
    if alert.status is AlertStatus.FIRING:
        db.execute(
            "UPDATE alerts SET received = ? WHERE fingerprint = ? AND status = 'firing' AND ended IS NULL",
            (now.timestamp(), alert.fingerprint),
        )
    return news


def _fires_again(db: sqlite3.Connection, alert: Alert, now: datetime) -> bool:
    """Take back resolutions that a firing alert belies, and open it again; return whether there were any."""
    fingerprint, starts_at = _key(alert)
    cursor = db.execute(
        "DELETE FROM alerts WHERE fingerprint = ? AND status = 'resolved' AND ended >= ? AND received < ?",
        (fingerprint, starts_at, now.timestamp() - LATE_SECONDS),
    )
    if cursor.rowcount == 0:
        return False
    cursor = db.execute(
        "UPDATE alerts SET ended = NULL, handled = NULL WHERE fingerprint = ? AND starts_at = ? AND status = 'firing'",
        (fingerprint, starts_at),
    )
    return cursor.rowcount == 1


def _own_end(alert: Alert, now: datetime) -> float | None:
    """When a resolved alert ended (never before it began); None for a firing one."""
    if alert.status is AlertStatus.FIRING:
        return None
    return max(alert.starts_at, alert.ends_at or now).timestamp()


def _key(alert: Alert) -> tuple[str, float]:
    return alert.fingerprint, alert.starts_at.timestamp()


def _count(db: sqlite3.Connection, entered: Iterable[tuple[Alert, bool]]) -> None:
    results = Counter((alert.status, "accepted" if news else "duplicate") for alert, news in entered)
    add_counters(
        db,
        {
            (ALERTS_RECEIVED.name, (("result", result), ("status", str(status)))): float(count)
            for (status, result), count in results.items()
        },
    )


def _readable(rows: Iterable[tuple[int, str]]) -> list[tuple[int, Alert]]:
    """The alerts of these rows; one that another version wrote and that no longer fits cannot be told."""
    found = []
    for number, text in rows:
        with contextlib.suppress(ValidationError):
            found.append((int(number), Alert.model_validate_json(text)))
    return found


def _time(stamp: float | None) -> datetime | None:
    return None if stamp is None else datetime.fromtimestamp(stamp, UTC)
