"""What the store remembers of figures: spans of hours and days, against the raw points; its bounds; older formats."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.record import Record
from exporter.store import Store, StoreError, observations
from exporter.store.observations import HOURLY_DAYS, LONGEST_GAP_SECONDS, MAX_REFUSED
from jobs.core.model import Observation, Outcome, Request, Result
from tests.services.trees import tree_digest
from tests.unit.test_store import race

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
FOR_YEARS = timedelta(days=400)

FORMAT_1 = """
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, task TEXT NOT NULL, mode TEXT NOT NULL, target TEXT NOT NULL,
  requested TEXT NOT NULL, pid INTEGER NOT NULL, started REAL NOT NULL,
  finish_order INTEGER UNIQUE, outcome TEXT, record TEXT, whole INTEGER NOT NULL DEFAULT 1);
CREATE INDEX runs_by_task ON runs (task, id);
CREATE INDEX whole_runs ON runs (id) WHERE whole = 1;
CREATE TABLE slots (
  task TEXT NOT NULL, cadence TEXT NOT NULL, slot TEXT NOT NULL, claimed REAL NOT NULL,
  PRIMARY KEY (task, cadence, slot)) WITHOUT ROWID;
CREATE TABLE missed (
  id INTEGER PRIMARY KEY, task TEXT NOT NULL, cadence TEXT NOT NULL, after_slot TEXT NOT NULL,
  before_slot TEXT NOT NULL, count INTEGER NOT NULL, noticed REAL NOT NULL);
CREATE TABLE counters (
  family TEXT NOT NULL, labels TEXT NOT NULL, value REAL NOT NULL, PRIMARY KEY (family, labels)) WITHOUT ROWID;
CREATE TABLE budgets (key TEXT NOT NULL, spent REAL NOT NULL);
CREATE INDEX budgets_by_key ON budgets (key, spent);
CREATE TABLE observations (
  series TEXT NOT NULL, at REAL NOT NULL, value REAL NOT NULL, PRIMARY KEY (series, at)) WITHOUT ROWID;
CREATE TABLE hours (
  series TEXT NOT NULL, hour INTEGER NOT NULL, seconds REAL NOT NULL, weighted REAL NOT NULL,
  PRIMARY KEY (series, hour)) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
"""The tables of the first format, as it made them."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sutazai.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    opened = Store(file)
    yield opened
    opened.close()


def observe(store: Store, at: datetime, figures: Mapping[str, float]) -> None:
    """Enter a run that observed these figures."""
    request = Request(task="trial")
    record = Record(
        run_id=store.begin_run(request, at, os.getpid()),
        request=request,
        outcome=Outcome.OK,
        started=at,
        finished=at,
        duration_seconds=1,
        result=Result(status="X", observations=tuple(Observation(series=s, value=v) for s, v in figures.items())),
    )
    store.finish_run(record, {}, at)


def enter(store: Store, series: str, points: Sequence[tuple[float, float]]) -> None:
    """Observe (seconds after noon, value), all in one transaction."""
    with store.transaction() as db:
        for seconds, value in points:
            observations.observe(db, [Observation(series=series, value=value)], NOON.timestamp() + seconds)


def seconds_of_hours(store: Store) -> list[float]:
    with store.transaction() as db:
        return [row[0] for row in db.execute("SELECT seconds FROM spans WHERE hours = 1")]


# Against the raw points

steps = st.lists(st.tuples(st.floats(1, 3000), st.floats(-1e6, 1e6, allow_subnormal=False)), min_size=2, max_size=60)


@given(steps)
@settings(max_examples=40)
def test_a_summary_is_what_the_points_say(lengths: list[tuple[float, float]]) -> None:
    seconds, points, weighted, known = 0.0, list[tuple[float, float]](), 0.0, 0.0
    for length, value in lengths:
        points.append((seconds, value))
        spoken_for = min(length, LONGEST_GAP_SECONDS)
        weighted, known, seconds = weighted + spoken_for * value, known + spoken_for, seconds + length
    points.append((seconds, 0.0))
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "db")
        enter(store, "s", points)
        found = store.summaries("s", NOON, NOON + 30 * DAY)["s"]
        store.close()
    values = sorted(value for _, value in points)
    assert (found.minimum, found.maximum, found.count) == (values[0], values[-1], len(values))
    assert found.seconds == pytest.approx(known)
    assert found.mean == pytest.approx(weighted / known, rel=1e-6, abs=1e-3)
    for percent, value in ((50, found.p50), (95, found.p95), (99, found.p99)):
        assert value == pytest.approx(values[int(percent / 100 * (len(values) - 1))], rel=0.0101)


@given(steps)
@settings(max_examples=15)
def test_days_say_what_their_hours_said(lengths: list[tuple[float, float]]) -> None:
    seconds, points = 0.0, []
    for length, value in lengths:
        points.append((seconds, value))
        seconds += length
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "db")
        enter(store, "s", points)
        since, until = NOON - DAY / 2, NOON + 3 * DAY
        before = store.summaries("s", since, until)
        store.prune(NOON + 40 * DAY, FOR_YEARS)
        assert seconds_of_hours(store) == []
        after = store.summaries("s", since, until)
        store.close()
    assert before.keys() == after.keys()
    if "s" in before:
        assert after["s"].mean == pytest.approx(before["s"].mean, rel=1e-9, abs=1e-9)
        assert after["s"].seconds == pytest.approx(before["s"].seconds)
        for name in ("minimum", "maximum", "p50", "p95", "p99", "count"):
            assert getattr(after["s"], name) == getattr(before["s"], name)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", (2026, 3, 29), 23),
        ("Europe/Berlin", (2026, 10, 25), 25),
        ("America/New_York", (2026, 11, 1), 25),
        ("Asia/Kolkata", (2026, 3, 29), 24),
    ],
)
def test_a_change_of_the_clock_neither_loses_nor_doubles_time(
    store: Store, zone: str, day: tuple[int, int, int], hours: int
) -> None:
    midnight = datetime(*day, 0, 30, tzinfo=ZoneInfo(zone))  # on the hour of UTC in Kolkata, and not elsewhere
    following = datetime.combine(midnight.date() + DAY, midnight.timetz())
    start = midnight.timestamp() // 3600 * 3600
    for minutes in range(0, 27 * 60, 5):
        observe(store, datetime.fromtimestamp(start + minutes * 60, ZoneInfo(zone)), {"s": float(minutes)})
    until = datetime.fromtimestamp(following.timestamp() // 3600 * 3600, ZoneInfo(zone))
    found = store.summaries("s", midnight, until)["s"]
    assert (found.seconds, found.count) == (hours * 3600, hours * 12)
    assert found.mean == pytest.approx((hours * 12 - 1) * 5 / 2)
    assert max(seconds_of_hours(store)) == 3600


def test_two_periods_that_adjoin_share_no_hour(store: Store) -> None:
    enter(store, "s", [(minutes * 60, float(minutes >= 60)) for minutes in range(0, 125, 5)])
    hour = timedelta(hours=1)
    assert store.summaries("s", NOON, NOON + hour)["s"].maximum == 0
    assert store.summaries("s", NOON + hour, NOON + 2 * hour)["s"].minimum == 1


def test_a_trend_has_the_mean_of_each_step_and_leaves_out_what_nobody_saw(store: Store) -> None:
    seen = [m for m in range(0, 600, 5) if not 180 <= m < 360]
    enter(store, "s", [(minutes * 60, minutes // 60) for minutes in seen])
    hourly = store.trend("s", NOON, NOON + timedelta(hours=9), 3600)
    start = NOON.timestamp()
    assert hourly == [(start + h * 3600, float(h) if h != 3 else 2.0) for h in (0, 1, 2, 3, 6, 7, 8)]
    threefold = store.trend("s", NOON, NOON + timedelta(hours=9), 3 * 3600)
    assert [at for at, _ in threefold] == [start, start + 3 * 3600, start + 6 * 3600]
    assert threefold[2][1] == pytest.approx(7)


def test_series_are_told_apart_by_their_whole_names(store: Store) -> None:
    hostile = ("p/a", "p/a/b", "p/%2F", "p/\U0001f600", "p/' OR 1=1 --", "p/ä", "pp", "p")
    for minutes in (0, 5):
        observe(store, NOON + timedelta(minutes=minutes), dict.fromkeys(hostile, 1.0))
    assert set(store.summaries("p/", NOON, NOON + DAY)) == set(hostile[:-2])
    assert set(store.summaries("p/a/", NOON, NOON + DAY)) == {"p/a/b"}


@pytest.mark.parametrize("value", [1.7e308, -1.7e308, 5e-324, 0.0])
def test_the_largest_and_smallest_values_stay_numbers(store: Store, value: float) -> None:
    for minutes in range(0, 24 * 60, 10):
        observe(store, NOON + timedelta(minutes=minutes), {"s": value})
    store.prune(NOON + 40 * DAY, FOR_YEARS)
    found = store.summaries("s", NOON - DAY, NOON + 2 * DAY)["s"]
    assert found.p99 == pytest.approx(max(-1e300, min(value, 1e300)), rel=0.01, abs=1e-300)
    assert found.mean == pytest.approx(found.p99, rel=0.02, abs=1e-300)


# Clocks that are set


@given(st.lists(st.integers(0, 6 * 3600), min_size=2, max_size=80))
@settings(max_examples=40)
def test_whatever_the_clock_does_no_time_counts_twice(times: list[int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "db")
        enter(store, "s", [(float(at), 1.0) for at in times])
        spoken_for = set[int]()
        for at, after in zip(sorted(times), sorted(times)[1:], strict=False):
            spoken_for |= set(range(at, min(after, at + LONGEST_GAP_SECONDS)))
        found = store.summaries("s", NOON, NOON + DAY)
        store.close()
    assert sum(one.seconds for one in found.values()) == pytest.approx(len(spoken_for))


def test_a_clock_that_was_years_ahead_stops_nothing(store: Store) -> None:
    observe(store, NOON, {"s": 1})
    observe(store, NOON + timedelta(days=1500), {"s": 5})
    for minutes in range(5, 65, 5):
        observe(store, NOON + timedelta(minutes=minutes), {"s": 1})
    found = store.summaries("s", NOON, NOON + DAY)["s"]
    assert found.seconds == pytest.approx(3600 + LONGEST_GAP_SECONDS)
    assert found.maximum == 1


def test_an_hour_never_has_more_than_its_seconds(store: Store) -> None:
    for days_back in (0, 3, 6):  # each time so far that no raw point of the time before is left
        observe(store, NOON + timedelta(days=30 - days_back), {"other": 1})
        with store.transaction() as db:
            db.execute("DELETE FROM observations")
        enter(store, "s", [(minutes * 60, 2.0) for minutes in range(0, 65, 5)])
    found = store.summaries("s", NOON, NOON + timedelta(hours=1))["s"]
    assert (found.seconds, found.mean) == (3600, 2)


# Bounds


def test_a_new_series_beyond_the_limit_is_refused_by_name_and_old_ones_go_on(file: Path) -> None:
    store = Store(file, max_series=3)
    observe(store, NOON, {"p/a": 1, "p/b": 1, "p/c": 1, "p/d": 1})
    observe(store, NOON + timedelta(minutes=5), {"p/e": 1, "p/a": 2, "p/b": 2})
    held = store.holdings("p/")
    assert (held.series, held.refused) == (3, ("p/d", "p/e"))
    assert set(store.summaries("p/", NOON, NOON + DAY)) == {"p/a", "p/b"}
    store.prune(NOON + 3 * DAY, DAY)
    assert store.holdings("p/") == type(held)(0, None)
    observe(store, NOON + 3 * DAY, {"p/d": 1})
    assert store.holdings("p/").series == 1


def test_names_without_number_do_not_fill_the_store(file: Path) -> None:
    store = Store(file, max_series=1)
    for round_ in range(3):
        observe(store, NOON + timedelta(minutes=round_), {f"x{round_}_{n}": 1.0 for n in range(MAX_REFUSED)})
    assert len(store.holdings("").refused) == MAX_REFUSED


def test_what_is_held_is_known_with_its_beginning(store: Store) -> None:
    assert store.holdings("p/").since is None
    observe(store, NOON + timedelta(minutes=20), {"p/a": 1, "q": 1})
    observe(store, NOON + DAY, {"p/b": 1})
    held = store.holdings("p/")
    assert (held.series, held.since, held.refused) == (2, NOON, ())


def test_hours_become_days_and_raw_points_go_without_any_upkeep(store: Store) -> None:
    # Where no daemon runs, nothing but the runs themselves keeps the file small.
    for hours in range(0, 24 * (HOURLY_DAYS + 4)):
        enter(store, "s", [(hours * 3600.0, 1.0)])
    with store.transaction() as db:
        (raw,) = db.execute("SELECT count(*) FROM observations").fetchone()
        spans = dict(db.execute("SELECT hours, count(*) FROM spans GROUP BY hours"))
    assert raw <= 24 * 3 + 1
    assert spans[24] in (2, 3, 4)
    assert spans[1] <= 24 * (HOURLY_DAYS + 1)


def test_a_late_observation_joins_the_day_that_its_hours_have_become(store: Store) -> None:
    enter(store, "s", [(0, 1.0), (300, 1.0)])
    store.prune(NOON + 40 * DAY, FOR_YEARS)
    enter(store, "s", [(7200, 3.0), (7500, 3.0), (-12 * 3600, 9.0)])
    store.prune(NOON + 40 * DAY, FOR_YEARS)
    found = store.summaries("s", NOON - DAY / 2, NOON + DAY)["s"]
    assert (found.count, found.seconds, found.minimum, found.maximum) == (5, 600 + LONGEST_GAP_SECONDS, 1, 9)
    assert seconds_of_hours(store) == []


# Formats


def old_file(file: Path) -> None:
    file.parent.mkdir(parents=True)
    hour = int(NOON.timestamp() // 3600)
    with sqlite3.connect(file) as db:
        db.executescript(FORMAT_1)
        db.execute("INSERT INTO slots VALUES ('t', 'c', '2026-03-02', ?)", (NOON.timestamp(),))
        db.execute("INSERT INTO counters VALUES ('c', '{}', 7)")
        for name in ("up/a", "up/ä b"):
            db.execute("INSERT INTO observations VALUES (?, ?, 1)", (name, NOON.timestamp()))
            db.execute("INSERT INTO hours VALUES (?, ?, 1800, 900)", (name, hour - 1))
        db.execute("INSERT INTO hours VALUES ('up/gone', ?, 3600, 3600)", (hour - 9,))
    db.close()


def assert_is_all_there(store: Store) -> None:
    assert store.points("up/a", NOON) == [(NOON.timestamp(), 1.0)]
    assert store.means("up/", NOON - DAY) == {"up/a": 0.5, "up/ä b": 0.5, "up/gone": 1.0}
    found = store.summaries("up/", NOON - DAY, NOON)["up/a"]
    assert (found.mean, found.p95, found.seconds, found.count) == (0.5, 0.5, 1800, 0)
    assert store.newest_slot("t", "c") == "2026-03-02"
    assert store.counters() == {("c", ()): 7}


def tables_of(file: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(file)) as db:
        return {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_a_file_of_the_format_before_keeps_what_it_has(file: Path) -> None:
    old_file(file)
    store = Store(file)
    assert_is_all_there(store)
    store.close()
    assert_is_all_there(Store(file, read_only=True))
    Store(file.with_name("new.db")).close()
    assert tables_of(file) == tables_of(file.with_name("new.db"))
    store = Store(file)
    observe(store, NOON + timedelta(minutes=5), {"up/a": 0})
    assert store.summaries("up/a", NOON, NOON + DAY)["up/a"].mean == 1


def test_a_file_of_the_format_before_is_read_without_a_change(file: Path) -> None:
    old_file(file)
    before = tree_digest(file.parent)
    store = Store(file, read_only=True)
    assert_is_all_there(store)
    store.close()
    assert tree_digest(file.parent) == before


def test_many_processes_may_bring_a_file_up_to_date_at_once(file: Path) -> None:
    old_file(file)
    assert set(race(file, "answer = store.means('up/', now - timedelta(days=1))['up/a']")) == {"0.5"}
    assert_is_all_there(Store(file))


def test_a_change_of_format_that_fails_leaves_the_file_as_it_was(file: Path) -> None:
    old_file(file)
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE spans (its TEXT)")  # in the way of the last steps
    db.close()
    with pytest.raises(StoreError, match="already exists"):
        Store(file)
    with sqlite3.connect(file) as db:
        db.execute("DROP TABLE spans")
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()
    assert_is_all_there(Store(file))


def test_a_file_of_a_newer_format_is_refused(file: Path) -> None:
    Store(file).close()
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    for read_only in (False, True):
        with pytest.raises(StoreError, match="written by a newer version"):
            Store(file, read_only=read_only)
