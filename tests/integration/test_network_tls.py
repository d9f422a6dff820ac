"""Versions of TLS and ciphers that servers take: OpenSSL's own server, weak and modern, and what it has no more."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.core.model import Severity
from jobs.core.settings import DockerSettings
from jobs.security.network.ciphers import ALL, CIPHERS
from jobs.security.network.tls import TLS
from jobs.security.scanner import NothingHere, Seen
from tests.services.binaries import need
from tests.services.certificates import make
from tests.services.looks import by_rule, clients_of, look
from tests.services.network_world import NetworkWorld
from tests.services.ports import free_port
from tests.services.postgres import PostgresServer
from tests.services.postgres_access import serve_tls
from tests.services.process import Process
from tests.services.tls_server import TlsServer
from tests.stand_ins import Handler, TcpServer, always, answer, endless, silent

OLD = ["-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0", "-min_protocol", "TLSv1"]


@pytest.fixture
def openssl_server(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """OpenSSL's servers, by their arguments: `openssl_server("-tls1_2")` is the port of one that listens."""
    make(rsa_bits=2048).write(tmp_path)
    started: list[Process] = []

    def start(*arguments: str, port: int | None = None, host: str = "127.0.0.1") -> int:
        port = port or free_port()
        argv = [need("openssl", package="openssl"), "s_server", "-accept", f"{host}:{port}", "-quiet", "-www"]
        files = ["-cert", str(tmp_path / "cert.pem"), "-key", str(tmp_path / "key.pem")]
        started.append(Process([*argv, *files, *arguments], log_file=tmp_path / f"{port}.log"))
        started[-1].wait_ready(
            lambda: socket.create_connection((host.strip("[]"), port), 5).close() is None, "openssl listens"
        )
        return port

    yield start
    for process in started:
        process.stop()


def seen(tmp_path: Path, *ports: int, protocol: str = "tls", seconds: float = 1, **network: Any) -> Seen:
    """What the scanner tells of servers on these ports of loopback."""
    endpoints = [{"address": f"127.0.0.1:{port}", "protocol": protocol} for port in ports]
    clients = clients_of(tmp_path, docker=DockerSettings(url=f"unix://{tmp_path}/no.sock"))
    settings = {"tls_endpoints": endpoints, "tls_ports": [], "probe_timeout_seconds": seconds, **network}
    told = look(TLS, clients, {"network": settings})
    told.missed[:] = [missed for missed in told.missed if not missed.startswith("ports that containers publish: ")]
    return told


def test_every_old_version_and_weak_cipher_of_a_real_server_is_found(
    tmp_path: Path, openssl_server: Callable[..., int]
) -> None:
    weak, old = openssl_server(*OLD), openssl_server(*OLD, "-max_protocol", "TLSv1.1")
    told = seen(tmp_path, weak, old)
    found = {(one.subject, one.rule): one.severity for one in told.weaknesses}
    usual = {
        "tls_1_0": Severity.MEDIUM,
        "tls_1_1": Severity.MEDIUM,
        "null_cipher": Severity.HIGH,
        "anonymous_cipher": Severity.HIGH,
    }
    assert found == {
        **{(f"tls/127.0.0.1:{weak}", rule): severity for rule, severity in usual.items()},
        **{(f"tls/127.0.0.1:{old}", rule): severity for rule, severity in usual.items()},
        (f"tls/127.0.0.1:{old}", "no_modern_tls"): Severity.HIGH,
    }
    assert (told.scanned, told.missed) == (2, [])


@pytest.mark.parametrize("arguments", [[], ["-tls1_2"], ["-tls1_3"]], ids=["usual", "1.2 only", "1.3 only"])
def test_the_modern_twin_gives_nothing(
    arguments: list[str], tmp_path: Path, openssl_server: Callable[..., int]
) -> None:
    told = seen(tmp_path, openssl_server(*arguments))
    assert told.weaknesses == []
    assert (told.scanned, told.missed) == (1, [])


def chooses(version: int, ciphers: tuple[int, ...]) -> Handler:
    """Stands for a server of a library that still has what ours has given up: it answers with a ServerHello."""

    def handle(connection: socket.socket, closing: threading.Event) -> None:
        hello = connection.recv(65536)
        (offered_version,) = struct.unpack_from("!H", hello, 9)
        at = 44 + hello[43]
        (size,) = struct.unpack_from("!H", hello, at)
        offered = struct.unpack_from(f"!{size // 2}H", hello, at + 2)
        common = [cipher for cipher in offered if cipher in ciphers]
        if not common or version > offered_version or b"\x00\x2b\x00\x03\x02\x03\x04" in hello:
            connection.sendall(b"\x15\x03\x00\x00\x02\x02\x28")
            return
        body = struct.pack("!H", version) + bytes(32) + b"\0" + struct.pack("!H", common[0]) + b"\0"
        message = b"\x02" + len(body).to_bytes(3, "big") + body
        # Unknown name, a warning; then the message in two records.
        parts = [b"\x15\x03\x00\x00\x02\x01\x70", *(_record(part) for part in (message[:3], message[3:]))]
        for part in parts:
            connection.sendall(part)

    return handle


def _record(content: bytes) -> bytes:
    return struct.pack("!BHH", 22, 0x0300, len(content)) + content


def test_what_our_own_library_has_no_more_is_found_all_the_same(tmp_path: Path) -> None:
    with TcpServer(chooses(0x0300, ALL)) as ancient:
        rules = by_rule(seen(tmp_path, ancient.port))
    assert set(rules) == {"ssl_3_0", "no_modern_tls", *(weak.rule for weak in CIPHERS)}


@pytest.mark.parametrize("weak", CIPHERS, ids=[weak.rule for weak in CIPHERS])
def test_a_weak_cipher_is_told_from_the_others(weak: Any, tmp_path: Path) -> None:
    with TcpServer(chooses(0x0303, (0xC02F, *weak.ciphers))) as server:
        [one] = seen(tmp_path, server.port).weaknesses
    assert (one.rule, one.severity) == (weak.rule, weak.severity)


def test_a_server_that_chooses_what_was_not_offered_tells_nothing(tmp_path: Path) -> None:
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\x13\x37" + b"\0"
    reply = _record(b"\x02" + len(body).to_bytes(3, "big") + body)

    def handle(connection: socket.socket, closing: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(reply)

    with TcpServer(handle) as server:
        told = seen(tmp_path, server.port)
    assert told.weaknesses == []
    assert told.missed == [
        f"tls/127.0.0.1:{server.port}: 127.0.0.1:{server.port} turns down every version of TLS",
    ]


def test_tls_within_other_protocols_is_seen(tmp_path: Path, postgres_factory: Callable[..., PostgresServer]) -> None:
    make(rsa_bits=2048).write(tmp_path)
    with TlsServer(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path, smtp=True) as mail:
        told = seen(tmp_path, mail.port, protocol="smtp")
    assert (told.scanned, told.missed) == (1, [])
    server = postgres_factory(ssl_min_protocol_version="TLSv1", ssl_ciphers="ALL:@SECLEVEL=0")
    serve_tls(server)
    told = seen(tmp_path, server.port, protocol="postgres")
    assert {"tls_1_0", "tls_1_1"} <= set(by_rule(told))


def test_what_listens_on_a_port_of_tls_is_found_without_being_named(
    tmp_path: Path, openssl_server: Callable[..., int]
) -> None:
    made = NetworkWorld()
    try:
        with made.entered():
            openssl_server(*OLD, port=8443, host="[::]")
            openssl_server(*OLD, port=443, host="0.0.0.0")
            told = seen(tmp_path, tls_ports=[443, 8443])
            named = seen(tmp_path, 443, tls_ports=[443])
    finally:
        made.close()
    assert {one.subject for one in told.weaknesses} == {"tcp/0.0.0.0:443 openssl", "tcp/[::]:8443 openssl"}
    assert {one.subject for one in named.weaknesses} == {"tls/127.0.0.1:443"}  # once, by the name that it was given


def test_without_a_server_the_scanner_is_absent(tmp_path: Path) -> None:
    with pytest.raises(NothingHere, match="nothing listens on tls_ports"):
        seen(tmp_path)


def drip(connection: socket.socket, closing: threading.Event) -> None:
    """Sends a byte now and then, so that no time-out of a socket ever fires."""
    connection.sendall(b"\x16\x03\x03\x40\x00")
    while not closing.wait(0.05):
        connection.sendall(b"\x02")


HOSTILE: list[tuple[str, Handler, str]] = [
    ("silent", silent, "did not answer within 0.3 s"),
    ("drips", drip, "did not answer within 0.3 s"),
    ("HTTP", always(answer(b"")), "did not answer within 0.3 s"),
    ("garbage", endless(b"", b"\x00" * 4096), "does not speak TLS"),
    ("a record too large", endless(b"", b"\x16\x03\x03\xff\xff"), "does not speak TLS"),
    ("empty records", endless(b"", b"\x16\x03\x03\x00\x00"), "does not speak TLS"),
    ("warnings for ever", endless(b"", b"\x15\x03\x03\x00\x02\x01\x70"), "turns down every version of TLS"),
    ("another message", endless(b"", b"\x16\x03\x03\x00\x04\x0b\xff\xff\xff"), "does not answer with a ServerHello"),
    ("a hello too short", endless(b"", b"\x16\x03\x03\x00\x05\x02\x00\x00\x01\x00"), "that is not whole"),
    ("data of the application", endless(b"", b"\x17\x03\x03\x00\x01x"), "does not speak TLS"),
]


@pytest.mark.parametrize(("what", "handler", "reason"), HOSTILE, ids=[what for what, *_ in HOSTILE])
def test_a_server_that_does_not_behave_is_missed_in_time(
    what: str, handler: Handler, reason: str, tmp_path: Path, openssl_server: Callable[..., int]
) -> None:
    began = time.monotonic()
    with TcpServer(handler) as bad:
        told = seen(tmp_path, bad.port, seconds=0.3)
    assert time.monotonic() - began < 20
    assert (told.scanned, told.weaknesses) == (0, [])
    [missed] = told.missed
    assert reason in missed and missed.isprintable()


def test_a_silent_server_keeps_no_other_from_being_asked(tmp_path: Path, openssl_server: Callable[..., int]) -> None:
    good = openssl_server(*OLD)
    with TcpServer(silent) as mute:
        told = seen(tmp_path, mute.port, good)
    assert told.scanned == 1
    assert {one.subject for one in told.weaknesses} == {f"tls/127.0.0.1:{good}"}
    assert len(told.missed) == 1
