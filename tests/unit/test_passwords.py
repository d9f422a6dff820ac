"""What a guess costs, what is remembered, and how many may wait. bcrypts are counted instead of timed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping

import bcrypt
import pytest

from exporter.web.access import passwords
from exporter.web.access.lockout import FREE, Lockout
from exporter.web.access.passwords import MAX_WAITING, MAX_WAITING_OF_ONE_CLIENT, MAX_WRONG, Passwords, TooMany

ADDRESS = "192.0.2.1"
USERS = {b"alice": bcrypt.hashpw(b"right", bcrypt.gensalt(5)), b"bob": bcrypt.hashpw(b"other", bcrypt.gensalt(4))}


class Counted:
    """The real comparison, with the cost of each one written down; it waits while `open` is not set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.costs: list[int] = []
        self.together = self.most = 0
        self.open = threading.Event()
        self.open.set()
        self._fits = passwords._fits
        monkeypatch.setattr(passwords, "_fits", self.fits)

    def fits(self, password: bytes, hashed: bytes) -> bool:
        self.costs.append(int(hashed[4:6]))
        self.together += 1
        self.most = max(self.most, self.together)
        self.open.wait(30)
        self.together -= 1
        return self._fits(password, hashed)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


Ask = Callable[..., Awaitable[bool]]


def asking(
    work: Callable[[Ask], Awaitable[None]], lockout: Lockout | None = None, users: Mapping[bytes, bytes] = USERS
) -> None:
    """Run `work` with a function that asks for a name, a password and an address."""

    async def main() -> None:
        checker = Passwords(lockout or Lockout())

        async def ask(name: bytes, password: bytes, address: str = ADDRESS) -> bool:
            return await checker.are_right(users, name, password, address)

        await work(ask)

    asyncio.run(main())


def test_an_unknown_user_and_a_wrong_password_do_the_same_work(counted: Counted) -> None:
    async def work(ask: Ask) -> None:
        assert not await ask(b"alice", b"wrong")
        known = list(counted.costs)
        counted.costs.clear()
        assert not await ask(b"nobody", b"wrong")
        assert counted.costs == known == [5]
        # The second time neither of them does any.
        counted.costs.clear()
        assert not await ask(b"alice", b"wrong")
        assert not await ask(b"nobody", b"wrong")
        assert counted.costs == []

    asking(work)


def test_the_toolkits_fake_password_opens_nothing(counted: Counted) -> None:
    async def work(ask: Ask) -> None:
        for name in (b"nobody", b"", b"alice\0", b"ALICE"):
            assert not await ask(name, b"fakepassword")
            assert not await ask(name, b"right")

    asking(work)


def test_a_right_password_costs_one_bcrypt_whatever_others_guess(counted: Counted) -> None:
    async def work(ask: Ask) -> None:
        assert await ask(b"alice", b"right")
        for number in range(2 * MAX_WRONG):
            assert not await ask(b"alice", b"guess%d" % number)
        counted.costs.clear()
        assert await ask(b"alice", b"right")
        assert await ask(b"alice", b"right", "198.51.100.9")
        assert counted.costs == []

    asking(work)


def test_who_was_right_is_not_after_the_hash_has_changed(counted: Counted) -> None:
    users = dict(USERS)

    async def work(ask: Ask) -> None:
        assert await ask(b"alice", b"right")
        users[b"alice"] = USERS[b"bob"]
        assert not await ask(b"alice", b"right")
        assert await ask(b"alice", b"other")
        del users[b"alice"]
        assert not await ask(b"alice", b"other")

    asking(work, users=users)


def test_a_page_that_asks_for_much_at_once_costs_one_bcrypt(counted: Counted) -> None:
    async def work(ask: Ask) -> None:
        assert await asyncio.gather(*(ask(b"alice", b"right") for _ in range(50))) == [True] * 50
        assert counted.costs == [5]

    asking(work)


def test_one_bcrypt_at_a_time_and_few_who_wait(counted: Counted) -> None:
    counted.open.clear()

    async def work(ask: Ask) -> None:
        of_one = [asyncio.create_task(ask(b"alice", b"%d" % n)) for n in range(MAX_WAITING_OF_ONE_CLIENT)]
        await asyncio.sleep(0)
        with pytest.raises(TooMany):
            await ask(b"alice", b"one more")
        rest = range(MAX_WAITING - MAX_WAITING_OF_ONE_CLIENT)
        others = [asyncio.create_task(ask(b"bob", b"%d" % n, f"198.51.100.{n}")) for n in rest]
        await asyncio.sleep(0)
        with pytest.raises(TooMany):
            await ask(b"bob", b"one more", "203.0.113.1")
        counted.open.set()
        assert not any(await asyncio.gather(*of_one, *others))
        assert counted.most == 1
        assert await ask(b"alice", b"right")  # and then there is room again

    asking(work)


def test_who_has_guessed_too_often_is_late_and_let_in(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    delays: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        delays.append(seconds)
        await sleep(0)

    monkeypatch.setattr(passwords.asyncio, "sleep", noted)  # type: ignore[attr-defined]
    lockout = Lockout(lambda: 1000.0)

    async def work(ask: Ask) -> None:
        assert await ask(b"bob", b"other")
        assert delays == []
        for _ in range(FREE + 5):
            lockout.failed(ADDRESS)
        assert lockout.wait(ADDRESS) > 0
        assert lockout.wait("198.51.100.1") == 0
        assert await ask(b"alice", b"right")
        assert delays == [min(passwords.LONGEST_DELAY_SECONDS, lockout.wait(ADDRESS))]
        assert await ask(b"bob", b"other")
        assert await ask(b"alice", b"right", "198.51.100.1")
        assert len(delays) == 1

    asking(work, lockout)
