"""Whoever asks for a run hears how it ended, also where an equal one waits already."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.clock import SystemClock
from exporter.record import Record
from exporter.runs.dispatcher import Dispatcher
from exporter.runs.runner import Runner
from exporter.runs.tickets import Asker
from exporter.store import Store
from jobs.core.model import Outcome, Request, Trigger
from tests.services.trial_jobs import TASK, TrialPackage, configuration_of, work
from tests.services.wait import wait_for


class Desk:
    """A dispatcher whose runs wait for the file `go`, and what was heard."""

    def __init__(self, directory: Path) -> None:
        self.go = directory / "go"
        code = f"while not Path({str(self.go)!r}).exists(): time.sleep(0.01)"
        self.store = Store(directory / "store.db")
        runner = Runner(configuration_of(directory / "base", work(code)), self.store, SystemClock())
        self.heard: list[tuple[str, Record | None]] = []
        self._lock = threading.Lock()
        self.dispatcher = Dispatcher(
            runner,
            SystemClock(),
            4,
            on_running=lambda task, progress: None,
            on_record=lambda record, entered: None,
            on_store_failure=lambda: None,
        )

    def ask(self, who: str, target: str = "", trigger: Trigger = Trigger.ALERT) -> None:
        request = Request(task=TASK, target=target, trigger=trigger)
        self.dispatcher.submit(request, Asker(lambda record: self.hear(who, record)))

    def hear(self, who: str, record: Record | None) -> None:
        with self._lock:
            self.heard.append((who, record))

    def wait_begun(self, count: int) -> None:
        wait_for(lambda: len(self.store.unfinished_runs()) == count, 60, f"{count} runs have begun")

    def wait_heard(self, count: int) -> dict[str, Record | None]:
        wait_for(lambda: len(self.heard) >= count, 60, f"{count} were told")
        return dict(self.heard)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with TrialPackage(tmp_path / "package").in_process():
        made = Desk(tmp_path)
        yield made
        made.dispatcher.stop()
        made.store.close()


def test_who_asks_gets_the_record_of_the_run(desk: Desk) -> None:
    desk.go.touch()
    desk.ask("one")
    record = desk.wait_heard(1)["one"]
    assert record is not None
    assert (record.outcome, record.request.task) == (Outcome.OK, TASK)


@pytest.mark.parametrize("trigger", [Trigger.ALERT, Trigger.EVENT])
def test_who_asks_for_what_waits_already_gets_the_record_of_that(desk: Desk, trigger: Trigger) -> None:
    desk.ask("running")
    desk.wait_begun(1)
    for who in ("waiting", "the same", "once more"):
        desk.ask(who, trigger=trigger)
    desk.go.touch()
    heard = desk.wait_heard(4)
    records = [heard[who] for who in ("waiting", "the same", "once more")]
    assert all(record == records[0] for record in records)
    assert records[0] is not None
    assert heard["running"] is not None
    assert records[0].outcome is Outcome.OK
    assert records[0].started >= heard["running"].finished


def test_runs_of_other_targets_tell_their_own(desk: Desk) -> None:
    desk.ask("a", target="a")
    desk.ask("b", target="b")
    desk.wait_begun(2)
    desk.go.touch()
    heard = desk.wait_heard(2)
    assert {who: record and record.request.target for who, record in heard.items()} == {"a": "a", "b": "b"}


def test_who_asked_hears_of_a_run_that_could_not_be_entered(desk: Desk) -> None:
    desk.store.close()
    desk.store.file.unlink()
    desk.store.file.mkdir()
    desk.ask("one")
    assert desk.wait_heard(1) == {"one": None}
    desk.store.file.rmdir()


def test_stopping_with_runs_that_wait_does_not_hang(desk: Desk) -> None:
    desk.ask("running")
    desk.wait_begun(1)
    for number in range(8):
        desk.ask("waiting", target="" if number % 2 else f"t{number}")
    desk.dispatcher.stop()
    assert dict(desk.heard)["running"] is not None


def test_a_stop_takes_back_what_a_run_has_asked_for_to_come_later(tmp_path: Path) -> None:
    config = work("result = Result(status='OK', run_again_seconds=3600)")
    store = Store(tmp_path / "store.db")
    with TrialPackage(tmp_path / "package").in_process():
        ended: list[Record] = []
        dispatcher = Dispatcher(
            Runner(configuration_of(tmp_path / "base", config), store, SystemClock()),
            SystemClock(),
            2,
            on_running=lambda task, progress: None,
            on_record=lambda record, entered: ended.append(record),
            on_store_failure=lambda: None,
        )
        dispatcher.submit(Request(task=TASK))
        wait_for(lambda: ended, 60, "the run is over")
        assert dispatcher.stop_task(TASK, "token:op", target="another") == []
        (stopped,) = dispatcher.stop_task(TASK, "token:op")
        assert stopped.trigger is Trigger.FOLLOW_UP
        assert (ended[-1].outcome, ended[-1].error) == (Outcome.STOPPED, "stopped by token:op before it began")
        assert dispatcher.stop_task(TASK, "token:op") == [], "nothing is left to stop"
        dispatcher.stop()
    store.close()


# Slots of the schedule, which are claimed as the run begins


class Slot:
    """A slot that is `free` or not, and how often it was claimed."""

    def __init__(self, *, free: bool) -> None:
        self.free = free
        self.request = Request(task=TASK, trigger=Trigger.SCHEDULE, reason="daily at 06:00, slot 2026-03-02")
        self.claims = 0

    def claim(self) -> Request | None:
        self.claims += 1
        return self.request if self.free else None


def ask_for(desk: Desk, slot: Slot) -> None:
    desk.dispatcher.submit(slot.request, Asker(lambda record: desk.hear("schedule", record), claim=slot.claim))


def ran(desk: Desk) -> list[tuple[Trigger, Outcome]]:
    return [(record.request.trigger, record.outcome) for record in desk.store.ledger()]


def test_a_slot_is_claimed_as_its_run_begins_and_not_while_it_waits(desk: Desk) -> None:
    slot = Slot(free=True)
    desk.ask("running")
    desk.wait_begun(1)
    ask_for(desk, slot)
    assert slot.claims == 0
    desk.go.touch()
    record = desk.wait_heard(2)["schedule"]
    assert record is not None
    assert (record.request, slot.claims) == (slot.request.model_copy(update={"mode": "full"}), 1)


@pytest.mark.parametrize("asked", [False, True])
def test_a_slot_that_others_did_is_not_done_again_unless_somebody_asked_as_well(desk: Desk, asked: bool) -> None:
    slot = Slot(free=False)
    desk.ask("running")
    desk.wait_begun(1)
    ask_for(desk, slot)
    if asked:
        desk.ask("somebody", trigger=Trigger.EVENT)
    desk.go.touch()
    heard = desk.wait_heard(2 + asked)
    assert slot.claims == 1
    assert (heard["schedule"] is not None) is asked
    assert [outcome for _, outcome in ran(desk)] == [Outcome.OK] * (1 + asked)


def test_a_slot_whose_run_waits_already_is_claimed_with_that(desk: Desk) -> None:
    slot = Slot(free=True)
    desk.ask("running")
    desk.wait_begun(1)
    desk.ask("somebody")
    ask_for(desk, slot)
    desk.go.touch()
    desk.wait_heard(3)
    assert slot.claims == 1
    wait_for(lambda: len(ran(desk)) == 3, 20, "what adds nothing is entered as well")
    assert sorted(ran(desk)) == sorted([(Trigger.ALERT, Outcome.OK)] * 2 + [(Trigger.SCHEDULE, Outcome.SKIPPED)])


def test_a_slot_whose_run_somebody_stops_before_it_begins_is_done_with(desk: Desk) -> None:
    slot = Slot(free=True)
    desk.ask("running")
    desk.wait_begun(1)
    ask_for(desk, slot)
    desk.dispatcher.stop_task(TASK, "token:op")
    record = desk.wait_heard(2)["schedule"]
    assert record is not None
    assert (record.outcome, slot.claims) == (Outcome.STOPPED, 1)
