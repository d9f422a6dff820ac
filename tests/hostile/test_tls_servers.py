"""Servers that are asked for their certificate and mean no good: each costs its time limit at most, and one line."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.clients.errors import ClientError
from jobs.clients.tls import served_certificate
from jobs.clients.tls_wire import MAX_RECEIVED_BYTES
from tests.services.certificate_runs import CertificateRuns
from tests.services.certificates import make
from tests.services.tls_server import TlsServer
from tests.stand_ins import Handler, TcpServer, endless, silent

LIMIT_SECONDS = 1.0


def drip(start: bytes, piece: bytes) -> Handler:
    """Sends a little now and then, so that no time-out of a socket ever fires."""

    def handle(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(start)
        while not closing.wait(0.05):
            connection.sendall(piece)

    return handle


def says(text: bytes) -> Handler:
    def handle(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(text)
        connection.recv(4096)

    return handle


HANDSHAKE = b"\x16\x03\x03\xff\xff"

CASES: list[tuple[str, str, Handler]] = [
    ("silent", "tls", silent),
    ("silent", "postgres", silent),
    ("silent", "smtp", silent),
    ("drips a handshake", "tls", drip(HANDSHAKE, b"\x02")),
    ("drips a greeting", "smtp", drip(b"220", b"-")),
    ("greets for ever", "smtp", endless(b"", b"220-hello\r\n")),
    ("a line for ever", "smtp", endless(b"220 ", b"x" * 1000)),
    ("garbage for ever", "tls", endless(b"", b"\x00" * 65536)),
    ("handshake for ever", "tls", endless(b"", b"\x16\x03\x03\x00\x04\x02\x00\x00\x00")),
    ("speaks HTTP", "tls", says(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    ("hangs up", "tls", says(b"")),
    ("an alert", "tls", says(b"\x15\x03\x03\x00\x02\x02\x28")),
    ("refuses", "smtp", says(b"554 go away\x1b[2J\r\n")),
    ("no STARTTLS", "smtp", says(b"220 hi\r\n250 HELP\r\n")),
    ("an error", "postgres", says(b"E")),
    ("nonsense", "postgres", says(b"\x00")),
]


@pytest.mark.parametrize(("what", "protocol", "handler"), CASES, ids=[f"{p}: {w}" for w, p, _ in CASES])
def test_a_server_that_does_not_behave_is_given_up(what: str, protocol: str, handler: Handler) -> None:
    began = time.monotonic()
    with TcpServer(handler) as server, pytest.raises(ClientError) as failure:
        served_certificate(
            "127.0.0.1", server.port, protocol=protocol, server_name="x", ca_file=None, timeout_seconds=LIMIT_SECONDS
        )
    assert time.monotonic() - began < LIMIT_SECONDS + 10
    assert str(failure.value).startswith(f"127.0.0.1:{server.port}")
    assert str(failure.value).isprintable()


def test_what_is_received_is_counted() -> None:
    sent = [0]

    def handle(connection: socket.socket, closing: threading.Event) -> None:
        while not closing.is_set():
            # Records of the right form that never make up a whole message.
            connection.sendall(
                b"\x16\x03\x03\x40\x00" + (b"\x02\xff\xff\xff" if not sent[0] else b"zzzz") + b"z" * 16380
            )
            sent[0] += 16389

    with TcpServer(handle) as server, pytest.raises(ClientError):
        served_certificate("127.0.0.1", server.port, protocol="tls", server_name="x", ca_file=None, timeout_seconds=20)
    assert sent[0] < 40 * MAX_RECEIVED_BYTES


def test_a_bad_server_does_not_keep_others_from_being_asked(tmp_path: Path) -> None:
    make().write(tmp_path / "ssl")
    with TcpServer(silent) as mute, TlsServer(tmp_path / "ssl/cert.pem", tmp_path / "ssl/key.pem", tmp_path) as good:
        endpoints = [
            {"address": f"127.0.0.1:{mute.port}", "timeout_seconds": 0.5},
            {"address": good.address, "certificate": "ssl/cert.pem"},
        ]
        result = CertificateRuns(tmp_path, endpoints=endpoints).run("watch")
    up = {s.labels["endpoint"]: s.value for s in result.samples if s.family == "sutazai_certificate_endpoint_up"}
    assert up == {f"127.0.0.1:{mute.port}": 0, good.address: 1}
    [down] = [finding for finding in result.findings if finding.kind == "endpoint_down"]
    assert "did not answer within 0.5 s" in down.message


def test_names_in_a_directory_are_data(tmp_path: Path, watch: Callable[..., list[str]]) -> None:
    names = [
        "a\nb.pem",
        "\x1b[31mred.pem",
        "$(id).pem",
        "--help.pem",
        "ü.pem",
        b"\xff\xfe.pem".decode(errors="surrogateescape"),
    ]
    for name in names:
        (tmp_path / "certs").mkdir(exist_ok=True)
        (tmp_path / "certs" / name).write_bytes(make().cert_pem)
    labels = watch(directories=["certs"])
    assert len([label for label in labels if label.startswith("certs/")]) == len(names)
    assert all(label.isprintable() and label.isascii() for label in labels)


def test_a_directory_is_not_followed_out_or_read_without_end(tmp_path: Path, watch: Callable[..., list[str]]) -> None:
    (tmp_path / "certs" / "a" / "b" / "c" / "d").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for place in ("certs/a/b/c/deep.pem", "certs/a/b/c/d/too-deep.pem", "elsewhere/out.pem"):
        (tmp_path / place).write_bytes(make().cert_pem)
    (tmp_path / "certs" / "loop").symlink_to(tmp_path)
    (tmp_path / "certs" / "dhparams.pem").write_bytes(b"-----BEGIN DH PARAMETERS-----\n")
    (tmp_path / "certs" / "endless.pem").symlink_to("/dev/zero")
    (tmp_path / "certs" / "truncated.pem").write_bytes(make().cert_pem[:300])
    labels = watch(directories=["certs"])
    assert sorted(labels) == ["certs/a/b/c/deep.pem", "certs/endless.pem", "certs/truncated.pem", "ssl/cert.pem"]
    result = CertificateRuns(tmp_path, directories=["certs"], max_directory_files=2).run("watch")
    assert "2 files beyond max_directory_files (2)" in [f.message for f in result.findings if f.kind == "not_looked_at"]


@pytest.fixture
def watch(tmp_path: Path) -> Callable[..., list[str]]:
    """The labels of the certificates that a look finds."""

    def look(**settings: object) -> list[str]:
        result = CertificateRuns(tmp_path, **settings).run("watch")
        return sorted({s.labels["certificate"] for s in result.samples if "certificate" in s.labels})

    return look
