"""Where alerts are taken in: who waits for them is told, a store that fails is shown, and refusals are counted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from exporter.app import open_store
from exporter.bridge.incoming.inbox import STALE_HOURS, Taken
from exporter.bridge.incoming.reception import REASONS, Reception
from exporter.bridge.model import Alert, AlertStatus
from exporter.daemon import Daemon
from exporter.store import Store, StoreError
from tests.services.clocks import FakeClock
from tests.services.trial_jobs import configuration_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.db")


@pytest.fixture
def notes() -> list[bool]:
    """What the daemon was told of its store."""
    return []


@pytest.fixture
def reception(store: Store, fake_clock: FakeClock, notes: list[bool]) -> Reception:
    def note(worked: bool) -> bool:
        notes.append(worked)
        return notes[-2:-1] != [worked]

    return Reception(store, fake_clock, note)


def alert(clock: FakeClock, fingerprint: str = "ab12", status: AlertStatus = AlertStatus.FIRING) -> Alert:
    labels = {"alertname": "AgentDown"}
    return Alert(fingerprint=fingerprint, status=status, starts_at=clock.now(), labels=labels)


@contextmanager
def out_of_order(store: Store) -> Iterator[None]:
    with store.transaction() as db:
        db.execute("ALTER TABLE alerts RENAME TO gone")
    yield
    with store.transaction() as db:
        db.execute("ALTER TABLE gone RENAME TO alerts")


def test_who_waits_hears_of_news_and_of_nothing_else(reception: Reception, fake_clock: FakeClock) -> None:
    one = alert(fake_clock)
    assert not reception.came.is_set()
    assert reception.take([one]) == Taken(accepted=1, duplicates=0)
    assert reception.came.is_set()
    reception.came.clear()
    assert reception.take([one]) == Taken(accepted=0, duplicates=1)
    assert not reception.came.is_set()
    reception.take([alert(fake_clock, status=AlertStatus.RESOLVED)])
    assert reception.came.is_set()


def test_a_store_that_fails_is_noted_and_said_once(
    reception: Reception, store: Store, fake_clock: FakeClock, notes: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    with out_of_order(store):
        for _ in range(3):
            with pytest.raises(StoreError):
                reception.take([alert(fake_clock)])
        assert notes == [False] * 3
        assert len(caplog.records) == 1
        assert not reception.came.is_set()
    assert reception.take([alert(fake_clock)]) == Taken(accepted=1, duplicates=0)
    assert notes[-1] is True


def test_what_came_last_is_told_with_where_it_stands(reception: Reception, fake_clock: FakeClock) -> None:
    reception.take([alert(fake_clock, "01"), alert(fake_clock, "02"), alert(fake_clock, "02", AlertStatus.RESOLVED)])
    fake_clock.advance(STALE_HOURS * 3600 + 1)
    assert [(told["fingerprint"], told["status"], told["state"]) for told in reception.recent(9)] == [
        ("02", "resolved", "ended"),
        ("02", "firing", "ended"),
        ("01", "firing", "stale"),
    ]
    assert [told["fingerprint"] for told in reception.recent(1)] == ["02"]
    assert reception.recent(1)[0]["received"] == "2026-03-02T12:00:00+00:00"


def test_pruning_goes_by_the_clock(reception: Reception, fake_clock: FakeClock) -> None:
    reception.take([alert(fake_clock, status=AlertStatus.RESOLVED)])
    fake_clock.advance(86_400)
    reception.prune(timedelta(days=1))
    assert len(reception.recent(9)) == 1
    fake_clock.advance(1)
    reception.prune(timedelta(days=1))
    assert reception.recent(9) == []


def test_refusals_of_many_threads_are_all_counted(reception: Reception) -> None:
    def refuse() -> None:
        for _ in range(1000):
            reception.refusals.count("overload")

    threads = [threading.Thread(target=refuse) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reception.refusals.series() == [
        ({"reason": reason}, 8000.0 if reason == "overload" else 0.0) for reason in REASONS
    ]


def test_the_daemon_prunes_alerts_with_its_ledger(tmp_path: Path, fake_clock: FakeClock) -> None:
    configuration = configuration_of(tmp_path / "base", {"runs": {"ledger_retention_days": 1}})
    daemon = Daemon(configuration, open_store(configuration), fake_clock, lambda: configuration)
    daemon.reception.take([alert(fake_clock, status=AlertStatus.RESOLVED)])
    daemon.housekeeping.prune(daemon.configuration.settings)
    assert len(daemon.reception.recent(9)) == 1
    fake_clock.advance(86_401)
    # The clock has jumped, as far as the daemon knows: nothing goes at once.
    daemon.housekeeping.prune(daemon.configuration.settings)
    daemon.housekeeping.prune(daemon.configuration.settings)
    assert daemon.reception.recent(9) == []
