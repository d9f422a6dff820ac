"""Observations in the store: as they were made for two days, by the hour for two weeks, and by the day after that.

An hour or a day (of UTC) is a span: how long its value is known for, the integral of it, how many observations there
were, the least and the greatest, and their distribution. Spans are added up, so nothing is lost but the order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import groupby

from exporter.store import sketch
from jobs.core.model import Observation
from jobs.core.ports import Holdings, Summary

RAW_SECONDS = 2 * 86400
"""How long an observation is kept as it was made."""
LONGEST_GAP_SECONDS = 900
"""An observation speaks for the time until the next one, but for no longer than this."""
HOURLY_DAYS = 16
"""How long hours are kept: a weekly report compares two weeks of them. After that a day's are added up."""
MAX_SERIES = 20_000
"""So many series are remembered; a new one beyond is refused, and those that are there go on."""
MAX_REFUSED = 1000
"""So many of those refused are known by name."""
_LARGEST = 1e300
"""What is larger is taken for this: a year's integral of it is still a number."""
_SPAN = "seconds, weighted, count, minimum, maximum, sketch"

_Span = tuple[float, float, int, float | None, float | None, bytes]


def observe(
    db: sqlite3.Connection, observations: Iterable[Observation], at: float, max_series: int = MAX_SERIES
) -> None:
    """Enter observations; the time since the one before is credited, with that one's value, to its hours.

    Of what would be more than `max_series` series only the name is kept.
    """
    room = max_series - int(db.execute("SELECT count(*) FROM series").fetchone()[0])
    for observation in observations:
        known = db.execute("SELECT id FROM series WHERE name = ?", (observation.series,)).fetchone()
        if known is None and room <= 0:
            _refuse(db, observation.series, at)
            continue
        if known is None:
            room -= 1
            db.execute("DELETE FROM refused WHERE name = ?", (observation.series,))
            known = (db.execute("INSERT INTO series (name) VALUES (?)", (observation.series,)).lastrowid,)
        _enter(db, known[0], at, max(-_LARGEST, min(observation.value, _LARGEST)))


def _refuse(db: sqlite3.Connection, name: str, at: float) -> None:
    """Names may be other people's and without number: of those beyond the first, none is kept."""
    db.execute("UPDATE refused SET at = ? WHERE name = ?", (at, name))
    db.execute(
        "INSERT OR IGNORE INTO refused SELECT ?, ? WHERE (SELECT count(*) FROM refused) < ?", (name, at, MAX_REFUSED)
    )


def _enter(db: sqlite3.Connection, series: int, at: float, value: float) -> None:
    before = db.execute(
        "SELECT at, value FROM observations WHERE series = ? AND at < ? ORDER BY at DESC LIMIT 1", (series, at)
    ).fetchone()
    (after,) = db.execute("SELECT min(at) FROM observations WHERE series = ? AND at >= ?", (series, at)).fetchone()
    if after is not None:
        # The clock was set back. What the one before speaks for is credited up to the one after; only the rest is new.
        known = before[0] + LONGEST_GAP_SECONDS if before else at
        _credit(db, series, max(at, known), min(after, at + LONGEST_GAP_SECONDS), value)
    elif before:
        _credit(db, series, before[0], min(at, before[0] + LONGEST_GAP_SECONDS), before[1])
    _tell(db, series, int(at // 3600), value)
    db.execute("INSERT OR REPLACE INTO observations VALUES (?, ?, ?)", (series, at, value))
    # After a longer silence the clock may be wrong, and what seems old may be new.
    if before and at // 86400 > before[0] // 86400 and at - before[0] < RAW_SECONDS:
        _age(db, series, at)


def _credit(db: sqlite3.Connection, series: int, start: float, end: float, value: float) -> None:
    """Add time with a value to its hours. An hour has 3600 seconds, whatever was done to the clock."""
    while start < end:
        hour = int(start // 3600)
        until = min(end, (hour + 1) * 3600.0)
        db.execute(
            "INSERT INTO spans (series, start, seconds, weighted) VALUES (?1, ?2, ?3, ?3 * ?4) ON CONFLICT DO UPDATE"
            " SET weighted = weighted + ?4 * min(?3, hours * 3600 - seconds),"
            " seconds = min(seconds + ?3, hours * 3600)",
            (series, hour, until - start, value),
        )
        start = until


def _tell(db: sqlite3.Connection, series: int, hour: int, value: float) -> None:
    """Add an observation to the distribution of its hour."""
    row = db.execute("SELECT sketch FROM spans WHERE series = ? AND start = ?", (series, hour)).fetchone()
    counts = sketch.added([row[0]] if row else [])
    key = sketch.key_of(value)
    counts[key] = counts.get(key, 0) + 1
    db.execute(
        "INSERT INTO spans (series, start, count, minimum, maximum, sketch) VALUES (?1, ?2, 1, ?3, ?3, ?4)"
        " ON CONFLICT DO UPDATE SET count = count + 1, minimum = min(ifnull(minimum, ?3), ?3),"
        " maximum = max(ifnull(maximum, ?3), ?3), sketch = ?4",
        (series, hour, value, sketch.pack(counts)),
    )


def _age(db: sqlite3.Connection, series: int, now: float) -> None:
    """Drop what is kept for days only, and make days of hours."""
    db.execute("DELETE FROM observations WHERE series = ? AND at < ?", (series, now - RAW_SECONDS))
    days = db.execute(
        "SELECT DISTINCT start / 24 FROM spans WHERE series = ? AND hours = 1 AND start < ?",
        (series, _first_hour_kept(now)),
    ).fetchall()
    for (day,) in days:
        of_day = (series, day * 24, day * 24 + 24)
        sql = f"SELECT {_SPAN} FROM spans WHERE series = ? AND start >= ? AND start < ?"  # noqa: S608
        whole = _added(db.execute(sql, of_day))
        db.execute("DELETE FROM spans WHERE series = ? AND start >= ? AND start < ?", of_day)
        sql = f"INSERT INTO spans (series, start, hours, {_SPAN}) VALUES (?, ?, 24, ?, ?, ?, ?, ?, ?)"  # noqa: S608
        db.execute(sql, (series, day * 24, *whole))


def _first_hour_kept(now: float) -> int:
    return (int(now // 86400) - HOURLY_DAYS) * 24


def _added(spans: Iterable[_Span]) -> _Span:
    """Several spans as one."""
    seconds, weighted, counts, minima, maxima, sketches = zip(*spans, strict=True)
    return (
        sum(seconds),
        sum(weighted),
        sum(counts),
        min((value for value in minima if value is not None), default=None),
        max((value for value in maxima if value is not None), default=None),
        sketch.pack(sketch.added(sketches)),
    )


def points(db: sqlite3.Connection, series: str, since: float) -> list[tuple[float, float]]:
    """The raw observations of one series as (Unix time, value), oldest first."""
    sql = "SELECT at, value FROM observations JOIN series ON series = id WHERE name = ? AND at >= ? ORDER BY at"
    return [(float(at), float(value)) for at, value in db.execute(sql, (series, since))]


def means(db: sqlite3.Connection, prefix: str, since: float) -> dict[str, float]:
    """Time-weighted means by whole hours of every series that starts with `prefix`."""
    rows = db.execute(
        "SELECT name, sum(weighted) / sum(seconds) FROM series JOIN spans ON series = id"
        " WHERE name >= ? AND name < ? AND start >= ? GROUP BY name HAVING sum(seconds) > 0",
        (*_range(prefix), since // 3600),
    )
    return {str(name): float(mean) for name, mean in rows}


def summaries(db: sqlite3.Connection, prefix: str, since: float, until: float) -> dict[str, Summary]:
    """What every series whose name starts with `prefix` was, by whole hours; one without known time is left out."""
    sql = (
        f"SELECT name, {_SPAN} FROM series JOIN spans ON series = id"  # noqa: S608
        " WHERE name >= ? AND name < ? AND start >= ? AND start < ? ORDER BY name"
    )
    rows = db.execute(sql, (*_range(prefix), since // 3600, -(-until // 3600)))
    merged = {str(name): _added(row[1:] for row in group) for name, group in groupby(rows, key=lambda row: row[0])}
    return {name: _summary(span) for name, span in merged.items() if span[0] > 0}


def _summary(span: _Span) -> Summary:
    seconds, weighted, count, minimum, maximum, packed = span
    mean = weighted / seconds
    if minimum is None or maximum is None:
        # Known only by what was observed before it, or from a format that kept nothing but means.
        return Summary(mean, mean, mean, mean, mean, mean, seconds, count)
    counts = dict(sketch.unpacked(packed))
    p50, p95, p99 = (max(minimum, min(sketch.percentile(counts, percent), maximum)) for percent in (50, 95, 99))
    return Summary(mean, minimum, maximum, p50, p95, p99, seconds, count)


def trend(
    db: sqlite3.Connection, series: str, since: float, until: float, step_seconds: float
) -> list[tuple[float, float]]:
    """The means of one series over steps as (Unix time of the step, mean), oldest first."""
    first, hours = int(since // 3600), max(1, round(step_seconds / 3600))
    rows = db.execute(
        "SELECT (start - ?1) / ?2 AS step, sum(weighted) / sum(seconds) FROM series JOIN spans ON series = id"
        " WHERE name = ?3 AND start >= ?1 AND start < ?4 GROUP BY step HAVING sum(seconds) > 0 ORDER BY step",
        (first, hours, series, -(-until // 3600)),
    )
    return [((first + step * hours) * 3600.0, float(mean)) for step, mean in rows]


def holdings(db: sqlite3.Connection, prefix: str) -> Holdings:
    """How much is remembered of the series whose name starts with `prefix`, and what was refused."""
    count, first = db.execute(
        "SELECT count(*), min((SELECT min(start) FROM spans WHERE series = id)) FROM series"
        " WHERE name >= ? AND name < ?",
        _range(prefix),
    ).fetchone()
    since = None if first is None else datetime.fromtimestamp(first * 3600, UTC)
    refused = db.execute("SELECT name FROM refused WHERE name >= ? AND name < ? ORDER BY name", _range(prefix))
    return Holdings(int(count), since, tuple(str(name) for (name,) in refused))


def prune(db: sqlite3.Connection, now: float, oldest: float) -> None:
    """Drop what is past its time: raw observations, spans before `oldest`, and series of which nothing is left."""
    db.execute("DELETE FROM spans WHERE start < ?", (oldest // 3600,))
    db.execute("DELETE FROM observations WHERE at < ?", (now - RAW_SECONDS,))
    old = "SELECT DISTINCT series FROM spans WHERE hours = 1 AND start < ?"
    for (series,) in db.execute(old, (_first_hour_kept(now),)).fetchall():
        _age(db, series, now)
    db.execute(
        "DELETE FROM series WHERE NOT EXISTS (SELECT 1 FROM spans WHERE series = id)"
        " AND NOT EXISTS (SELECT 1 FROM observations WHERE series = id)"
    )
    db.execute("DELETE FROM refused WHERE at < ?", (now - RAW_SECONDS,))


def _range(prefix: str) -> tuple[str, str]:
    """The names that start so: from the prefix to before its largest continuation."""
    return prefix, prefix + "\U0010ffff"
