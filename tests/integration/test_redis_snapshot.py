"""A snapshot of a real Redis is whole, holds every key, and changes nothing; one that is not whole is an error."""

from __future__ import annotations

import secrets
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from jobs.clients.errors import ClientError, Refused
from jobs.clients.redis import Redis
from jobs.core.settings import RedisSettings
from tests.services.binaries import need
from tests.services.ports import free_port
from tests.services.redis import EMPTY_RDB as EMPTY
from tests.services.redis import RedisServer
from tests.stand_ins import Handler, TcpServer


def client(url: str, timeout_seconds: float = 10) -> Redis:
    return Redis(RedisSettings(url=SecretStr(url), timeout_seconds=timeout_seconds))


def fill(server: RedisServer) -> None:
    writer = server.client()
    writer.mset({f"key{number}": secrets.token_hex(2000) for number in range(300)})
    writer.rpush("list", *"abcdef")
    writer.hset("hash", mapping={"field": "value"})
    writer.zadd("sorted", {"member": 1.5})
    writer.xadd("stream", {"field": "value"})
    writer.sadd("numbers", 1, 2, 3)
    writer.set("short-lived", "value", ex=3600)


def contents(server: RedisServer) -> dict[str, tuple[bool, str]]:
    """Whether each key has a time to live, and a digest of its value."""
    reader = server.client()
    return {
        key: (reader.ttl(key) > 0, reader.execute_command("DEBUG", "DIGEST-VALUE", key)[0])
        for key in reader.scan_iter()
    }


def server_with(factory: Callable[..., RedisServer], **settings: object) -> RedisServer:
    server = factory(repl_diskless_sync_delay=0, enable_debug_command="yes", **settings)
    fill(server)
    return server


@pytest.mark.parametrize("diskless", ["yes", "no"])
def test_a_snapshot_holds_every_key_and_can_be_loaded(
    tmp_path: Path, redis_factory: Callable[..., RedisServer], diskless: str
) -> None:
    server = server_with(redis_factory, repl_diskless_sync=diskless)
    before = contents(server)
    pieces: list[bytes] = []
    facts = client(server.url).snapshot(pieces.append, deadline_seconds=60)
    data = b"".join(pieces)
    assert (facts.bytes, facts.keys, facts.checksum) == (len(data), len(before), True)
    assert facts.redis_version == server.client().info()["redis_version"]
    assert max(map(len, pieces)) <= 262144
    assert contents(server) == before

    other = redis_factory(enable_debug_command="yes")
    other.stop()
    (other.directory / "dump.rdb").write_bytes(data)
    other.start()
    assert contents(other) == before


def test_rediss_own_checker_agrees(tmp_path: Path, redis_factory: Callable[..., RedisServer]) -> None:
    server = server_with(redis_factory)
    with (tmp_path / "dump.rdb").open("wb") as file:
        facts = client(server.url).snapshot(file.write, deadline_seconds=60)
    checker = need("redis-check-rdb", package="redis-tools")
    said = subprocess.run([checker, str(tmp_path / "dump.rdb")], capture_output=True, text=True, timeout=60, check=True)
    assert "\\o/ RDB looks OK!" in said.stdout
    assert f"{facts.keys} keys read" in said.stdout


def test_keys_of_several_databases_are_not_counted(redis_factory: Callable[..., RedisServer]) -> None:
    server = server_with(redis_factory)
    server.client().move("list", 3)
    assert client(server.url).snapshot(len, deadline_seconds=60).keys is None


def test_an_empty_server_gives_an_empty_snapshot(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory(repl_diskless_sync_delay=0, rdbchecksum="no")
    facts = client(server.url).snapshot(len, deadline_seconds=60)
    assert (facts.keys, facts.checksum) == (0, False)


def test_a_snapshot_leaves_no_replica_behind(redis_factory: Callable[..., RedisServer]) -> None:
    server = server_with(redis_factory)
    client(server.url).snapshot(len, deadline_seconds=60)
    replication = server.client().info("replication")
    assert (replication["role"], replication["connected_slaves"]) == ("master", 0)


def test_a_unix_socket_serves_as_well(redis_factory: Callable[..., RedisServer]) -> None:
    server = server_with(redis_factory, unixsocket="redis.sock")
    path = server.directory / "redis.sock"
    found = client(f"unix://:{server.password}@{path}")
    assert found.where == str(path)
    assert found.status().used_bytes > 0
    assert found.snapshot(len, deadline_seconds=60).keys == len(contents(server))


def test_tls_serves_as_well_and_refuses_a_stranger(tmp_path: Path, redis_factory: Callable[..., RedisServer]) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    openssl = [
        need("openssl", package="openssl"),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]
    options = ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*openssl, *options, "-keyout", key, "-out", certificate], capture_output=True, timeout=60, check=True
    )
    port = free_port()
    server = server_with(
        redis_factory, tls_port=port, tls_cert_file=certificate, tls_key_file=key, tls_auth_clients="no"
    )
    url = f"rediss://:{server.password}@127.0.0.1:{port}/0"
    trusted = client(f"{url}?ssl_ca_certs={certificate}")
    assert trusted.status().used_bytes > 0
    assert trusted.snapshot(len, deadline_seconds=60).keys == len(contents(server))
    with pytest.raises(ClientError, match="certificate") as failure:
        client(url).status()
    assert str(server.password) not in str(failure.value)


def test_a_user_that_may_do_little_is_told_what_is_missing(redis_factory: Callable[..., RedisServer]) -> None:
    server = server_with(redis_factory)
    admin = server.client()
    admin.execute_command("ACL", "SETUSER", "limited", "on", ">pass", "+ping", "+info")
    limited = client(f"redis://limited:pass@127.0.0.1:{server.port}/0")
    with pytest.raises(Refused, match=r"ACL SETUSER NAME \+sync \+replconf"):
        limited.snapshot(len, deadline_seconds=60)
    admin.execute_command("ACL", "SETUSER", "limited", "+replconf", "+sync")
    assert limited.snapshot(len, deadline_seconds=60).keys == len(contents(server))


def test_a_server_that_knows_no_sync_refuses(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory(rename_command='SYNC ""')
    with pytest.raises(Refused, match="unknown command"):
        client(server.url).snapshot(len, deadline_seconds=60)


def test_a_replica_that_lost_its_master_has_no_snapshot(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory(replicaof=f"127.0.0.1 {free_port()}")
    with pytest.raises(ClientError, match="NOMASTERLINK"):
        client(server.url).snapshot(len, deadline_seconds=60)


def test_more_than_is_allowed_is_given_up(redis_factory: Callable[..., RedisServer]) -> None:
    for diskless in ("yes", "no"):
        server = server_with(redis_factory, repl_diskless_sync=diskless)
        written: list[bytes] = []
        with pytest.raises(ClientError, match="more than the 100000 bytes"):
            client(server.url).snapshot(written.append, deadline_seconds=60, max_bytes=100_000)
        assert sum(map(len, written)) <= 100_000


def test_a_server_that_dies_in_the_middle_is_an_error(redis_factory: Callable[..., RedisServer]) -> None:
    server = server_with(redis_factory)
    server.client().config_set("rdb-key-save-delay", 20_000)

    def die(piece: bytes) -> None:
        server.kill()

    with pytest.raises(ClientError, match=r"closed|reset"):
        client(server.url).snapshot(die, deadline_seconds=60)


def test_a_snapshot_ends_at_its_deadline(redis_factory: Callable[..., RedisServer]) -> None:
    server = server_with(redis_factory)
    server.client().config_set("rdb-key-save-delay", 1_000_000)
    with pytest.raises(ClientError, match="not there within its deadline"):
        client(server.url).snapshot(len, deadline_seconds=0.5)


def test_what_the_writer_raises_goes_through(redis_factory: Callable[..., RedisServer]) -> None:
    server = server_with(redis_factory)

    def full(piece: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        client(server.url).snapshot(full, deadline_seconds=60)


# Servers that misbehave on the wire.


def answering(snapshot: bytes) -> Handler:
    """Stands for a server that answers every command as a healthy one does, and SYNC with `snapshot`."""

    def handle(connection: socket.socket, closing: threading.Event) -> None:
        while command := connection.recv(4096):
            if b"SYNC" in command:
                connection.sendall(snapshot)
                return
            connection.sendall(b"$16\r\nredis_version:7\n\r\n" if b"INFO" in command else b"+OK\r\n")

    return handle


MARK = b"0123456789" * 4


@pytest.mark.parametrize(
    "snapshot",
    [b"\n\n$%d\r\n%s" % (len(EMPTY), EMPTY), b"\n$EOF:%s\r\n%s%s" % (MARK, EMPTY, MARK)],
)
def test_both_framings_are_known(snapshot: bytes) -> None:
    with TcpServer(answering(snapshot)) as server:
        assert client(f"redis://127.0.0.1:{server.port}").snapshot(len, deadline_seconds=20).keys == 0


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        (b"$%d\r\n%s" % (len(EMPTY) + 1, EMPTY), "closed"),
        (b"$%d\r\n%s" % (len(EMPTY) - 1, EMPTY), "not whole"),
        (b"$EOF:%s\r\n%s" % (MARK, EMPTY), "closed"),
        (b"$EOF:%s\r\n%s%s" % (MARK, EMPTY[:-1], MARK), "not whole"),
        (b"$EOF:short\r\n" + EMPTY, "no known framing"),
        (b"$-1\r\n", "no known framing"),
        (b"$999999999999999999999\r\n", "no known framing"),
        (b"$20\r\n" + bytes(20), "not whole"),
        (b"$0\r\n", "not whole"),
        (b"+CONTINUE\r\n", "something else"),
        (b"-ERR \x1b[2J no\r\n", "no"),
        (b"", "closed"),
        (b"x" * 200_000, "a line without end"),
    ],
)
def test_a_snapshot_that_is_not_whole_is_an_error(snapshot: bytes, reason: str) -> None:
    with TcpServer(answering(snapshot)) as server, pytest.raises(ClientError, match=reason):
        client(f"redis://127.0.0.1:{server.port}").snapshot(len, deadline_seconds=20)
