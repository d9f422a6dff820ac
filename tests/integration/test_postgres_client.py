"""What the PostgreSQL client says of real servers: well, locked, stopped, full, killed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest
from pydantic import SecretStr

from jobs.clients.errors import Absent, ClientError, Refused
from jobs.clients.postgres import Postgres
from jobs.core.settings import PostgresSettings
from tests.services.ports import free_port
from tests.services.postgres import PostgresServer
from tests.stand_ins import TcpServer

CANARY = "canary-password"


def client(dsn: str | None, password: str | None = None, timeout_seconds: int = 20) -> Postgres:
    return Postgres(
        PostgresSettings(
            dsn=SecretStr(dsn) if dsn else None,
            password=SecretStr(password) if password else None,
            connect_timeout_seconds=timeout_seconds,
        )
    )


def key_value(server: PostgresServer, *more: str) -> str:
    return " ".join([f"host={server.host} port={server.port} user={server.user} dbname={server.database}", *more])


def test_a_server_tells_its_size_connections_and_version(postgres_server: PostgresServer) -> None:
    status = client(postgres_server.dsn).status()
    [(version, size)] = postgres_server.execute("SELECT current_setting('server_version'), pg_database_size('sutazai')")
    assert (status.version, status.database, status.max_connections) == (version, "sutazai", 50)
    assert status.database_bytes == pytest.approx(size, rel=0.1)
    assert 1 <= status.connections <= 50
    assert not status.in_recovery
    assert status.where == f"127.0.0.1:{postgres_server.port}"


def test_nothing_of_the_check_stays_connected(postgres_server: PostgresServer) -> None:
    client(postgres_server.dsn).status()
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sutazai-exporter' AND state = 'active'"
    assert postgres_server.execute(query) == [(0,)]


@pytest.mark.parametrize("form", ["url", "key=value", "password in the settings", "escaped password"])
def test_every_form_of_dsn_connects(postgres_server: PostgresServer, form: str) -> None:
    secret = postgres_server.password
    escaped = "".join(f"%{ord(character):02x}" for character in secret)
    dsn, password = {
        "url": (postgres_server.dsn, None),
        "key=value": (key_value(postgres_server, f"password='{secret}'"), None),
        "password in the settings": (key_value(postgres_server), secret),
        "escaped password": (postgres_server.dsn_of("sutazai", password=escaped), None),
    }[form]
    assert client(dsn, password).status().database == "sutazai"


def test_a_wrong_password_is_a_refusal_without_the_password(postgres_server: PostgresServer) -> None:
    with pytest.raises(Refused, match="password authentication failed") as refusal:
        client(postgres_server.dsn_of("sutazai", password=CANARY)).status()
    assert CANARY not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_password_is_a_refusal(postgres_server: PostgresServer) -> None:
    with pytest.raises(Refused, match="no password supplied"):
        client(key_value(postgres_server)).status()


def test_a_missing_database_is_a_refusal(postgres_server: PostgresServer) -> None:
    with pytest.raises(Refused, match='database "nowhere" does not exist'):
        client(postgres_server.dsn_of("nowhere")).status()


def test_a_refused_connection_is_a_failure() -> None:
    with pytest.raises(ClientError, match="Connection refused") as failure:
        client(f"postgresql://u:{CANARY}@127.0.0.1:{free_port()}/x").status()
    assert not isinstance(failure.value, Refused | Absent)
    assert CANARY not in str(failure.value)


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://u:pa@{CANARY}@127.0.0.1/x",
        f"host=127.0.0.1 password=a {CANARY}",
        f"host=127.0.0.1 password='{CANARY}",
        f"postgresql://u:%zz{CANARY}@127.0.0.1/x",
    ],
)
def test_a_dsn_that_cannot_be_read_is_told_without_its_parts(dsn: str) -> None:
    with pytest.raises(ClientError) as failure:
        client(dsn).status()
    assert CANARY not in str(failure.value)


def test_a_stopped_server_costs_the_connect_timeout_and_no_more(
    postgres_factory: Callable[..., PostgresServer],
) -> None:
    server = postgres_factory()
    server.pause()
    started = time.monotonic()
    with pytest.raises(ClientError, match="no answer within 2 s"):
        client(server.dsn, timeout_seconds=2).status()
    assert 1.9 < time.monotonic() - started < 10
    server.resume()
    assert client(server.dsn).status().database == "sutazai"


def test_a_full_server_is_a_failure(postgres_factory: Callable[..., PostgresServer]) -> None:
    server = postgres_factory(max_connections=5, superuser_reserved_connections=0)
    held = []
    with pytest.raises(psycopg2.OperationalError):
        for _ in range(6):
            held.append(server.connect())
    with pytest.raises(ClientError, match="too many clients") as failure:
        client(server.dsn).status()
    assert not isinstance(failure.value, Refused)
    for connection in held:
        connection.close()


def test_a_server_that_drips_is_cut_off_at_the_deadline() -> None:
    def drip(connection: socket.socket, closing: threading.Event) -> None:
        connection.recv(1024)
        connection.sendall(b"R" + (8).to_bytes(4, "big") + (0).to_bytes(4, "big"))  # AuthenticationOk
        while not closing.wait(0.01):
            connection.sendall(b"S" + (8).to_bytes(4, "big") + b"a\0b\0")  # ParameterStatus, never ReadyForQuery

    with TcpServer(drip) as server, pytest.raises(ClientError, match="no answer within 2 s"):
        client(
            f"postgresql://u@127.0.0.1:{server.port}/x?sslmode=disable&gssencmode=disable", timeout_seconds=2
        ).status()


def test_a_server_that_is_none_is_a_failure() -> None:
    def garbage(connection: socket.socket, closing: threading.Event) -> None:
        connection.recv(1024)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with TcpServer(garbage) as server, pytest.raises(ClientError) as failure:
        client(f"postgresql://u@127.0.0.1:{server.port}/x").status()
    assert not isinstance(failure.value, Refused | Absent)


def local(directory: Path, port: int, password: str | None = None) -> Postgres:
    """A client that nobody configured, for usual addresses of the test's own."""
    settings = PostgresSettings(password=SecretStr(password) if password else None)
    return Postgres(settings, socket_directory=directory, port=port)


def test_nobody_at_the_usual_addresses_is_absence(tmp_path: Path) -> None:
    with pytest.raises(Absent, match=r"set postgres\.dsn"):
        local(tmp_path, free_port()).status()


def test_a_server_at_the_usual_addresses_is_found_but_not_entered(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with pytest.raises(Refused):
        local(tmp_path, postgres_server.port).status()
    with pytest.raises(Refused):
        local(postgres_server.directory, postgres_server.port).status()


def test_a_socket_that_a_killed_server_left_is_a_failure_not_absence(tmp_path: Path) -> None:
    port = free_port()
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / f".s.PGSQL.{port}"))
    with pytest.raises(ClientError, match="Connection refused") as failure:
        local(tmp_path, port).status()
    assert not isinstance(failure.value, Absent)
