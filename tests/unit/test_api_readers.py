"""What many ask for at once is made once for all of them, and by few threads."""

from __future__ import annotations

import asyncio
import threading

import pytest

from exporter.web.api import readers
from exporter.web.api.readers import MAX_AT_ONCE, Readers, Shared

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
