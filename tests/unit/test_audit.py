"""The audit log: whatever is done to it shows."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from exporter.bridge.remediation import audit
from exporter.bridge.remediation.audit import Link
from exporter.store import Store
from tests.services.remedial import alert

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ENTRIES = 12


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose log has twelve entries."""
    file = tmp_path_factory.mktemp("audit") / "whole.db"
    store = Store(file)
    fill(store, ENTRIES)
    store.close()
    return file


def fill(store: Store, count: int) -> list[Link]:
    links = []
    for number in range(count):
        with audit.recorded(store) as book:
            book.note(NOON, "daemon", "begun", "running", detail=f"no. {number}", alert=alert(), remediation=number)
            links += book.links
    return links


@contextmanager
def tampered(written: Path, name: str, *statements: tuple[str, tuple[object, ...]]) -> Iterator[Store]:
    """A copy of the store to which somebody did this behind its back."""
    file = written.with_name(f"{name}.db")
    shutil.copy(written, file)
    with closing(sqlite3.connect(file)) as connection:
        for sql, values in statements:
            connection.execute(sql, values)
        connection.commit()
    store = Store(file)
    yield store
    store.close()


numbers = st.integers(1, ENTRIES)
examples = hypothesis_settings(max_examples=40, suppress_health_check=list(HealthCheck))


def test_a_log_that_nobody_touched_is_whole(written: Path) -> None:
    with tampered(written, "untouched") as store:
        verdict = audit.verify(store)
    assert (verdict.entries, verdict.fault) == (ENTRIES, "")


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    assert audit.verify(Store(tmp_path / "x.db")) == audit.Verdict(0, None)


@examples
@given(numbers, st.sampled_from(["entry", "previous", "hash"]), st.data())
def test_any_change_of_any_character_is_found(written: Path, number: int, column: str, data: st.DataObject) -> None:
    with tampered(written, "read") as store:
        text = store.rows(f"SELECT {column} FROM audit WHERE sequence = ?", number)[0][0]
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda found: found != text[place] and found != "\0"))
    changed = text[:place] + other + text[place + 1 :]
    with tampered(written, "c", (f"UPDATE audit SET {column} = ? WHERE sequence = ?", (changed, number))) as store:
        verdict = audit.verify(store)
    assert verdict.fault.startswith(f"entry {number}: ")
    assert verdict.entries == number - 1


@examples
@given(numbers)
def test_any_removal_is_found(written: Path, number: int) -> None:
    with tampered(written, "r", ("DELETE FROM audit WHERE sequence = ?", (number,))) as store:
        assert audit.verify(store).fault.startswith(f"entry {number}: {'cut off' if number == ENTRIES else 'removed'}")


@examples
@given(numbers, numbers, st.booleans())
def test_any_swap_is_found(written: Path, one: int, other: int, whole_rows: bool) -> None:
    if one == other:
        return
    if whole_rows:  # each keeps its hashes, and takes the other's number
        swaps = [(0, one), (one, other), (other, 0)]
        statements = [("UPDATE audit SET sequence = ? WHERE sequence = ?", pair) for pair in swaps]
    else:  # only what they say
        sql = "UPDATE audit SET entry = (SELECT entry FROM audit AS old WHERE old.sequence = ?) WHERE sequence = ?"
        with tampered(written, "read") as store:
            ((text,),) = store.rows("SELECT entry FROM audit WHERE sequence = ?", one)
        statements = [(sql, (other, one)), ("UPDATE audit SET entry = ? WHERE sequence = ?", (text, other))]
    with tampered(written, "s", *statements) as store:
        assert audit.verify(store).fault.startswith(f"entry {min(one, other)}: ")


def test_entries_that_do_not_hang_together_are_found_though_each_fits_itself(written: Path) -> None:
    other = Store(written.with_name("other.db"))
    with audit.recorded(other) as book:
        book.note(NOON, "daemon", "begun", "running", detail="another first entry")
    ((text, previous, found),) = other.rows("SELECT entry, previous, hash FROM audit")
    sql = "UPDATE audit SET entry = ?, previous = ?, hash = ? WHERE sequence = 1"
    with tampered(written, "exchanged", (sql, (text, previous, found))) as store:
        assert audit.verify(store).fault.startswith("entry 2: does not follow the one before it")


def test_what_is_cut_off_and_written_over_is_found(written: Path) -> None:
    with tampered(written, "cut", ("DELETE FROM audit WHERE sequence > 8", ())) as store:
        fill(store, 1)
        assert audit.verify(store).fault == "entry 9: removed; the next one that is there is 13"


def test_an_anchor_finds_what_was_cut_off_with_all_its_traces(written: Path, tmp_path: Path) -> None:
    with tampered(written, "same") as store:
        last = audit.verify(store).last
    cut = ("DELETE FROM audit WHERE sequence > 8", ())
    forgotten = ("UPDATE sqlite_sequence SET seq = 8 WHERE name = 'audit'", ())
    with tampered(written, "forgotten", cut, forgotten) as store:
        assert audit.verify(store).fault == ""
        assert audit.verify(store, last).fault.startswith("entry 12: cut off at the end")


def test_an_anchor_finds_a_log_that_was_written_anew(written: Path, tmp_path: Path) -> None:
    with tampered(written, "same") as store:
        last = audit.verify(store).last
        assert audit.verify(store, last).fault == ""
    anew = Store(tmp_path / "anew.db")
    for number in range(ENTRIES + 3):
        with audit.recorded(anew) as book:
            book.note(NOON, "daemon", "begun", "running", detail=f"no. {number}")
    assert audit.verify(anew).fault == ""
    assert audit.verify(anew, last).fault.startswith("entry 12: another one than the anchor names")


def test_entries_that_come_while_the_log_is_read_are_no_fault(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tampered(written, "growing") as store:
        read = store.rows

        def rows(sql: str, *values: object) -> list[object]:
            found = read(sql, *values)
            if not grown:
                grown.extend(fill(store, 3))
            return found

        grown: list[Link] = []
        monkeypatch.setattr(store, "rows", rows)
        assert audit.verify(store).fault == ""


def test_a_decision_that_was_not_committed_leaves_no_entry_and_no_gap(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")
    fill(store, 2)
    with pytest.raises(ZeroDivisionError), audit.recorded(store) as book:
        book.note(NOON, "daemon", "begun", "running")
        raise ZeroDivisionError
    fill(store, 1)
    verdict = audit.verify(store)
    assert (verdict.entries, verdict.fault) == (3, "")


def test_each_entry_is_logged_once_it_is_durable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    (link,) = fill(Store(tmp_path / "x.db"), 1)
    told = [(record.sequence, record.hash) for record in caplog.records]  # type: ignore[attr-defined]
    assert told == [(link.sequence, link.hash)]


def test_hostile_texts_are_kept_and_told_harmlessly(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")
    with audit.recorded(store) as book:
        book.note(NOON, "daemon", "x", "y", detail='\x1b[2J "},\ud800 \n', alert=alert("\x1b]0;x\x07\ud800"))
    assert audit.verify(store).fault == ""
    (entry,) = audit.entries(store, 10)
    assert "\x1b" not in entry["detail"]


def test_entries_that_were_tampered_with_can_still_be_listed(written: Path) -> None:
    with tampered(written, "broken", ("UPDATE audit SET entry = x'ff00' WHERE sequence = 3", ())) as store:
        listed = audit.entries(store, 100)
        assert audit.verify(store).fault.startswith("entry 3: ")
    assert [entry["sequence"] for entry in listed] == list(range(ENTRIES, 0, -1))
