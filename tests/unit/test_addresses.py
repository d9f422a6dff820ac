"""Whom an address lets in."""

from __future__ import annotations

import pytest

from jobs.core.addresses import is_everywhere, is_loopback

LOOPBACK = ("127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST", "agent.localhost")
EVERYWHERE = ("", "*", "0.0.0.0", "::", "[::]")
OTHERS = ("10.0.0.5", "198.51.100.1", "2001:db8::1", "::1234", "localhost.example.org", "127.0.0.1.example.org", "db")


@pytest.mark.parametrize("address", [*LOOPBACK, *EVERYWHERE, *OTHERS])
def test_an_address_is_of_this_host_of_all_or_of_some(address: str) -> None:
    assert is_loopback(address) is (address in LOOPBACK)
    assert is_everywhere(address) is (address in EVERYWHERE)
