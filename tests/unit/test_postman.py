"""When the postman sends a courier, and when it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.bridge.outgoing import announcing, postman
from exporter.bridge.outgoing.outbox import post
from exporter.bridge.outgoing.postman import CourierError, Postman
from exporter.store import Store, StoreError
from tests.services.clocks import FakeClock
from tests.services.messages import configured, message, problem
from tests.services.wait import wait_for


class CountingClock(FakeClock):
    """A clock that counts who asks it: the postman does at each look."""

    looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        return super().monotonic()


class Round:
    """A postman on its round, whose couriers only count; `outcome` is what each brings back."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch, **sections: Any) -> None:
        self.configuration = configured(directory, sections)
        self.store = Store(directory / "base" / "data" / "sutazai.db")
        self.clock = CountingClock()
        self.sent = 0
        self.outcome: Callable[[], int] = lambda: 1
        patch.setattr(postman, "send_courier", self._courier)
        patch.setattr(postman, "LOOK_SECONDS", 0.005)
        self.postman = Postman(lambda: self.configuration, self.store, self.clock)
        self.postman.start()

    def _courier(self, *_: object) -> int:
        self.sent += 1
        return self.outcome()

    def write(self) -> None:
        with self.store.transaction() as db:
            post(db, message(at=self.clock.now()), self.configuration.settings, self.clock.now())

    def looks(self, count: int = 20) -> int:
        """Wait for so many looks and say how many couriers there were."""
        before = self.clock.looks
        wait_for(lambda: self.clock.looks >= before + count, 60, f"{count} looks")
        return self.sent


@pytest.fixture
def rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Round]]:
    made: list[Round] = []

    def make(**sections: Any) -> Round:
        made.append(Round(tmp_path, monkeypatch, **sections))
        return made[-1]

    yield make
    for one in made:
        one.postman.stop()


HOOK = {"webhook": {"url": "http://127.0.0.1:1/"}}


def test_no_courier_goes_where_nothing_is_due(rounds: Callable[..., Round]) -> None:
    assert rounds(notifications=HOOK).looks() == 0


def test_a_courier_goes_as_soon_as_something_is_due(rounds: Callable[..., Round]) -> None:
    one = rounds(notifications=HOOK)
    one.write()
    wait_for(lambda: one.sent, 30, "a courier goes")


def crash() -> int:
    raise CourierError("it fell off its bicycle")


def no_store() -> int:
    raise StoreError("the store cannot be used")


def bug() -> int:
    raise ZeroDivisionError


@pytest.mark.parametrize("outcome", [crash, no_store, bug, lambda: 0])
def test_after_a_courier_that_did_nothing_there_is_a_pause_and_then_another(
    rounds: Callable[..., Round], outcome: Callable[[], int]
) -> None:
    one = rounds(notifications=HOOK)
    one.outcome = outcome
    one.write()
    wait_for(lambda: one.sent, 30, "a courier goes")
    assert one.looks() == 1
    one.clock.advance(postman.PAUSE_SECONDS + 1)
    wait_for(lambda: one.sent == 2, 30, "another goes")
    assert one.looks() == 2


def test_alertmanager_is_told_once_a_minute_of_what_stands(rounds: Callable[..., Round]) -> None:
    one = rounds(alertmanager={"url": "http://127.0.0.1:1"})
    assert one.looks() == 0
    with one.store.transaction() as db:
        announcing.raise_problem(db, problem(task="remediation"), one.configuration.settings, one.clock.now())
        db.execute("UPDATE outbox SET state = 'sent'")
    wait_for(lambda: one.sent == 1, 30, "it is told")
    assert one.looks() == 1
    one.clock.advance(61)
    wait_for(lambda: one.sent == 2, 30, "it is told anew")
    assert one.looks() == 2
