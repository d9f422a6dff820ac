"""Observations in the store: as they were made for two days, as time-weighted means by the hour for longer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from jobs.core.model import Observation

RAW_SECONDS = 2 * 86400
"""How long an observation is kept as it was made; after that only its hour's mean is known."""
LONGEST_GAP_SECONDS = 900
"""An observation speaks for the time until the next one, but for no longer than this."""


def observe(db: sqlite3.Connection, observations: Iterable[Observation], at: float) -> None:
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


def points(db: sqlite3.Connection, series: str, since: float) -> list[tuple[float, float]]:
    """The raw observations of one series as (Unix time, value), oldest first."""
    rows = db.execute("SELECT at, value FROM observations WHERE series = ? AND at >= ? ORDER BY at", (series, since))
    return [(float(at), float(value)) for at, value in rows]


def means(db: sqlite3.Connection, prefix: str, since: float) -> dict[str, float]:
    """Time-weighted means by whole hours of every series that starts with `prefix`."""
    rows = db.execute(
        "SELECT series, sum(weighted) / sum(seconds) FROM hours WHERE series >= ? AND series < ? AND hour >= ?"
        " GROUP BY series HAVING sum(seconds) > 0",
        (prefix, prefix + "\U0010ffff", since // 3600),
    )
    return {str(series): float(mean) for series, mean in rows}


def prune(db: sqlite3.Connection, now: float, oldest: float) -> None:
    """Drop raw observations that are past their time, and hours before `oldest`."""
    db.execute("DELETE FROM observations WHERE at < ?", (now - RAW_SECONDS,))
    db.execute("DELETE FROM hours WHERE hour < ?", (oldest // 3600,))
