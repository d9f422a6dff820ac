"""The daemon's look at the outbox: it costs next to nothing while nothing changes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from exporter.bridge.outgoing.upkeep import Upkeep
from exporter.exposition import Exposition
from exporter.metrics import catalogue
from exporter.store import Store
from tests.services.clocks import FakeClock
from tests.services.metrics import Metrics
from tests.services.news import WEBHOOK, History, finding, settings_of


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def exposition() -> Exposition:
    return Exposition(catalogue())


@pytest.fixture
def upkeep(history: History, clock: FakeClock, exposition: Exposition) -> Upkeep:
    upkeep = Upkeep(history.store, exposition, clock)
    upkeep.look(history.settings)
    return upkeep


def shown(exposition: Exposition) -> Metrics:
    return Metrics(exposition.text.plain.decode())


def test_nothing_is_asked_twice_while_nothing_changes(history: History, upkeep: Upkeep) -> None:
    statements: list[str] = []
    assert upkeep.look(history.settings) is False
    with history.store.reading() as db:
        db.set_trace_callback(statements.append)
    assert upkeep.look(history.settings) is False
    assert statements == ["PRAGMA data_version"]


def test_a_change_of_this_process_is_shown(history: History, upkeep: Upkeep, exposition: Exposition) -> None:
    history.run(finding())
    assert upkeep.look(history.settings) is True
    assert shown(exposition).value("sutazai_problems", task="health-check", severity="high") == 1
    assert shown(exposition).value("sutazai_notifications_pending", channel="webhook") == 1
    history.run()
    upkeep.look(history.settings)
    assert shown(exposition).samples("sutazai_problems") == []


def test_a_change_of_another_process_is_shown(history: History, upkeep: Upkeep, exposition: Exposition) -> None:
    other = Store(history.store.file)
    with other.transaction() as db:
        db.execute("UPDATE channels SET failures = 1")
        db.execute("INSERT INTO channels (name, failures, last_attempt) VALUES ('webhook', 2, 1)")
    assert upkeep.look(history.settings) is True
    assert shown(exposition).value("sutazai_notification_channel_up", channel="webhook") == 0


def test_what_time_alone_changes_is_shown_within_a_minute(
    history: History, upkeep: Upkeep, clock: FakeClock, exposition: Exposition
) -> None:
    history.settings = settings_of({**WEBHOOK, "quiet_hours": ["12:00-12:30"]})
    history.run(finding())
    upkeep.look(history.settings)
    assert shown(exposition).samples("sutazai_notification_oldest_timestamp_seconds") == []
    clock.advance(1860)
    assert upkeep.look(history.settings) is True
    oldest = shown(exposition).value("sutazai_notification_oldest_timestamp_seconds", channel="webhook")
    assert oldest == history.at.timestamp() + 1800


def test_what_waits_for_another_attempt_is_late(history: History, upkeep: Upkeep, exposition: Exposition) -> None:
    history.run(finding())
    (entry,) = history.outbox.due(history.at, 1)
    history.outbox.failed(entry, history.at, "no", False, history.settings)
    upkeep.look(history.settings)
    oldest = shown(exposition).value("sutazai_notification_oldest_timestamp_seconds", channel="webhook")
    assert oldest == history.at.timestamp()


def test_reminders_are_written_while_the_daemon_runs(history: History, upkeep: Upkeep, clock: FakeClock) -> None:
    history.run(finding())
    for _ in range(25 * 60):
        clock.advance(60)
        history.at = clock.now()
        history.deliver()
        upkeep.look(history.settings)
    assert len(history.outbox.entries("sent", 9)) == 2


def test_what_waits_for_a_channel_that_was_taken_out_is_withdrawn(history: History, upkeep: Upkeep) -> None:
    history.run(finding())
    upkeep.look(settings_of({}))
    assert history.states() == ["withdrawn"]


def test_an_error_of_the_store_is_told(history: History, upkeep: Upkeep) -> None:
    with sqlite3.connect(history.store.file) as other:
        other.execute("DROP TABLE channels")
    with pytest.raises(Exception, match="no such table: channels"):
        upkeep.look(history.settings)
