"""Services that let strangers in: real ones in a network namespace of the test's own, and their clean twins."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from jobs.core.model import Severity
from jobs.core.settings import DockerSettings, Endpoint, OllamaSettings, PostgresSettings, RedisSettings, World
from jobs.security.network.connections import judge
from jobs.security.network.services import SERVICES
from jobs.security.scanner import Look, OutOfTime, Seen
from jobs.security.settings import Settings
from tests.services.binaries import need
from tests.services.certificates import make
from tests.services.http_agent import HttpServer, reply
from tests.services.looks import by_rule, clients_of, look
from tests.services.network_world import IPV4, NetworkWorld
from tests.services.ollama_stub import OllamaStub
from tests.services.postgres import PostgresServer
from tests.services.postgres_access import allow, serve_tls
from tests.services.process import Process
from tests.services.redis import RedisServer
from tests.services.tls_server import TlsServer
from tests.stand_ins import Handler, TcpServer, always, answer, endless, silent

EVERYWHERE = "0.0.0.0"


@pytest.fixture
def world() -> Iterator[NetworkWorld]:
    """A network namespace that the test is in; servers are to be closed before it."""
    made = NetworkWorld()
    try:
        with made.entered():
            yield made
    finally:
        made.close()


def seen(tmp_path: Path, network: dict[str, Any] | None = None, **services: Any) -> Seen:
    """What the scanner tells where these services are configured; there is no Docker engine, whatever this host has."""
    clients = clients_of(tmp_path, docker=DockerSettings(url=f"unix://{tmp_path}/no.sock"), **services)
    told = look(SERVICES, clients, {"network": {"probe_timeout_seconds": 2, **(network or {})}})
    told.missed[:] = [missed for missed in told.missed if not missed.startswith("ports that containers publish: ")]
    return told


def rated(told: Seen) -> dict[str, Severity]:
    """The severities by rule."""
    return {one.rule: one.severity for one in told.weaknesses}


REDIS = [
    ("open to all", None, f"{EVERYWHERE} ::", "no", {"redis_without_password": Severity.CRITICAL}),
    ("protected mode", None, EVERYWHERE, "yes", {"redis_without_password": Severity.MEDIUM}),
    ("open on loopback", None, "127.0.0.1", "no", {"redis_without_password": Severity.MEDIUM}),
    ("with a password", "", f"{EVERYWHERE} ::", "yes", {}),
]


@pytest.mark.parametrize(("what", "password", "bind", "protected", "expected"), REDIS, ids=[what for what, *_ in REDIS])
def test_redis_is_asked_without_a_password(
    what: str,
    password: str | None,
    bind: str,
    protected: str,
    expected: dict[str, Severity],
    world: NetworkWorld,
    redis_factory: Callable[..., RedisServer],
    tmp_path: Path,
) -> None:
    server = redis_factory(password=password, bind=bind, protected_mode=protected)
    told = seen(tmp_path)
    assert rated(told) == expected
    assert told.missed == []
    assert told.scanned == 1
    for one in told.weaknesses:
        assert one.subject == f"tcp/{bind.split()[0]}:{server.port} redis-server"
    # Configured or not, it is one server with one finding.
    assert rated(seen(tmp_path, redis=RedisSettings(url=server.url))) == expected
    server.close()


def test_redis_elsewhere_is_asked_where_it_is_configured(
    redis_factory: Callable[..., RedisServer], tmp_path: Path
) -> None:
    with TcpServer(_pong) as open_server:
        url = f"redis://:canary-secret@127.0.0.1:{open_server.port}"
        told = seen(tmp_path, redis=RedisSettings(url=url))
    [one] = [one for one in told.weaknesses if one.rule == "redis_without_password"]
    assert one.subject == f"redis/127.0.0.1:{open_server.port}"
    locked = redis_factory()
    told = seen(tmp_path, redis=RedisSettings(url=locked.url))
    assert not [one for one in told.weaknesses if str(locked.port) in one.subject]
    assert locked.password and locked.password not in repr(told)


def _pong(connection: socket.socket, closing: threading.Event) -> None:
    assert b"canary" not in connection.recv(4096)
    connection.sendall(b"+PONG\r\n")


def test_postgres_that_nobody_configured_is_asked_to_let_a_stranger_in(
    world: NetworkWorld, postgres_factory: Callable[..., PostgresServer], tmp_path: Path
) -> None:
    server = postgres_factory(listen_addresses="*")
    subject = f"tcp/{EVERYWHERE}:{server.port} postgres"
    allow(server, "host all all 0.0.0.0/0 scram-sha-256")
    [one] = seen(tmp_path).weaknesses
    assert (one.rule, one.subject, one.severity) == ("postgres_without_tls", subject, Severity.MEDIUM)
    allow(server, "host all all 127.0.0.1/32 trust")
    told = seen(tmp_path)
    assert rated(told) == {"postgres_without_tls": Severity.MEDIUM}  # the worse is told; the other below
    serve_tls(server)
    [one] = seen(tmp_path).weaknesses
    assert (one.rule, one.subject, one.severity) == ("postgres_without_password", subject, Severity.MEDIUM)
    allow(server, "hostssl all postgres 198.51.100.0/24 trust")
    [one] = seen(tmp_path).weaknesses
    assert (one.rule, one.subject, one.severity) == ("postgres_without_password", subject, Severity.CRITICAL)
    server.close()


def test_the_twin_of_postgres_gives_nothing(
    world: NetworkWorld, postgres_factory: Callable[..., PostgresServer], tmp_path: Path
) -> None:
    server = postgres_factory(listen_addresses="*")
    serve_tls(server)
    allow(server, "hostssl all all 0.0.0.0/0 scram-sha-256")
    assert seen(tmp_path).weaknesses == []
    told = seen(tmp_path, postgres=PostgresSettings(dsn=server.dsn))
    assert (told.weaknesses, told.missed) == ([], [])
    server.close()


OPTIONAL = {"postgres_tls_optional": Severity.LOW}
RULES: list[tuple[str, str, dict[str, Severity]]] = [
    ("trust for all", "host all all 0.0.0.0/0 trust", {"postgres_trust": Severity.CRITICAL, **OPTIONAL}),
    ("trust for a network", "hostssl all all 10.0.0.0 255.0.0.0 trust", {"postgres_trust": Severity.CRITICAL}),
    ("trust for this host", "local all all trust", {"postgres_trust": Severity.MEDIUM}),
    (
        "passwords in the clear",
        "host all all 10.0.0.0/8 password",
        {"postgres_clear_password": Severity.HIGH, **OPTIONAL},
    ),
    ("not TLS alone", "host all all 10.0.0.0/8 scram-sha-256", OPTIONAL),
    ("TLS alone", "hostssl all all 10.0.0.0/8 scram-sha-256", {}),
    ("nobody", "host all all 0.0.0.0/0 reject", {}),
]


def test_a_configured_postgres_is_judged_by_its_rules(
    world: NetworkWorld, postgres_factory: Callable[..., PostgresServer], tmp_path: Path
) -> None:
    server = postgres_factory(listen_addresses="*")
    serve_tls(server)
    original = (server.data_dir / "pg_hba.conf").read_text()
    for what, line, expected in RULES:
        (server.data_dir / "pg_hba.conf").write_text(original)
        allow(server, "hostssl all sutazai 127.0.0.1/32 scram-sha-256", line)
        told = seen(tmp_path, postgres=PostgresSettings(dsn=server.dsn))
        assert rated(told) == expected, what
        assert all(one.subject.startswith("postgresql/main") for one in told.weaknesses)
        assert told.missed == []
    server.close()


def test_a_postgres_that_only_this_host_reaches_is_judged_less(
    postgres_factory: Callable[..., PostgresServer], tmp_path: Path
) -> None:
    server = postgres_factory(password_encryption="md5")
    allow(server, "host all all 0.0.0.0/0 trust")
    told = seen(tmp_path, postgres=PostgresSettings(dsn=server.dsn))
    ours = {one.rule: one.severity for one in told.weaknesses if one.subject.startswith("postgresql/main")}
    assert ours == {"postgres_trust": Severity.MEDIUM, "postgres_md5_passwords": Severity.MEDIUM}


def test_a_postgres_that_listens_nowhere_is_asked_over_its_socket(
    postgres_factory: Callable[..., PostgresServer], tmp_path: Path
) -> None:
    server = postgres_factory()
    allow(server, "host all all 0.0.0.0/0 trust")
    over_socket = f"host={server.directory} port={server.port} user=sutazai dbname=sutazai password={server.password}"
    told = seen(tmp_path, postgres=PostgresSettings(dsn=over_socket))
    ours = [one for one in told.weaknesses if one.subject.startswith("postgresql/main")]
    assert [(one.rule, one.severity) for one in ours] == [("postgres_trust", Severity.MEDIUM)]


def test_what_an_account_may_not_read_is_missed_and_asked_for_otherwise(
    world: NetworkWorld, postgres_factory: Callable[..., PostgresServer], tmp_path: Path
) -> None:
    server = postgres_factory(listen_addresses="*")
    server.execute("CREATE ROLE little LOGIN PASSWORD 'canary-little'")
    dsn = f"postgresql://little:canary-little@127.0.0.1:{server.port}/sutazai"
    told = seen(tmp_path, postgres=PostgresSettings(dsn=dsn))
    assert told.weaknesses == []
    [missed] = told.missed
    assert missed.startswith("postgresql/main: the rules of pg_hba.conf")
    allow(server, "host all little 0.0.0.0/0 trust")
    told = seen(tmp_path, postgres=PostgresSettings(dsn=dsn))
    assert rated(told) == {"postgres_without_password": Severity.CRITICAL}
    assert "canary" not in repr(told)
    wrong = seen(tmp_path, postgres=PostgresSettings(dsn=dsn.replace("canary-little", "canary-wrong")))
    assert "canary" not in repr(wrong)
    server.execute("GRANT SELECT ON pg_hba_file_rules TO little")
    server.execute("GRANT EXECUTE ON FUNCTION pg_hba_file_rules() TO little")
    told = seen(tmp_path, postgres=PostgresSettings(dsn=dsn.replace("/sutazai", "/postgres")))
    assert any(missed.startswith("postgresql/main: the rules") for missed in told.missed)
    server.close()


def docker_api(request: BaseHTTPRequestHandler) -> None:
    """Stands for a Docker engine on TCP, whose answer to `/version` has these fields (Engine API 1.41)."""
    if request.path == "/version":
        body = {"Version": "28.2.2", "ApiVersion": "1.50", "Os": "linux"}
        reply(request, 200, json.dumps(body).encode(), {"Content-Type": "application/json"})
    else:
        reply(request, 404, b'{"message": "No such exec instance: none"}', {"Content-Type": "application/json"})


def filtered_docker_api(request: BaseHTTPRequestHandler) -> None:
    """Stands for a filtering proxy before an engine, which refuses all but a few kinds of questions."""
    if request.path == "/version":
        docker_api(request)
    else:
        reply(request, 403, b"<h1>403 Forbidden</h1>", {})


def test_interfaces_without_a_password_are_found_where_others_reach_them(world: NetworkWorld, tmp_path: Path) -> None:
    engine, ollama = HttpServer(docker_api, 2375, EVERYWHERE), OllamaStub(11434, EVERYWHERE)
    told = seen(tmp_path)
    assert rated(told) == {"docker_api_open": Severity.CRITICAL, "ollama_open": Severity.HIGH}
    assert all(IPV4 in one.message for one in told.weaknesses)
    ollama.close()
    engine.close()


def test_interfaces_that_few_get_to_or_that_ask_for_more_are_fine(world: NetworkWorld, tmp_path: Path) -> None:
    servers = [
        OllamaStub(11434),
        HttpServer(filtered_docker_api, 2375, EVERYWHERE),
        HttpServer(lambda request: reply(request, 401, b"{}", {}), 2376, EVERYWHERE),
    ]
    told = seen(tmp_path)
    assert (told.weaknesses, told.missed) == ([], [])
    assert told.scanned == len(servers)
    for server in servers:
        server.close()


def test_docker_on_loopback_makes_every_process_of_this_host_root(world: NetworkWorld, tmp_path: Path) -> None:
    engine = HttpServer(docker_api, 2375)
    assert rated(seen(tmp_path)) == {"docker_api_open": Severity.HIGH}
    engine.close()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], {"docker_api_open": Severity.CRITICAL}), (["-Verify", "1"], {})],
    ids=["to anybody", "to whom has a certificate"],
)
def test_docker_over_tls_is_open_unless_it_asks_for_a_certificate(
    arguments: list[str], expected: dict[str, Severity], world: NetworkWorld, tmp_path: Path
) -> None:
    make().write(tmp_path)
    # OpenSSL's server sends files as they are, with their headers.
    (tmp_path / "version").write_bytes(answer(b'{"ApiVersion": "1.50"}'))
    argv = [need("openssl", package="openssl"), "s_server", "-accept", "2376", "-HTTP", "-quiet"]
    files = ["-cert", str(tmp_path / "cert.pem"), "-key", str(tmp_path / "key.pem")]
    server = Process([*argv, *files, *arguments], log_file=tmp_path / "openssl.log", cwd=tmp_path)
    server.wait_ready(lambda: socket.create_connection((IPV4, 2376), 5).close() is None, "openssl listens")
    told = seen(tmp_path)
    server.stop()
    assert (rated(told), told.missed) == (expected, [])


def test_plain_http_is_found_where_tls_must_be(world: NetworkWorld, tmp_path: Path) -> None:
    make().write(tmp_path)
    web = HttpServer(lambda request: reply(request, 200, b"hello", {}), 443, EVERYWHERE)
    named = HttpServer(lambda request: reply(request, 302, b"", {}), 7000)
    with TlsServer(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path) as good:
        endpoints = [{"address": f"localhost:{good.port}"}, {"address": "127.0.0.1:7000"}]
        told = seen(tmp_path, {"tls_endpoints": endpoints, "tls_ports": [443, good.port]})
    assert {one.subject: one.severity for one in by_rule(told)["plain_http"]} == {
        "tcp/0.0.0.0:443 " + _own_name(): Severity.HIGH,
        "tls/127.0.0.1:7000": Severity.HIGH,
    }
    assert told.missed == []
    web.close()
    named.close()


def test_a_server_of_tls_that_answers_400_to_plain_http_is_not_taken_for_plain(tmp_path: Path) -> None:
    def picky(connection: socket.socket, closing: threading.Event) -> None:
        first = connection.recv(4096)
        alert = b"\x15\x03\x03\x00\x02\x02\x28"
        connection.sendall(alert if first[:1] == b"\x16" else answer(b"use TLS", "400 Bad Request"))

    with TcpServer(picky) as server:
        told = seen(tmp_path, {"tls_endpoints": [{"address": f"127.0.0.1:{server.port}"}]})
    assert told.weaknesses == []
    assert told.missed == [f"tls/127.0.0.1:{server.port}: it turns down every version of TLS"]


def _own_name() -> str:
    return Path("/proc/self/comm").read_text().strip()


def drip(connection: socket.socket, closing: threading.Event) -> None:
    while not closing.wait(0.05):
        connection.sendall(b"R")


PORTS = {"redis": 6379, "postgres": 5432, "ollama": 11434, "docker": 2375, "tls": 443}
HOSTILE: list[tuple[str, Handler]] = [
    ("silent", silent),
    ("drips", drip),
    ("garbage for ever", endless(b"", b"\x00\xff" * 2048)),
    ("a banner for ever", endless(b"220 ", b"welcome\x1b[31m\r\n" * 100)),
    ("hangs up", lambda connection, closing: None),
    ("an error", always(b"-ERR \x1b[2Jno\r\n")),
    ("a large message", endless(b"R\x7f\xff\xff\xff", b"x" * 4096)),
    ("a large bulk", endless(b"$999999999999\r\n", b"x" * 4096)),
]


@pytest.mark.parametrize(("what", "handler"), HOSTILE, ids=[what for what, _ in HOSTILE])
def test_services_that_do_not_behave_are_missed_in_time(
    what: str, handler: Handler, world: NetworkWorld, tmp_path: Path
) -> None:
    servers = [TcpServer(handler, port, EVERYWHERE) for port in PORTS.values()]
    began = time.monotonic()
    told = seen(tmp_path, {"probe_timeout_seconds": 0.3}, postgres=PostgresSettings(connect_timeout_seconds=2))
    assert time.monotonic() - began < 20
    assert told.weaknesses == []
    assert told.scanned == len(PORTS)
    for name, port in PORTS.items():
        assert any(f":{port}" in missed for missed in told.missed), name
    assert all(missed.isprintable() and len(missed) < 500 for missed in told.missed)
    for server in servers:
        server.__exit__(None, None, None)


def test_a_silent_service_keeps_no_other_from_being_asked(
    world: NetworkWorld, redis_factory: Callable[..., RedisServer], tmp_path: Path
) -> None:
    redis = redis_factory(password=None, bind=EVERYWHERE, protected_mode="no")
    with TcpServer(silent, 11434, EVERYWHERE):
        told = seen(tmp_path, {"probe_timeout_seconds": 3})
    assert rated(told) == {"redis_without_password": Severity.CRITICAL}
    assert len(told.missed) == 1
    redis.close()


def test_what_was_reached_when_the_time_is_over_is_kept(
    world: NetworkWorld, redis_factory: Callable[..., RedisServer], tmp_path: Path
) -> None:
    redis = redis_factory(password=None, bind=EVERYWHERE, protected_mode="no")
    clients = clients_of(tmp_path, docker=DockerSettings(url=f"unix://{tmp_path}/no.sock"))
    deadline = clients.clock.monotonic() + 8
    patient = Settings.model_validate({"network": {"probe_timeout_seconds": 30}})
    told = Look(patient, clients, full=False, unit="services", deadline=deadline)
    with TcpServer(silent, 11434, EVERYWHERE), pytest.raises(OutOfTime):
        SERVICES.scan(told)
    assert rated(told.so_far()) == {"redis_without_password": Severity.CRITICAL}
    redis.close()


def test_a_stopped_postgres_is_missed_in_time(postgres_factory: Callable[..., PostgresServer], tmp_path: Path) -> None:
    server = postgres_factory()
    server.pause()
    began = time.monotonic()
    told = seen(
        tmp_path,
        {"probe_timeout_seconds": 0.5},
        postgres=PostgresSettings(dsn=server.dsn, connect_timeout_seconds=2),
    )
    server.resume()
    assert time.monotonic() - began < 20
    assert any("no answer within 2 s" in missed for missed in told.missed)
    assert any("did not answer within 0.5 s" in missed for missed in told.missed)
    assert server.password not in repr(told)


def test_connections_without_encryption_are_told_by_where_they_lead() -> None:
    world = World(
        endpoints=(
            Endpoint(name="far", url="http://api.example.org/health"),
            Endpoint(name="near", url="http://backend:8000/health"),
            Endpoint(name="private", url="http://10.1.2.3/"),
            Endpoint(name="here", url="http://127.0.0.1:8000/health"),
            Endpoint(name="safe", url="https://api.example.org/health"),
        ),
        ollama=OllamaSettings(url="http://[2001:4860:4860::8888]:11434"),
        docker=DockerSettings(url="tcp://10.0.0.1:2375"),
        redis=RedisSettings(url="redis://:canary@cache.example.org:6379/0"),
    )
    weaknesses = judge(world)
    assert {one.subject: one.severity for one in weaknesses} == {
        "endpoints/far": Severity.MEDIUM,
        "endpoints/near": Severity.LOW,
        "endpoints/private": Severity.LOW,
        "ollama.url": Severity.MEDIUM,
        "docker.url": Severity.HIGH,
        "redis.url": Severity.MEDIUM,
    }
    assert "canary" not in repr(weaknesses)


@pytest.mark.parametrize("url", ["redis://user:12/secret@host:6379", "redis://secret?@host"])
def test_a_password_that_is_not_escaped_is_not_taken_for_a_host(url: str, tmp_path: Path) -> None:
    told = seen(tmp_path, redis=RedisSettings(url=url))
    assert "secr" not in repr(told)
    assert len([missed for missed in told.missed if missed.startswith("redis.url: ")]) == 1
