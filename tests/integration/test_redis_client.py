"""What the Redis client says of real servers: well, locked, loading, full, stopped."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest
import redis
from pydantic import SecretStr

from jobs.clients.errors import Absent, ClientError
from jobs.clients.redis import Redis
from jobs.core.settings import RedisSettings
from tests.services.ports import free_port
from tests.services.redis import RedisServer
from tests.services.wait import wait_for
from tests.stand_ins import TcpServer, silent

CANARY = "canary-password"


def client(url: str, password: str | None = None, timeout_seconds: float = 20) -> Redis:
    return Redis(
        RedisSettings(
            url=SecretStr(url), password=SecretStr(password) if password else None, timeout_seconds=timeout_seconds
        )
    )


def test_a_server_tells_its_memory_and_version(redis_server: RedisServer) -> None:
    status = client(redis_server.url).status()
    info = redis_server.client().info()
    assert status.version == info["redis_version"]
    assert status.used_bytes == pytest.approx(info["used_memory"], rel=0.5)
    assert (status.max_bytes, status.save_failed, status.link_to_master_down) == (0, False, False)
    assert status.where == f"127.0.0.1:{redis_server.port}"


def test_the_password_may_stand_beside_the_url(redis_server: RedisServer) -> None:
    assert client(redis_server.url_without_password, redis_server.password).status().used_bytes > 0


def test_no_password_is_a_failure(redis_server: RedisServer) -> None:
    with pytest.raises(ClientError, match=r"asks for a password .*set redis\.password"):
        client(redis_server.url_without_password).status()


def test_a_wrong_password_is_a_failure_without_the_password(redis_server: RedisServer) -> None:
    with pytest.raises(ClientError, match="the password is wrong") as failure:
        client(redis_server.url_without_password, CANARY).status()
    assert CANARY not in str(failure.value)


def test_loading_is_a_failure(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory()
    writer = server.client()
    writer.mset({f"key{i}": "value" for i in range(2000)})
    writer.save()
    server.stop()
    server.start(wait=False, key_load_delay=5000, loading_process_events_interval_bytes=1024)

    def failure() -> str:
        with pytest.raises(ClientError) as caught:
            client(server.url).status()
        return str(caught.value) if "LOADING" in str(caught.value) else ""

    assert "still loading" in wait_for(failure, 60, "the client sees LOADING")


def test_max_clients_is_a_failure(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory(maxclients=1)
    with server.client() as held:
        held.ping()
        with pytest.raises(ClientError, match="max number of clients reached"):
            client(server.url).status()


def test_a_full_server_says_that_it_takes_no_writes(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory(maxmemory=1, maxmemory_policy="noeviction")
    with pytest.raises(redis.OutOfMemoryError):
        server.client().set("key", "value")
    status = client(server.url).status()
    assert status.refuses_when_full
    assert status.used_bytes > status.max_bytes > 0


def test_a_failed_save_is_told(redis_factory: Callable[..., RedisServer]) -> None:
    # The server cannot write a file where a directory stands.
    server = redis_factory()
    (server.directory / "dump.rdb").mkdir()
    server.client().bgsave()
    wait_for(lambda: client(server.url).status().save_failed, 20, "the save has failed")


def test_a_replica_without_its_master_says_so(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory(replicaof=f"127.0.0.1 {free_port()}")
    assert client(server.url).status().link_to_master_down


def test_a_stopped_server_costs_the_timeout_and_no_more(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory()
    server.pause()
    started = time.monotonic()
    with pytest.raises(ClientError, match=r"no answer within 0\.5 s"):
        client(server.url, timeout_seconds=0.5).status()
    assert 0.4 < time.monotonic() - started < 10


def test_a_refused_connection_is_a_failure_not_absence() -> None:
    with pytest.raises(ClientError, match="refused") as failure:
        client(f"redis://:{CANARY}@127.0.0.1:{free_port()}/0").status()
    assert not isinstance(failure.value, Absent)
    assert CANARY not in str(failure.value)


def test_nobody_at_the_usual_address_is_absence() -> None:
    with pytest.raises(Absent, match=r"set redis\.url"):
        Redis(RedisSettings(), port=free_port()).status()


def test_a_server_at_the_usual_address_is_found(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory(password=None)
    assert Redis(RedisSettings(), port=server.port).status().used_bytes > 0


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:pa/{CANARY}@127.0.0.1/0",
        f"redis://:pa#{CANARY}@127.0.0.1/0",
        f"redis://:{CANARY}?x@127.0.0.1/0",
        f"redis://127.0.0.1:{CANARY}/0",
        f"redis://127.0.0.1/0?{CANARY}=1",
    ],
)
def test_a_url_that_cannot_be_read_is_told_without_its_parts(url: str) -> None:
    """Most of them the settings refuse already; the client judges by itself as well."""
    with pytest.raises(ClientError) as failure:
        Redis(RedisSettings.model_construct(url=SecretStr(url), timeout_seconds=20)).status()
    assert CANARY not in str(failure.value)


@pytest.mark.parametrize(
    "reply",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\xfe" * 100 + b"\r\n", b"*1000000000\r\n", b"", b"$-5\r\n", b":7\r\n"],
)
def test_a_server_that_is_none_is_a_failure(reply: bytes) -> None:
    def garbage(connection: socket.socket, closing: threading.Event) -> None:
        while connection.recv(1024):
            connection.sendall(reply)

    with TcpServer(garbage) as server, pytest.raises(ClientError) as failure:
        client(f"redis://127.0.0.1:{server.port}/0", timeout_seconds=1).status()
    assert not isinstance(failure.value, Absent)


def test_a_server_that_is_silent_is_a_failure() -> None:
    with TcpServer(silent) as server, pytest.raises(ClientError, match=r"no answer within 0\.3 s"):
        client(f"redis://127.0.0.1:{server.port}/0", timeout_seconds=0.3).status()
