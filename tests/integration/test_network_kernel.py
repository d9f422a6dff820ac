"""Settings of the kernel's network, set for real in a network namespace of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.core.model import Severity
from jobs.security.network.kernel import KERNEL
from tests.services.looks import clients_of, look
from tests.services.network_world import NetworkWorld, set_kernel

HARDENED = {
    "ipv4/ip_forward": 0,
    "ipv6/conf/all/forwarding": 0,
    "ipv4/tcp_syncookies": 1,
    **{
        f"ipv{version}/conf/{interface}/{name}": 0
        for version in (4, 6)
        for interface in ("all", "default", "v0", "v1")
        for name in ("accept_redirects", "accept_source_route")
    },
    "ipv4/conf/all/rp_filter": 1,
}


@pytest.fixture
def world() -> Iterator[NetworkWorld]:
    """A network namespace that the test is in, with two interfaces that are hardened."""
    made = NetworkWorld()
    try:
        with made.entered():
            made.ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
            for name, value in HARDENED.items():
                set_kernel(name, value)
            yield made
    finally:
        made.close()


def test_a_hardened_host_gives_nothing(world: NetworkWorld, tmp_path: Path) -> None:
    told = look(KERNEL, clients_of(tmp_path))
    assert (told.weaknesses, told.missed) == ([], [])
    assert told.scanned > 20


WEAK: list[tuple[dict[str, int], str, Severity]] = [
    ({"ipv4/conf/v0/accept_redirects": 1}, "net.ipv4.conf.*.accept_redirects", Severity.LOW),
    ({"ipv6/conf/v0/accept_redirects": 1}, "net.ipv6.conf.*.accept_redirects", Severity.LOW),
    (
        {"ipv4/conf/v0/accept_source_route": 1, "ipv4/conf/all/accept_source_route": 1},
        "net.ipv4.conf.*.accept_source_route",
        Severity.LOW,
    ),
    ({"ipv4/conf/all/rp_filter": 0, "ipv4/conf/v0/rp_filter": 0}, "net.ipv4.conf.*.rp_filter", Severity.LOW),
    ({"ipv4/tcp_syncookies": 0}, "net.ipv4.tcp_syncookies", Severity.LOW),
    ({"ipv4/icmp_echo_ignore_broadcasts": 0}, "net.ipv4.icmp_echo_ignore_broadcasts", Severity.LOW),
    ({"ipv4/ip_forward": 1}, "net.ipv4.ip_forward", Severity.INFO),
    ({"ipv6/conf/all/forwarding": 1}, "net.ipv6.conf.all.forwarding", Severity.INFO),
]


@pytest.mark.parametrize(("values", "subject", "severity"), WEAK, ids=[subject for _, subject, _ in WEAK])
def test_each_weak_setting_is_found(
    values: dict[str, int], subject: str, severity: Severity, world: NetworkWorld, tmp_path: Path
) -> None:
    for name, value in values.items():
        set_kernel(name, value)
    # The kernel gives redirects back to interfaces when forwarding changes.
    for name in (
        "ipv4/conf/all/accept_redirects",
        "ipv4/conf/v0/accept_redirects",
        "ipv4/conf/default/accept_redirects",
    ):
        if name not in values:
            set_kernel(name, 0)
    [one] = [one for one in look(KERNEL, clients_of(tmp_path)).weaknesses if one.subject == subject]
    assert one.severity is severity
    assert one.remedy.startswith("write net.")
