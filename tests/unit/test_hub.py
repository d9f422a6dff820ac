"""Listeners: what waits for a slow one is little, and what nobody hears is not even made."""

from __future__ import annotations

import asyncio

import pytest

from exporter.daemon.hub import MAX_WAITING, Hub, Listener


def test_what_nobody_hears_is_not_made() -> None:
    Hub().tell("status", "", lambda: pytest.fail("it was made"))


def test_of_one_key_the_newest_is_heard_and_a_document_is_made_once_for_all() -> None:
    async def hear() -> None:
        hub, listeners, made = Hub(), [Listener(), Listener()], []
        for listener in listeners:
            assert hub.join(listener, 2)
        assert not hub.join(Listener(), 2)

        def make(value: int) -> int:
            made.append(value)
            return value

        for value in (1, 2, 3):
            hub.tell("progress", "a", lambda value=value: make(value))  # type: ignore[misc]
        hub.tell("run", "1", lambda: make(4))
        for listener in listeners:
            assert await listener.wait(5) == [("progress", "3"), ("run", "4")]
            assert await listener.wait(0) == []
        assert made == [1, 2, 3, 4]

    asyncio.run(hear())


def test_a_listener_for_whom_too_much_waits_is_let_go() -> None:
    async def hear() -> None:
        hub, slow = Hub(), Listener()
        hub.join(slow, 1)
        for number in range(MAX_WAITING):
            hub.tell("run", str(number), lambda: {})
        assert not slow.is_over
        hub.tell("run", "one more", lambda: {})
        assert slow.is_over

    asyncio.run(hear())


def test_when_all_ends_everybody_is_let_go_and_nobody_joins() -> None:
    async def hear() -> None:
        hub, listener = Hub(), Listener()
        hub.join(listener, 2)
        waiting = asyncio.create_task(listener.wait(60))
        await asyncio.sleep(0)
        await asyncio.to_thread(hub.close)
        assert await waiting == []
        assert listener.is_over
        assert not hub.join(Listener(), 2)

    asyncio.run(hear())


def test_a_listener_whose_loop_has_ended_hurts_nobody() -> None:
    hub = Hub()

    async def join() -> Listener:
        listener = Listener()
        hub.join(listener, 1)
        return listener

    gone = asyncio.run(join())
    hub.tell("status", "", dict)
    assert gone.is_over
