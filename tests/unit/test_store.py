"""The ledger on a real SQLite file, with real processes that race for it."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.metrics import counters_of
from exporter.record import Record
from exporter.store import Store, StoreError
from exporter.store.observations import LONGEST_GAP_SECONDS, RAW_SECONDS
from exporter.store.pruning import WHOLE_RECORDS
from jobs.core.model import Observation, Outcome, Request, Result
from tests.services.exporter_daemon import REPOSITORY
from tests.services.trees import tree_digest

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
RACERS = 12


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sutazai.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    opened = Store(file)
    yield opened
    opened.close()


def finished(
    store: Store,
    task: str = "trial",
    at: datetime = NOON,
    outcome: Outcome = Outcome.OK,
    observed: dict[str, float] | None = None,
    counters: dict[tuple[str, tuple[tuple[str, str], ...]], float] | None = None,
) -> Record:
    """Enter a whole run that began and ended at one time."""
    request = Request(task=task, mode="full")
    observations = tuple(Observation(series=name, value=value) for name, value in (observed or {}).items())
    record = Record(
        run_id=store.begin_run(request, at, os.getpid()),
        request=request,
        outcome=outcome,
        started=at,
        finished=at,
        duration_seconds=1.5,
        result=Result(status="GOOD", observations=observations),
    )
    store.finish_run(record, counters_of(record) if counters is None else counters, at)
    return record


def race(file: Path, code: str) -> list[str]:
    """What each of many processes prints that do this at once; the code has `store`, `now` and `number`."""
    program = f"""
import os, sys, traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from exporter.record import Record
from exporter.store import Store
from jobs.core.model import Request
now = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
start, gun = os.pipe()
for number in range({RACERS}):
    if os.fork() == 0:
        os.close(gun)
        os.read(start, 1)
        try:
            store = Store(Path(sys.argv[1]))
            {code}
            os.write(1, (str(answer) + chr(10)).encode())
        except BaseException:
            traceback.print_exc()
        os._exit(0)
os.close(gun)
for number in range({RACERS}):
    os.wait()
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    answers = done.stdout.split()
    assert len(answers) == RACERS
    return answers


# Races between processes


def test_many_processes_may_make_the_store_at_once(file: Path) -> None:
    opened = race(file, "answer = store.begin_run(Request(task='x'), now, number)")
    assert sorted(map(int, opened)) == list(range(1, RACERS + 1))


def test_a_slot_is_claimed_by_exactly_one_process(file: Path) -> None:
    code = "answer = ''.join('01'[store.claim_slot('t', 'c', f'2026-03-{day:02}', now)] for day in range(1, 31))"
    claims = race(file, code)
    assert ["".join(claim[day] for claim in claims).count("1") for day in range(30)] == [1] * 30


def test_an_allowance_is_never_overspent_by_many_processes(file: Path) -> None:
    code = "answer = sum(store.spend('restart/a', now, limit=5, window_seconds=3600) for _ in range(5))"
    assert sum(map(int, race(file, code))) == 5


def test_counters_and_finish_orders_of_many_processes_add_up(file: Path) -> None:
    code = """
            for answer in range(10):
                run_id = store.begin_run(Request(task="t"), now, number)
                record = Record(run_id=run_id, request=Request(task="t"), outcome="ok", started=now, finished=now,
                                duration_seconds=1)
                store.finish_run(record, {("runs_total", (("task", "t"),)): 1.0}, now)
"""
    race(file, code)
    store = Store(file, read_only=True)
    assert store.counters() == {("runs_total", (("task", "t"),)): 10 * RACERS}
    assert [order for order, _ in store.finished_after(0)] == list(range(1, 10 * RACERS + 1))


# Runs


def test_a_run_is_unfinished_until_its_record_is_in(store: Store) -> None:
    request = Request(task="trial", target="a", reason="because")
    run_id = store.begin_run(request, NOON, 4711)
    assert store.unfinished_runs() == [(run_id, request, 4711, NOON)]
    assert store.ledger() == []
    record = Record(
        run_id=run_id, request=request, outcome=Outcome.ERROR, started=NOON, finished=NOON, duration_seconds=2
    )
    store.finish_run(record, {}, NOON)
    assert store.unfinished_runs() == []
    assert store.ledger() == [record]


def test_records_are_told_in_the_order_in_which_they_ended(store: Store) -> None:
    early, late = (store.begin_run(Request(task="t"), NOON, 1) for _ in range(2))
    for run_id in (late, early):
        record = Record(
            run_id=run_id, request=Request(task="t"), outcome="ok", started=NOON, finished=NOON, duration_seconds=0
        )
        store.finish_run(record, {}, NOON)
    assert [(order, record.run_id) for order, record in store.finished_after(0)] == [(1, late), (2, early)]
    assert [record.run_id for _, record in store.finished_after(1)] == [early]
    assert store.last_finish_order() == 2


def test_a_run_is_finished_once(store: Store) -> None:
    record = finished(store, outcome=Outcome.OK)
    again = record.model_copy(update={"outcome": Outcome.ERROR})
    store.finish_run(again, counters_of(again), NOON)
    assert store.ledger() == [record]
    assert store.counters()[("sutazai_task_runs_total", (("outcome", "ok"), ("task", "trial")))] == 1
    assert ("sutazai_task_runs_total", (("outcome", "error"), ("task", "trial"))) not in store.counters()


def test_a_record_goes_in_whole_or_not_at_all(store: Store, file: Path) -> None:
    run_id = store.begin_run(Request(task="t"), NOON, 1)
    record = Record(
        run_id=run_id,
        request=Request(task="t"),
        outcome="ok",
        started=NOON,
        finished=NOON,
        duration_seconds=0,
        result=Result(status="X", observations=(Observation(series="s", value=1),)),
    )
    with sqlite3.connect(file) as other:  # the last of the three writes is what fails
        other.execute("CREATE TRIGGER full BEFORE INSERT ON observations BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(StoreError, match="disk full"):
        store.finish_run(record, {("c", ()): 1.0}, NOON)
    assert store.counters() == {}
    assert [run[0] for run in store.unfinished_runs()] == [run_id]
    with sqlite3.connect(file) as other:
        other.execute("DROP TRIGGER full")
    store.finish_run(record, {("c", ()): 1.0}, NOON)
    assert store.counters() == {("c", ()): 1.0}
    assert store.unfinished_runs() == []


def test_the_last_record_is_the_last_that_did_something(store: Store) -> None:
    good = finished(store)
    bad = finished(store, outcome=Outcome.ERROR)
    finished(store, outcome=Outcome.SKIPPED)
    assert store.last_record("trial") == bad
    assert store.last_record("trial", Outcome.OK) == good
    assert store.last_record("other") is None


def test_the_ledger_is_newest_first_and_of_one_task_if_wanted(store: Store) -> None:
    records = [finished(store, task) for task in ("a", "b", "a")]
    assert store.ledger() == records[::-1]
    assert store.ledger("a") == [records[2], records[0]]
    assert store.ledger(limit=1) == records[2:]


def test_a_record_that_no_longer_fits_is_left_out(store: Store, file: Path) -> None:
    finished(store)
    newest = finished(store)
    with sqlite3.connect(file) as other:
        other.execute("""UPDATE runs SET record = '{"of": "another version"}' WHERE id = 1""")
    assert store.ledger() == [newest]


# What survives


def test_everything_is_there_for_the_next_process(store: Store, file: Path) -> None:
    record = finished(store, observed={"s": 1})
    store.claim_slot("t", "c", "2026-03-02", NOON)
    store.spend("k", NOON, limit=1, window_seconds=60)
    store.note_missed("t", "c", ("2026-02-27", "2026-03-02"), 2, NOON, {("m", ()): 2.0})
    before = store.counters()
    store.close()
    again = Store(file)
    assert again.ledger() == [record]
    assert again.counters() == before
    assert not again.claim_slot("t", "c", "2026-03-02", NOON)
    assert again.spent("k", NOON) == [NOON]
    assert again.points("s", NOON) == [(NOON.timestamp(), 1.0)]
    assert again.missed() == [
        {
            "task": "t",
            "cadence": "c",
            "after_slot": "2026-02-27",
            "before_slot": "2026-03-02",
            "count": 2,
            "noticed": NOON.timestamp(),
        }
    ]


def test_counters_keep_their_labels_apart(store: Store) -> None:
    one, other = ("f", (("a", "1"), ("b", '"\\\n'))), ("f", (("a", "1"), ("b", "2")))
    store.note_missed("t", "c", ("", ""), 1, NOON, {one: 1, other: 5})
    store.note_missed("t", "c", ("", ""), 1, NOON, {one: 0.5})
    assert store.counters() == {one: 1.5, other: 5}


def test_only_its_owner_may_read_it(store: Store, file: Path) -> None:
    finished(store)
    assert {stat.S_IMODE(f.stat().st_mode) for f in file.parent.iterdir()} == {0o600}


# Slots


def test_slots_are_known_and_released_by_their_order(store: Store) -> None:
    assert store.newest_slot("t", "c") is None
    for slot in ("2026-03-01", "2026-03-02", "2026-03-03"):
        assert store.claim_slot("t", "c", slot, NOON)
        assert not store.claim_slot("t", "c", slot, NOON)
    assert store.claim_slot("t", "other", "2026-03-01", NOON)
    assert store.newest_slot("t", "c") == "2026-03-03"
    assert store.slot_before("t", "c", "2026-03-03") == "2026-03-02"
    assert store.slot_before("t", "c", "2026-03-01") is None
    assert store.release_slots_after("t", "c", "2026-03-01") == 2
    assert store.claim_slot("t", "c", "2026-03-02", NOON)


# Budgets


def test_an_allowance_slides(store: Store) -> None:
    def spend(minutes: float) -> bool:
        return store.spend("k", NOON + timedelta(minutes=minutes), limit=3, window_seconds=3600)

    assert [spend(0), spend(20), spend(40), spend(50)] == [True, True, True, False]
    assert not spend(59.9)
    assert spend(60.1)
    assert not spend(70)
    assert spend(80.1)
    assert len(store.spent("k", NOON + timedelta(minutes=50))) == 2


def test_a_clock_that_is_set_back_widens_no_allowance(store: Store) -> None:
    assert store.spend("k", NOON, limit=1, window_seconds=3600)
    assert not store.spend("k", NOON - timedelta(hours=5), limit=1, window_seconds=3600)


def test_a_reset_gives_one_allowance_back(store: Store) -> None:
    for key in ("a", "b"):
        store.spend(key, NOON, limit=1, window_seconds=3600)
    store.reset("a")
    assert store.spend("a", NOON, limit=1, window_seconds=3600)
    assert not store.spend("b", NOON, limit=1, window_seconds=3600)


# Observations


def observe(store: Store, series: str, *points: tuple[float, float]) -> None:
    """Observe (minutes after noon, value)."""
    for minutes, value in points:
        finished(store, at=NOON + timedelta(minutes=minutes), observed={series: value})


def test_means_weigh_each_value_by_the_time_it_held(store: Store) -> None:
    observe(store, "up/a", (0, 1), (10, 0), (15, 1), (30, 1))
    assert store.means("up/", NOON) == {"up/a": pytest.approx(25 / 30)}


def test_time_that_nobody_observed_counts_for_nothing(store: Store) -> None:
    observe(store, "up/a", (0, 0), (10, 1), (600, 0), (610, 1))
    # Down 0-10 and 600-610; up from 10 for the longest gap, of the nine hours after that nothing is known.
    gap = LONGEST_GAP_SECONDS / 60
    assert store.means("up/", NOON) == {"up/a": pytest.approx(gap / (20 + gap))}


def test_a_span_is_divided_between_its_hours(store: Store) -> None:
    observe(store, "up/a", (55, 1), (65, 0), (70, 0))
    assert store.means("up/a", NOON) == {"up/a": pytest.approx(10 / 15)}
    assert store.means("up/a", NOON + timedelta(hours=1)) == {"up/a": pytest.approx(0.5)}


def test_means_are_of_the_series_that_start_so(store: Store) -> None:
    for series in ("up/a", "up/ä", "up/\U0001f600", "uq", "u", "up"):
        observe(store, series, (0, 1), (5, 1))
    assert set(store.means("up/", NOON)) == {"up/a", "up/ä", "up/\U0001f600"}


@given(
    st.lists(
        st.tuples(st.floats(0.1, LONGEST_GAP_SECONDS / 60), st.floats(0, 1, allow_subnormal=False)),
        min_size=2,
        max_size=12,
    )
)
@settings(max_examples=25)
def test_the_mean_is_that_of_the_step_function(steps: list[tuple[float, float]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "db")
        minutes, points, weighted = 0.0, [], 0.0
        for length, value in steps:
            points.append((minutes, value))
            minutes += length
            weighted += length * value
        observe(store, "s", *points, (minutes, 0))
        assert store.means("s", NOON)["s"] == pytest.approx(weighted / minutes, abs=1e-6)
        store.close()


def test_points_are_raw_and_in_order(store: Store) -> None:
    observe(store, "s", (5, 2), (0, 1), (5, 3))
    assert store.points("s", NOON) == [(NOON.timestamp(), 1.0), (NOON.timestamp() + 300, 3.0)]
    assert store.points("s", NOON + timedelta(minutes=1)) == [(NOON.timestamp() + 300, 3.0)]


# Upkeep


def test_what_is_past_its_time_goes_and_the_newest_of_each_stays(store: Store) -> None:
    old = NOON - timedelta(days=500)
    kept = finished(store, "rare", old)
    finished(store, "often", old, observed={"s": 1})
    finished(store, "often", old + timedelta(minutes=1), observed={"s": 1})
    newest = finished(store, "often", NOON, observed={"s": 1})
    running = store.begin_run(Request(task="endless"), old, 1)
    for slot, claimed in (("2024-01-01", old), ("2024-01-02", old), ("2026-03-02", NOON)):
        store.claim_slot("often", "c", slot, claimed)
    store.claim_slot("rare", "c", "2024-01-01", old)
    store.spend("k", old, limit=9, window_seconds=60)
    store.note_missed("often", "c", ("a", "b"), 1, old, {("m", ()): 1.0})
    counters = store.counters()

    store.prune(NOON, timedelta(days=400))

    assert store.ledger() == [newest, kept]
    assert [run[0] for run in store.unfinished_runs()] == [running]
    assert store.claim_slot("often", "c", "2024-01-01", NOON)
    assert not store.claim_slot("often", "c", "2026-03-02", NOON)
    assert not store.claim_slot("rare", "c", "2024-01-01", NOON)
    assert store.spent("k", old) == []
    assert store.missed() == []
    assert store.points("s", old) == [(NOON.timestamp(), 1.0)]
    assert store.means("s", old) == {}
    assert store.counters() == counters


def test_raw_observations_become_hours(store: Store) -> None:
    observe(store, "s", (0, 0.5), (5, 0.5))
    store.prune(NOON + timedelta(seconds=RAW_SECONDS + 600), timedelta(days=400))
    assert store.points("s", NOON) == []
    assert store.means("s", NOON) == {"s": 0.5}


def test_of_older_records_only_what_people_ask_for_is_kept(store: Store) -> None:
    for number in range(WHOLE_RECORDS + 2):
        finished(store, at=NOON + timedelta(minutes=number), observed={"s": 1.0})
    rare = finished(store, task="rare", observed={"r": 1.0})

    store.prune(NOON + timedelta(hours=1), timedelta(days=90))

    ledger = store.ledger("trial", 1000)
    assert len(ledger) == WHOLE_RECORDS + 2
    whole = [bool(record.result and record.result.observations) for record in ledger]
    assert whole == [True] * WHOLE_RECORDS + [False] * 2
    assert all(record.result and record.result.status == "GOOD" for record in ledger)
    assert store.ledger("rare") == [rare]


# A store that cannot be used


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_format_is_refused(store: Store, file: Path, read_only: bool) -> None:
    store.close()
    with sqlite3.connect(file) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=r"sutazai\.db.* newer version \(format 99\); upgrade the exporter"):
        Store(file, read_only=read_only)


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 4096, b"\0" * 5000])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_corrupt_file_is_one_clear_line_and_stays_as_it_is(file: Path, content: bytes, read_only: bool) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(StoreError) as refused:
        Store(file, read_only=read_only).counters()
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert file.read_bytes() == content


def test_a_page_that_is_corrupted_later_is_one_clear_line(store: Store, file: Path) -> None:
    for _ in range(50):
        finished(store)
    store.close()
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    file.write_bytes(content)
    with pytest.raises(StoreError, match=r"sutazai\.db: the store cannot be used: database disk image is malformed"):
        Store(file).ledger()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/data/sutazai\.db: the store cannot be used: Not a directory"):
        Store(tmp_path / "file" / "data" / "sutazai.db")


def test_a_store_that_is_kept_busy_is_an_error_in_time(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.store.schema.BUSY_SECONDS", 0.1)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    impatient = Store(file)
    with pytest.raises(StoreError, match="database is locked"):
        impatient.claim_slot("t", "c", "s", NOON)
    other.execute("ROLLBACK")
    assert impatient.claim_slot("t", "c", "s", NOON)


# Reading only


def test_reading_only_writes_nothing_at_all(store: Store, file: Path) -> None:
    record = finished(store)
    store.close()
    before = tree_digest(file.parent)
    reader = Store(file, read_only=True)
    assert reader.ledger() == [record]
    reader.close()
    assert tree_digest(file.parent) == before


def test_reading_only_beside_a_writer_sees_what_it_wrote(store: Store, file: Path) -> None:
    reader = Store(file, read_only=True)
    record = finished(store)
    assert reader.ledger() == [record]


def test_reading_what_is_not_there_is_empty_and_makes_nothing(file: Path) -> None:
    reader = Store(file, read_only=True)
    assert reader.ledger() == []
    assert reader.counters() == {}
    assert not file.parent.exists()


def test_a_store_that_is_just_being_made_reads_as_empty(file: Path) -> None:
    file.parent.mkdir()
    file.touch()
    assert Store(file, read_only=True).ledger() == []


def test_a_reader_cannot_write(store: Store, file: Path) -> None:
    with pytest.raises(StoreError, match="readonly"):
        Store(file, read_only=True).claim_slot("t", "c", "s", NOON)
