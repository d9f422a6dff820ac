"""What listens: each kind of weakness planted in a network namespace of the test's own, and its clean twin."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.clients import sockets
from jobs.clients.errors import ClientError
from jobs.core.model import Severity
from jobs.core.settings import DockerSettings
from jobs.security.network.listening import LISTENING
from jobs.security.scanner import Area, Seen
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.looks import clients_of, look
from tests.services.network_world import IPV4, IPV6, NetworkWorld, unprivileged
from tests.services.ports import free_port

Looks = Callable[..., Seen]


@pytest.fixture
def world() -> Iterator[NetworkWorld]:
    """A network namespace that the test is in."""
    made = NetworkWorld()
    try:
        with made.entered():
            yield made
    finally:
        made.close()


@pytest.fixture
def seen(tmp_path: Path) -> Looks:
    """What the scanner tells with these settings of the network; there is no Docker engine, whatever this host has."""
    clients = clients_of(tmp_path, docker=DockerSettings(url=f"unix://{tmp_path}/no.sock"))

    def scan(**network: Any) -> Seen:
        told = look(LISTENING, clients, {"network": network})
        told.missed[:] = [missed for missed in told.missed if not missed.startswith("ports that containers publish: ")]
        return told

    return scan


PLANTED = [
    ("tcp", "0.0.0.0", 6379, b"redis-server", "exposed_service", Severity.HIGH),
    ("tcp", "0.0.0.0", 5433, b"postgres", "exposed_service", Severity.HIGH),
    ("tcp", "::", 11434, b"ollama", "exposed_service", Severity.HIGH),
    ("tcp", "0.0.0.0", 2375, b"whatever", "exposed_service", Severity.CRITICAL),
    ("tcp", "::", 9090, b"prometheus", "exposed_service", Severity.HIGH),
    ("tcp", "0.0.0.0", 8080, b"java", "unexpected_listener", Severity.MEDIUM),
    ("tcp", "::", 8081, b"java", "unexpected_listener", Severity.MEDIUM),
    ("udp", "0.0.0.0", 161, b"snmpd", "exposed_service", Severity.MEDIUM),
    ("udp", "::", 11211, b"memcached", "exposed_service", Severity.HIGH),
    ("udp", "0.0.0.0", 5353, b"avahi-daemon", "exposed_service", Severity.LOW),
    ("tcp", IPV4, 3306, b"mysqld", "exposed_service", Severity.MEDIUM),
]


def test_every_planted_listener_is_found(world: NetworkWorld, seen: Looks) -> None:
    for protocol, address, port, name, *_ in PLANTED:
        world.listener(protocol, address, port, name)
    told = seen()
    found = {(one.rule, one.subject): one.severity for one in told.weaknesses}
    assert found == {
        (rule, f"{protocol}/{f'[{address}]' if ':' in address else address}:{port} {name.decode()}"): severity
        for protocol, address, port, name, rule, severity in PLANTED
    }
    assert told.scanned == len(PLANTED)
    assert all("user root" in one.message and one.remedy for one in told.weaknesses)


def test_the_clean_twin_gives_nothing(world: NetworkWorld, seen: Looks) -> None:
    for protocol, address, port, name, *_ in PLANTED:
        world.listener(protocol, "::1" if ":" in address else "127.0.0.1", port, name)
    for protocol, port in (("tcp", 22), ("tcp", 443), ("udp", 443), ("udp", 68), ("udp", 546), ("tcp", 10042)):
        world.listener(protocol, "::", port, b"usual")
    told = seen()
    assert told.weaknesses == []
    assert told.missed == []
    assert told.scanned == len(PLANTED) + 6


def test_a_client_that_waits_for_an_answer_over_udp_does_not_listen(world: NetworkWorld, seen: Looks) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ipv4,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as ipv6,
    ):
        ipv4.sendto(b"?", ("127.0.0.1", 9))  # the kernel gives it a port on all addresses
        ipv6.sendto(b"?", ("::1", 9))
        told = seen()
    assert told.weaknesses == []
    assert (told.scanned, told.details["udp_client_sockets"]) == (2, 2)


def test_where_every_port_is_ephemeral_a_known_service_is_found_all_the_same(world: NetworkWorld, seen: Looks) -> None:
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("1024 65000")
    world.listener("udp", "0.0.0.0", 11211, b"memcached")
    assert [one.subject for one in seen().weaknesses] == ["udp/0.0.0.0:11211 memcached"]


def test_ipv4_and_ipv6_of_one_service_are_one_finding(world: NetworkWorld, seen: Looks) -> None:
    world.listener("tcp", "0.0.0.0", 8080, b"proxy")
    world.listener("tcp", "::", 8080, b"proxy", "only")
    [one] = seen().weaknesses
    assert one.subject == "tcp/0.0.0.0:8080 proxy"
    assert "0.0.0.0:8080, [::]:8080" in one.message


def test_a_finding_is_the_same_after_a_restart(world: NetworkWorld, seen: Looks) -> None:
    first = world.listener("tcp", "0.0.0.0", 8080, b"service")
    [before] = seen().weaknesses
    first.stop()
    again = world.listener("tcp", "0.0.0.0", 8080, b"service")
    [after] = seen().weaknesses
    assert again.pid != first.pid
    assert after == before
    assert after.identity(Area.NETWORK) == before.identity(Area.NETWORK)


ALLOWED = [
    ("its port", {"ports": 8080}, True),
    ("a range", {"ports": "22, 8000-8100", "protocol": "tcp"}, True),
    ("its process", {"process": "my-*"}, True),
    ("its address", {"address": IPV4, "ports": "8080"}, True),
    ("another port", {"ports": "8081"}, False),
    ("another process", {"process": "your-*"}, False),
    ("another protocol", {"ports": "8080", "protocol": "udp"}, False),
    ("another address", {"address": IPV6, "ports": "8080"}, False),
    ("loopback only", {"address": "loopback"}, False),
]


@pytest.mark.parametrize(("what", "entry", "fine"), ALLOWED, ids=[what for what, *_ in ALLOWED])
def test_what_may_listen_is_what_all_keys_of_an_entry_say(
    what: str, entry: dict[str, Any], fine: bool, world: NetworkWorld, seen: Looks
) -> None:
    world.listener("tcp", IPV4, 8080, b"my-service")
    assert (seen(allowed=[entry]).weaknesses == []) == fine


HOSTILE = [b"<script>alert(1)", b"\xff\xfe\x80", b"\x1b[31mred", b"a\nb\tc", b") 1 (", b"| name |", b"\xe2\x80\xae"]


def test_names_of_processes_are_data(world: NetworkWorld, seen: Looks) -> None:
    for index, name in enumerate(HOSTILE):
        world.listener("tcp", "0.0.0.0", 8100 + index, name)
    told = seen()
    assert len(told.weaknesses) == len(HOSTILE)
    for one in told.weaknesses:
        assert one.subject.isprintable() and one.subject.isascii()
        assert one.message.isprintable() and one.message.isascii()


def test_without_privileges_sockets_are_seen_and_their_processes_are_missed(world: NetworkWorld, seen: Looks) -> None:
    world.listener("tcp", "0.0.0.0", 8080, b"theirs")
    world.listener("tcp", "0.0.0.0", 6379, b"theirs")
    seen()  # loads what it takes: Python's own files may be where nobody else may read
    with unprivileged():
        told = seen()
        unsaid = seen(allowed=[{"ports": "8080", "process": "nginx"}, {"ports": "6379"}])
    assert {one.subject for one in told.weaknesses} == {
        "tcp/0.0.0.0:8080 (process not seen)",
        "tcp/0.0.0.0:6379 (process not seen)",
    }
    assert told.scanned == 2
    [missed] = told.missed
    assert missed.startswith("the processes of 2 sockets, which this user may not look at")
    # Whether it is the one that is allowed is not known: neither an alarm nor good news.
    assert unsaid.weaknesses == []
    assert "tcp/0.0.0.0:8080 (process not seen): whether its process is one that is allowed" in unsaid.missed


def test_a_container_on_the_hosts_network_is_named(docker_clean: DockerEngine, tmp_path: Path) -> None:
    port = free_port()
    docker_clean.run(AGENT_IMAGE, "web-of-test", port=port)
    told = look(LISTENING, clients_of(tmp_path, docker=DockerSettings(url=docker_clean.url)))
    [line] = [line for line in told.details["listeners"] if line["port"] == port]
    assert line["container"] == "web-of-test"


def test_where_no_table_can_be_read_the_scanner_fails(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    with pytest.raises(ClientError, match="the sockets of this host cannot be read"):
        sockets.listening(tmp_path)


def test_where_processes_are_hidden_sockets_are_seen(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text(
        "  sl  local_address rem_address\n"
        "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  4711 0 1603 1 0 100\n"
    )
    told = sockets.listening(tmp_path)
    [one] = told.listeners
    assert (one.address, one.port, one.user, one.owner) == ("0.0.0.0", 8080, "4711", None)
    assert told.failures == (f"{tmp_path}/net/udp is not there",)


@pytest.mark.parametrize("text", ["head\nnonsense\n", "head\n a b c 0A\n", "head\n 0: zz:1 0:0 0A x 0 0 0 0 1\n"])
def test_a_table_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "net").mkdir()
    for table in sockets.TABLES:
        (tmp_path / "net" / table).write_text(text)
    with pytest.raises(ClientError, match="cannot be read"):
        sockets.listening(tmp_path)
