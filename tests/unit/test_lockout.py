"""Wrong tokens are put off for longer and longer, by address and overall, in bounded memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from exporter.web.access.lockout import (
    FORGET_SECONDS,
    FREE,
    FREE_OVERALL,
    LONGEST_SECONDS,
    MAX_ADDRESSES,
    Lockout,
    client_name,
)
from tests.services.clocks import FakeClock

HERE, THERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def lockout(fake_clock: FakeClock) -> Lockout:
    return Lockout(fake_clock.monotonic)


def waits(lockout: Lockout, address: str, times: int) -> list[float]:
    return [lockout.failed(address) for _ in range(times)]


def others() -> Iterator[str]:
    """Addresses of other networks, each once."""
    return (f"198.{18 + n // 65536}.{n // 256 % 256}.{n % 256}" for n in range(1 << 17))


def test_a_few_wrong_tokens_are_free_and_then_the_address_waits(lockout: Lockout) -> None:
    assert waits(lockout, HERE, FREE) == [0.0] * FREE
    assert waits(lockout, HERE, 5) == [1.0] * 5
    assert lockout.failed(THERE) == 0


def test_each_wrong_token_after_its_wait_doubles_the_next_one(lockout: Lockout, fake_clock: FakeClock) -> None:
    waits(lockout, HERE, FREE)
    found = []
    for _ in range(14):
        found.append(lockout.failed(HERE))
        fake_clock.advance(found[-1])
        assert lockout.failed(HERE) == 0  # counted, and the next wait begins
    assert found == [min(2.0**n, LONGEST_SECONDS) for n in range(14)]


def test_a_wait_gets_shorter_as_time_passes(lockout: Lockout, fake_clock: FakeClock) -> None:
    waits(lockout, HERE, FREE + 1)
    fake_clock.advance(0.75)
    assert lockout.failed(HERE) == 0.25


def test_a_quiet_hour_is_forgiven(lockout: Lockout, fake_clock: FakeClock) -> None:
    waits(lockout, HERE, FREE + 1)
    fake_clock.advance(FORGET_SECONDS + 1)
    assert waits(lockout, HERE, FREE) == [0.0] * FREE


def test_many_addresses_together_are_put_off_as_well(lockout: Lockout, fake_clock: FakeClock) -> None:
    assert [lockout.failed(address) for address, _ in zip(others(), range(FREE_OVERALL), strict=False)] == (
        [0.0] * FREE_OVERALL
    )
    assert lockout.failed(HERE) == 1.0
    fake_clock.advance(FORGET_SECONDS + 1)
    assert lockout.failed(HERE) == 0.0


def test_a_hundred_thousand_addresses_take_no_more_memory(lockout: Lockout) -> None:
    for address, _ in zip(others(), range(100_000), strict=False):
        lockout.failed(address)
    assert len(lockout._clients) == MAX_ADDRESSES


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1:2", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("", "unknown"),
        ("x" * 60_000, "unknown"),
        ("fe80::1%" + "x" * 60_000, "fe80::/64"),
        ("192.0.2.1\n", "unknown"),
    ],
    ids=lambda text: text[:20],
)
def test_what_an_address_is_known_by(address: str, name: str) -> None:
    assert client_name(address) == name


def test_a_flood_is_told_of_in_a_few_lines(lockout: Lockout, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        waits(lockout, HERE, 10_000)
        for address, _ in zip(others(), range(10_000), strict=False):
            lockout.failed(address)
    assert [record.client for record in caplog.records] == [HERE, "any"]
