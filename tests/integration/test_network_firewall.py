"""The packet filter, for real: rules of nft and of both kinds of iptables in a network namespace of the test's own."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.clients import firewall
from jobs.clients.errors import Absent
from jobs.core.model import Severity
from jobs.core.settings import DockerSettings
from jobs.security.network.firewall import FIREWALL
from jobs.security.scanner import Seen
from tests.services.binaries import need
from tests.services.looks import by_rule, clients_of, look
from tests.services.network_world import IPV6, NetworkWorld, feed, unprivileged

INET_DROP = """
table inet filter {
  chain input {
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    iifname "lo" accept
    tcp dport { 22, 443 } accept
  }
}
"""
FIREWALLD = """
table inet firewalld {
  chain filter_INPUT {
    type filter hook input priority 10; policy accept;
    ct state established,related accept
    iifname "lo" accept
    jump filter_INPUT_ZONES
    reject with icmpx type admin-prohibited
  }
  chain filter_INPUT_ZONES {
    tcp dport 22 accept
  }
}
"""
IPV4_ONLY = """
table inet filter {
  chain input {
    type filter hook input priority 0; policy accept;
    tcp dport 22 accept
    meta nfproto ipv4 drop
  }
}
"""
ACCEPTS = """
table inet filter {
  chain input {
    type filter hook input priority 0; policy accept;
    tcp dport 25 drop
  }
}
"""
OUTGOING = """
table inet filter {
  chain output {
    type filter hook output priority 0; policy drop;
    tcp dport 1 accept
  }
}
"""
SAVED_DROP = """*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "it's ssh" -j ACCEPT
COMMIT
"""
SAVED_REJECT = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:mine - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m comment --comment "the rest" -j mine
-A mine -p tcp -m tcp --dport 22 -j ACCEPT
-A mine -j REJECT --reject-with icmp-port-unreachable
COMMIT
"""
SAVED_FAIL2BAN = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:f2b-sshd - [0:0]
-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A f2b-sshd -s 203.0.113.9/32 -j REJECT --reject-with icmp-port-unreachable
-A f2b-sshd -j RETURN
COMMIT
"""


@pytest.fixture
def world() -> Iterator[NetworkWorld]:
    """A network namespace that the test is in, with a service that listens on all addresses."""
    need("nft", package="nftables")
    made = NetworkWorld()
    try:
        with made.entered():
            made.listener("tcp", "::", 8080, b"service")
            yield made
    finally:
        made.close()


@pytest.fixture
def seen(tmp_path: Path) -> Callable[[], Seen]:
    """What the scanner tells."""
    clients = clients_of(tmp_path, docker=DockerSettings(url=f"unix://{tmp_path}/no.sock"))
    settings = {"network": {"command_timeout_seconds": 120}}  # for a hang, however busy the machine
    return lambda: look(FIREWALL, clients, settings, seconds=300)


BOTH = ("iptables-restore", "ip6tables-restore")
REJECT_6 = SAVED_REJECT.replace("icmp-port", "icmp6-port")
CASES: list[tuple[str, list[tuple[str, str]], dict[str, Severity], tuple[str, str]]] = [
    ("no rules", [], {"no_packet_filter": Severity.MEDIUM}, ("has no rules", "has no rules")),
    ("only what goes out", [("nft", OUTGOING)], {"no_packet_filter": Severity.MEDIUM}, ("has no rules",) * 2),
    ("nft drops", [("nft", INET_DROP)], {}, ("denies by default",) * 2),
    ("firewalld", [("nft", FIREWALLD)], {}, ("denies by default",) * 2),
    ("nft accepts", [("nft", ACCEPTS)], {"filter_accepts_by_default": Severity.LOW}, ("accepts by default",) * 2),
    (
        "nft drops IPv4 only",
        [("nft", IPV4_ONLY)],
        {"ipv6_unfiltered": Severity.HIGH},
        ("denies by default", "accepts by default"),
    ),
    ("iptables drops", [(program, SAVED_DROP) for program in BOTH], {}, ("denies by default",) * 2),
    (
        "iptables rejects",
        [("iptables-restore", SAVED_REJECT), ("ip6tables-restore", REJECT_6)],
        {},
        ("denies by default",) * 2,
    ),
    (
        "iptables alone",
        [("iptables-restore", SAVED_DROP)],
        {"ipv6_unfiltered": Severity.HIGH},
        ("denies by default", "has no rules"),
    ),
    (
        "legacy iptables alone",
        [("iptables-legacy-restore", SAVED_DROP)],
        {"ipv6_unfiltered": Severity.HIGH},
        ("denies by default", "has no rules"),
    ),
    (
        "legacy iptables twice",
        [("iptables-legacy-restore", SAVED_DROP), ("ip6tables-legacy-restore", SAVED_DROP)],
        {},
        ("denies by default",) * 2,
    ),
    (
        "fail2ban",
        [("iptables-restore", SAVED_FAIL2BAN)],
        {"filter_accepts_by_default": Severity.LOW},
        ("accepts by default", "has no rules"),
    ),
]


@pytest.mark.parametrize(("what", "rules", "rated", "states"), CASES, ids=[case[0] for case in CASES])
def test_what_becomes_of_what_no_rule_speaks_of(
    what: str,
    rules: list[tuple[str, str]],
    rated: dict[str, Severity],
    states: tuple[str, str],
    world: NetworkWorld,
    seen: Callable[[], Seen],
) -> None:
    for program, text in rules:
        feed(program, text)
    told = seen()
    assert {one.rule: one.severity for one in told.weaknesses} == rated
    assert told.details["packet_filter"] == dict(zip(("IPv4", "IPv6"), states, strict=True))
    assert told.scanned == 2


def test_without_a_listener_on_all_addresses_no_filter_is_missed(tmp_path: Path, seen: Callable[[], Seen]) -> None:
    need("nft", package="nftables")
    made = NetworkWorld()
    try:
        with made.entered():
            made.listener("tcp", "127.0.0.1", 8080, b"service")
            assert seen().weaknesses == []
            feed("iptables-restore", SAVED_DROP)
            assert seen().weaknesses == []
    finally:
        made.close()


def test_a_host_that_ipv6_does_not_reach_needs_no_filter_of_it(world: NetworkWorld, seen: Callable[[], Seen]) -> None:
    world.ip("address", "del", f"{IPV6}/128", "dev", "lo")
    feed("iptables-restore", SAVED_DROP)
    assert seen().weaknesses == []


@pytest.mark.parametrize("rules", ["", INET_DROP], ids=["off", "on"])
def test_who_may_not_read_the_rules_does_not_know(rules: str, world: NetworkWorld, seen: Callable[[], Seen]) -> None:
    feed("nft", rules)
    seen()  # loads what it takes: Python's own files may be where nobody else may read
    with unprivileged():
        told = seen()
    assert told.scanned == 0
    assert told.weaknesses == []
    missed = [line for line in told.missed if line.startswith("whether IPv")]
    assert len(missed) == 2
    why = "nft may not list the rules (run the scan as root, or with CAP_NET_ADMIN)"
    assert [line for line in missed if why not in line] == []


def test_looking_changes_nothing(world: NetworkWorld, seen: Callable[[], Seen]) -> None:
    seen()
    rules = firewall.read(20)
    assert list(rules.nftables["nftables"][0]) == ["metainfo"]
    assert len(rules.nftables["nftables"]) == 1
    assert Path("/proc/net/ip_tables_names").read_text() == ""


FAKES: list[tuple[str, str, str]] = [
    ("fails", "#!/bin/sh\necho 'no \x1b[31mway' >&2\nexit 3\n", "nft ended with 3"),
    ("prints no JSON", "#!/bin/sh\necho '{'\n", "nft printed what is not JSON"),
    ("nests", "#!/bin/sh\nhead -c 200000 /dev/zero | tr '\\0' '['\n", "nft printed what is not JSON"),
    ("lists nothing", "#!/bin/sh\necho '[1]'\n", "nft printed no ruleset"),
    ("hangs", "#!/bin/sh\nexec sleep 60\n", "nft was not done after 1 s"),
    ("prints for ever", "#!/bin/sh\nexec yes\n", "nft was not done after 1 s"),
]


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Lets no garbage of other tests be finalised where the recursion is at its limit, which fails by itself."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize(("what", "script", "reason"), FAKES, ids=[what for what, *_ in FAKES])
def test_a_program_that_does_not_behave_leaves_it_unknown(
    what: str, script: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = _with_programs(tmp_path, monkeypatch, {"nft": script})
    assert told.scanned == 0
    assert told.weaknesses == []
    assert any(line.startswith("whether IPv4 is filtered: ") and reason in line for line in told.missed)


def test_without_the_programs_the_scanner_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Absent, match="neither nft nor iptables-save is installed"):
        _with_programs(tmp_path, monkeypatch, {})


def test_a_rule_that_iptables_shows_counts_even_where_nft_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"#!/bin/sh\ncat <<'END'\n{SAVED_DROP}END\n"
    told = _with_programs(tmp_path, monkeypatch, {"iptables-save": script})
    assert told.details["packet_filter"]["IPv4"] == "denies by default"
    assert any(line.startswith("whether IPv6 is filtered: nft is not installed") for line in told.missed)


def _with_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scripts: dict[str, str]) -> Seen:
    """What the scanner tells where only these programs are found, which stand for broken ones."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name, script in scripts.items():
        (directory / name).write_text(script)
        (directory / name).chmod(0o755)

    def find(program: str) -> str:
        if program not in scripts:
            raise Absent(f"{program} is not installed, or not in PATH")
        return str(directory / program)

    monkeypatch.setattr("jobs.clients.commands.find", find)
    settings: dict[str, Any] = {"network": {"command_timeout_seconds": 1}}
    clients = clients_of(tmp_path, docker=DockerSettings(url=f"unix://{tmp_path}/no.sock"))
    told = look(FIREWALL, clients, settings)
    assert not by_rule(told).get("no_packet_filter")
    return told
