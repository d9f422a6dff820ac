"""What many ask for at once is made once for all of them, and by few threads."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from exporter.web.api import readers
from exporter.web.api.readers import FRESH_SECONDS, MAX_AT_ONCE, PACE_SECONDS, Kept, Readers, Shared

HANG_SECONDS = 30


def test_a_document_is_made_once_for_all_who_wait_and_begun_after_they_asked() -> None:
    made: list[int] = []
    began, go = threading.Event(), threading.Event()

    def make() -> int:
        made.append(len(made) + 1)
        number = made[-1]
        began.set()
        go.wait(HANG_SECONDS)
        return number

    async def ask() -> list[int]:
        shared = Shared(make)
        first = asyncio.create_task(shared.get())
        await asyncio.to_thread(began.wait, HANG_SECONDS)
        late = [asyncio.create_task(shared.get()) for _ in range(50)]
        await asyncio.sleep(0)
        go.set()
        return [await first, *await asyncio.gather(*late)]

    assert asyncio.run(ask()) == [1, *[2] * 50]


def test_what_fails_fails_for_all_and_is_tried_again() -> None:
    outcomes = [ValueError("no"), None]

    def make() -> str:
        if error := outcomes.pop(0):
            raise error
        return "made"

    async def ask() -> str:
        shared = Shared(make)
        failed = await asyncio.gather(*[shared.get() for _ in range(3)], return_exceptions=True)
        assert [str(error) for error in failed] == ["no"] * 3
        return str(await shared.get())

    assert asyncio.run(ask()) == "made"


def test_one_that_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "PATIENCE_SECONDS", 0.05)
    thaw, began = threading.Event(), threading.Event()
    makes = [lambda: began.set() or thaw.wait(HANG_SECONDS), lambda: "made"]

    async def ask() -> None:
        shared = Shared(lambda: makes.pop(0)())
        stuck = asyncio.create_task(shared.get())
        await asyncio.to_thread(began.wait, HANG_SECONDS)
        try:
            assert await asyncio.wait_for(shared.get(), HANG_SECONDS) == "made"
        finally:
            thaw.set()
        await stuck

    asyncio.run(ask())


def test_few_are_made_at_once() -> None:
    lock, now, most = threading.Lock(), 0, 0
    full = threading.Event()

    def make() -> None:
        nonlocal now, most
        with lock:
            now, most = now + 1, max(most, now + 1)
            if now == MAX_AT_ONCE:
                full.set()
        full.wait(HANG_SECONDS)
        with lock:
            now -= 1

    async def ask() -> None:
        threads = Readers()
        await asyncio.gather(*[threads.make(make) for _ in range(30)])

    asyncio.run(ask())
    assert most == MAX_AT_ONCE


def test_a_document_is_kept_until_something_changes_or_a_second_has_passed() -> None:
    mark, now, made = [0], [100.0], []
    kept = Kept(lambda: made.append(len(made)) or len(made), lambda: mark[0], lambda: now[0])
    assert [kept.get(), kept.get()] == [1, 1]
    mark[0] = 1
    assert [kept.get(), kept.get()] == [2, 2]
    now[0] += FRESH_SECONDS * 0.99
    assert kept.get() == 2
    now[0] += FRESH_SECONDS * 0.01
    assert kept.get() == 3


def test_what_changes_while_a_document_is_made_is_in_the_next() -> None:
    mark = [0]

    def make() -> int:
        mark[0] += 1
        return mark[0]

    kept = Kept(make, lambda: mark[0])
    assert [kept.get(), kept.get()] == [1, 2]


def test_who_asks_without_a_pause_has_a_document_begun_no_more_often_than_its_pace() -> None:
    made: list[float] = []

    async def ask() -> None:
        shared = Shared(lambda: made.append(time.monotonic()))
        for _ in range(3):
            await shared.get()

    began = time.monotonic()
    asyncio.run(ask())
    # A busy machine may begin one late, and the next is none the later for it: all together take their time.
    assert len(made) == 3
    assert made[-1] - began > 2 * PACE_SECONDS * 0.9
