"""What others reach, judged: ports that containers publish, where a service is asked, and what may be configured."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from jobs.clients.sockets import Listener, Listing, Owner, parse_table
from jobs.core.containers import Container, PublishedPort
from jobs.core.model import Severity
from jobs.security.known_services import KNOWN, known
from jobs.security.network.exposure import exposures, judge
from jobs.security.network.filtering import Filtering, filtering, nftables_tables, saved_tables
from jobs.security.network.kernel import judge as judge_kernel
from jobs.security.network.places import Places, is_local, places
from jobs.security.network.settings import USUAL, AllowedListener, NetworkSettings

ID = "0123456789abcdef" * 4
OWN = ["127.0.0.1", "::1", "fe80::1", "198.51.100.5", "2001:db8::5"]


def container(name: str, *ports: PublishedPort) -> Container:
    """A container that publishes these ports."""
    return Container(ID, name, "image", "running", "Up", "", {}, ports, "bridge", ())


def listing(*listeners: Listener) -> Listing:
    return Listing(listeners, (32768, 60999), True, ())


def listener(address: str, port: int, process: str = "", protocol: str = "tcp") -> Listener:
    owner = Owner(1000, process, "", "") if process else None
    return Listener(protocol, address, port, "root", owner)


def test_a_published_port_carries_its_containers_name_and_inner_port() -> None:
    published = container("db", PublishedPort(5432, 15432, "0.0.0.0", "tcp"), PublishedPort(5432, 15432, "::", "tcp"))
    proxies = [listener(address, 15432, "docker-proxy") for address in ("0.0.0.0", "::")]
    [one] = exposures(listing(*proxies), [published])
    assert (one.subject, one.container, one.inner_port) == ("tcp/0.0.0.0:15432 db", "db", 5432)
    weakness = judge(one, USUAL).weakness
    assert weakness and weakness.severity is Severity.HIGH
    assert "PostgreSQL" in weakness.message and "container db" in weakness.message
    assert "127.0.0.1:PORT:PORT" in weakness.remedy


def test_a_port_that_the_packet_filter_alone_publishes_is_seen() -> None:
    published = container("cache", PublishedPort(6379, 6379, "0.0.0.0", "tcp"), PublishedPort(9, None, "", "tcp"))
    [one] = exposures(listing(), [published])
    assert one.subject == "tcp/0.0.0.0:6379 cache"
    weakness = judge(one, USUAL).weakness
    assert weakness and weakness.severity is Severity.HIGH


def test_a_port_that_is_published_on_loopback_is_fine() -> None:
    published = container("cache", PublishedPort(6379, 6379, "127.0.0.1", "tcp"))
    [one] = exposures(listing(listener("127.0.0.1", 6379, "docker-proxy")), [published])
    assert judge(one, USUAL).weakness is None


def test_a_container_is_allowed_by_its_name() -> None:
    published = container("web-1", PublishedPort(80, 8080, "0.0.0.0", "tcp"))
    [one] = exposures(listing(), [published])
    assert judge(one, [AllowedListener(process="web-*")]).weakness is None


@pytest.mark.parametrize(
    ("process", "port", "name"),
    [
        ("redis-server", 7000, "Redis"),
        ("postgres", 6379, "PostgreSQL"),
        ("docker-proxy", 6379, "Redis"),
        ("", 2375, "the Docker API"),
        ("python3", 11434, "Ollama"),
        ("python3", 8000, None),
        ("dockerd", 4243, "the Docker API"),
        ("dockerd", 7946, "Docker Swarm"),
    ],
)
def test_a_service_is_known_by_its_process_before_its_port(process: str, port: int, name: str | None) -> None:
    found = known("tcp", port, process)
    assert (found.name if found else None) == name


def test_without_its_process_a_service_is_known_by_its_user() -> None:
    [unseen] = exposures(listing(Listener("tcp", "0.0.0.0", 7000, "redis", None)), [])
    assert unseen.known and unseen.known.name == "Redis"
    [seen] = exposures(listing(Listener("tcp", "0.0.0.0", 7000, "redis", Owner(9, "python3", "", ""))), [])
    assert seen.known is None


def test_no_port_is_two_services() -> None:
    for kind in ("tcp", "udp"):
        every = [one for service in KNOWN for one in getattr(service, kind)]
        assert len(every) == len(set(every))
    # The kernel keeps fifteen characters of a name.
    assert all(len(process) <= 15 for service in KNOWN for process in service.processes)


PLACES = [
    (["0.0.0.0"], Places("127.0.0.1", "198.51.100.5")),
    (["::"], Places("::1", "2001:db8::5")),
    (["0.0.0.0", "::"], Places("127.0.0.1", "198.51.100.5")),
    (["127.0.0.1", "198.51.100.5"], Places("127.0.0.1", "198.51.100.5")),
    (["::1"], Places("::1", "")),
    (["fe80::1"], Places("", "")),
    (["224.0.0.251"], Places("", "")),
]


@pytest.mark.parametrize(("bound", "expected"), PLACES, ids=[" ".join(bound) for bound, _ in PLACES])
def test_a_service_is_asked_at_addresses_of_this_host_only(bound: list[str], expected: Places) -> None:
    [one] = exposures(listing(*(listener(address, 6379, "redis-server") for address in bound)), [])
    found = places(one, OWN)
    assert found == expected
    assert {found.inside, found.outside} <= {"", *OWN}


def test_hosts_of_ours_are_told_from_others() -> None:
    assert all(is_local(host, OWN) for host in ("", "/var/run/postgresql", "localhost", "127.0.0.2", "198.51.100.5"))
    assert not any(is_local(host, OWN) for host in ("db", "198.51.100.6", "db.example.org"))


BAD: list[dict[str, Any]] = [
    {},
    {"protocol": "tcp"},
    {"ports": "0"},
    {"ports": "70000"},
    {"ports": "90-80"},
    {"ports": "ssh"},
    {"ports": True},
    {"ports": ""},
    {"ports": "22", "address": "everywhere"},
    {"ports": "22", "address": "10.0.0.0/8"},
    {"process": ""},
    {"ports": "22", "pid": 1},
]


@pytest.mark.parametrize("entry", BAD, ids=[str(entry) for entry in BAD])
def test_an_entry_that_says_nothing_or_nonsense_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NetworkSettings.model_validate({"allowed": [entry]})


@pytest.mark.parametrize("address", ["443", "host", "host:0", "host:70000", "user@host:1", "a b:1", "[::1]", "-:1 "])
def test_an_endpoint_is_a_host_and_a_port(address: str) -> None:
    with pytest.raises(ValidationError):
        NetworkSettings.model_validate({"tls_endpoints": [{"address": address}]})


def test_a_lone_port_may_be_written_as_a_number() -> None:
    [entry] = NetworkSettings.model_validate({"allowed": [{"ports": 8080}]}).allowed
    assert entry.has_port(8080) and not entry.has_port(80)


def test_addresses_are_read_as_the_kernel_prints_them() -> None:
    head = "  sl  local_address\n"
    rest = "00000000:00000000 00:00000000 00000000  0 0 77 1 0 100"
    mapped = f"   0: 0000000000000000FFFF00000100007F:0050 {'0' * 32}:0000 0A {rest}\n"
    loopback = f"   1: 00000000000000000000000001000000:0051 {'0' * 32}:0000 0A {rest}\n"
    connected = f"   2: {'0' * 32}:0052 {'0' * 32}:0000 01 {rest}\n"
    found = [(address, port) for _, address, port, _, _ in parse_table("tcp6", [head, mapped, loopback, connected])]
    assert found == [("127.0.0.1", 80), ("::1", 81)]


def rules(*expressions: list[dict[str, Any]], policy: str = "accept") -> list[Any]:
    """nft's listing of one table with a chain for what comes in."""
    base = {"family": "inet", "table": "t", "name": "in", "type": "filter", "hook": "input", "policy": policy}
    made = [{"rule": {"family": "inet", "table": "t", "chain": "in", "expr": one}} for one in expressions]
    return nftables_tables({"nftables": [{"metainfo": {}}, {"chain": base}, *made]}, "ip")


MATCH = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}
VERDICTS: list[tuple[str, list[Any], Filtering]] = [
    ("empty", rules(), Filtering.NONE),
    ("policy", rules(policy="drop"), Filtering.DENIES),
    ("a rule that drops the rest", rules([MATCH, {"accept": None}], [{"drop": None}]), Filtering.DENIES),
    ("all accepted before", rules([{"accept": None}], [{"drop": None}]), Filtering.ACCEPTS),
    ("all accepted, policy drop", rules([{"counter": None}, {"accept": None}], policy="drop"), Filtering.ACCEPTS),
    ("a condition", rules([MATCH, {"drop": None}]), Filtering.ACCEPTS),
    ("a chain that leads to itself", rules([{"jump": {"target": "in"}}]), Filtering.ACCEPTS),
    ("a chain that is not there", rules([{"jump": {"target": "no"}}], [{"reject": None}]), Filtering.DENIES),
    ("what nft cannot say", rules([{"xt": None}]), Filtering.ACCEPTS),
    ("nonsense", rules([1, {}, {"match": None}, {"drop": None}]), Filtering.ACCEPTS),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("what", "tables", "expected"), VERDICTS, ids=[what for what, *_ in VERDICTS])
def test_what_rules_amount_to(what: str, tables: list[Any], expected: Filtering) -> None:
    assert filtering(tables) is expected


SAVED = [
    ("nothing", "", Filtering.NONE),
    ("garbage", "-A INPUT\n:\n*\n:INPUT\n-A\n-A INPUT -j \"\n", Filtering.NONE),
    ("only NAT", "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j DOCKER\nCOMMIT\n", Filtering.NONE),
    ("raw drops", "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j DROP\n", Filtering.DENIES),
    ("logs, then drops", "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j LOG\n-A INPUT -j DROP\n", Filtering.DENIES),
    ("goes to a chain", "*filter\n:INPUT ACCEPT [0:0]\n:x - [0:0]\n-A INPUT -g x\n-A x -j DROP\n", Filtering.DENIES),
    ("comes back", "*filter\n:INPUT DROP [0:0]\n:x - [0:0]\n-A INPUT -j x\n-A x -j RETURN\n", Filtering.DENIES),
    ("forwards only", "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n-A FORWARD -j x\n", Filtering.NONE),
]  # fmt: skip


@pytest.mark.parametrize(("what", "text", "expected"), SAVED, ids=[what for what, *_ in SAVED])
def test_what_saved_rules_amount_to(what: str, text: str, expected: Filtering) -> None:
    assert filtering(saved_tables(text)) is expected


@pytest.mark.parametrize("listing", [None, [], {}, {"nftables": 1}, "x"])
def test_a_listing_that_is_none_is_an_error(listing: object) -> None:
    with pytest.raises(ValueError, match="no ruleset"):
        nftables_tables(listing, "ip")


def kernel(**values: int) -> set[str]:
    """The settings that are weak, on an interface eth0 with these values: own, of all, and whether it forwards."""
    found = {"ipv4/conf/eth0/forwarding": values.get("forwarding", 0)}
    for interface in ("eth0", "all"):
        for name in ("accept_redirects", "accept_source_route", "rp_filter"):
            found[f"ipv4/conf/{interface}/{name}"] = values.get(f"{interface}_{name}", int(name == "rp_filter"))
    return {one.subject.rpartition(".")[2] for one in judge_kernel(found)}


def test_what_holds_for_an_interface_comes_of_its_own_setting_and_that_of_all() -> None:
    assert kernel() == set()
    assert kernel(eth0_accept_redirects=1) == {"accept_redirects"}
    assert kernel(all_accept_redirects=1) == {"accept_redirects"}
    assert kernel(all_accept_redirects=1, forwarding=1) == set()
    assert kernel(eth0_accept_source_route=1) == set()
    assert kernel(eth0_accept_source_route=1, all_accept_source_route=1) == {"accept_source_route"}
    assert kernel(eth0_rp_filter=0) == set()
    assert kernel(eth0_rp_filter=0, all_rp_filter=0) == {"rp_filter"}
