"""Probes of servers that answer, that do not, and that would rather keep us."""

from __future__ import annotations

import os
import resource
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.clients.http import Ask, HttpClient, Reply
from jobs.clients.http_exchange import MAX_HEAD_BYTES
from tests.services.ports import free_port
from tests.stand_ins import TcpServer, always, answer, endless, read_request, silent

OK = answer(b"fine")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ROOT = Path(__file__).parents[2]


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def fetch(server: TcpServer, timeout_seconds: float = 20, **options: object) -> Reply:
    return HttpClient().fetch(Ask(f"{server.url}/health", timeout_seconds=timeout_seconds, **options))  # type: ignore[arg-type]


def answered_with(response: bytes, **options: object) -> Reply:
    with TcpServer(always(response)) as server:
        return fetch(server, **options)


def test_a_reply_has_status_body_and_time() -> None:
    reply = answered_with(OK)
    assert (reply.status, reply.body, reply.error, reply.truncated) == (200, b"fine", "", False)
    assert 0 < reply.seconds < 20


def test_replies_come_in_the_order_of_the_asks() -> None:
    def handle(connection: socket.socket, closing: threading.Event) -> None:
        _, target, _, _ = read_request(connection)
        connection.sendall(answer(target.encode()))

    with TcpServer(handle) as server:
        replies = HttpClient().fetch_all([Ask(f"{server.url}/{i}") for i in range(100)])
    assert [reply.body for reply in replies] == [f"/{i}".encode() for i in range(100)]


def test_nothing_asked_is_nothing_answered() -> None:
    assert HttpClient().fetch_all([]) == []


def test_the_request_is_sent_as_asked() -> None:
    seen = []

    def handle(connection: socket.socket, closing: threading.Event) -> None:
        seen.append(read_request(connection))
        connection.sendall(OK)

    with TcpServer(handle) as server:
        url = f"{server.url}/a%20b?q=1#part"
        HttpClient().fetch(Ask(url, method="POST", body=b"{}", headers={"Content-Type": "application/json"}))
    method, target, headers, body = seen[0]
    assert (method, target, body) == ("POST", "/a%20b?q=1", b"{}")
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == "2"


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with TcpServer(always(OK)) as elsewhere:
        response = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n".encode()
        assert answered_with(response).status == 302


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
    assert answered_with(OK).status == 200


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxand more than it announced", b"x"),
    ],
    ids=["without a length", "chunked", "after an interim response", "empty", "followed by garbage"],
)
def test_every_way_of_ending_a_body_is_understood(response: bytes, body: bytes) -> None:
    reply = answered_with(response)
    assert (reply.status, reply.body, reply.error) == (200, body, "")


def test_head_has_no_body_whatever_its_length_says() -> None:
    reply = answered_with(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", method="HEAD")
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
        (b"\x00\xff" * 50, "not HTTP"),
        (b"", "closed without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "closed in mid-answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "closed in mid-answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nA: 1\r\n", "closed in mid-answer"),
    ],
)
def test_what_is_not_an_answer_is_an_error(response: bytes, error: str) -> None:
    reply = answered_with(response)
    assert reply.status is None
    assert error in reply.error
    assert "\n" not in reply.error


def test_a_refused_connection_says_so() -> None:
    reply = HttpClient().fetch(Ask(f"http://127.0.0.1:{free_port()}/"))
    assert (reply.status, reply.error) == (None, "connection refused")


def test_a_reset_connection_is_an_error() -> None:
    def handle(connection: socket.socket, closing: threading.Event) -> None:
        read_request(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with TcpServer(handle) as server:
        reply = fetch(server)
    assert reply.status is None
    assert "reset" in reply.error.lower()


def test_the_deadline_holds_for_a_silent_server() -> None:
    with TcpServer(silent) as server:
        reply = fetch(server, timeout_seconds=0.2)
    assert (reply.status, reply.error) == (None, "no full answer within 0.2 s")
    assert 0.15 < reply.seconds < 10


def test_the_deadline_holds_for_a_server_that_drips() -> None:
    def drip(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not closing.wait(0.01):
            connection.sendall(b".")

    with TcpServer(drip) as server:
        reply = fetch(server, timeout_seconds=0.3)
    assert reply.status is None
    assert "0.3 s" in reply.error


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Header: value\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\nX: ", b"a" * 1000),
        (b"HTTP/1.1 200 ", b"O" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    ],
    ids=["headers", "one header", "reason", "interim responses"],
)
def test_an_endless_head_is_cut_off(start: bytes, piece: bytes) -> None:
    with TcpServer(endless(start, piece)) as server:
        reply = fetch(server)
    assert (reply.status, reply.error) == (None, f"headers of more than {MAX_HEAD_BYTES} bytes")


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 10000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"ffff\r\n" + b"a" * 0xFFFF + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffff\r\n", b"a" * 10000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"a" * 10000),
    ],
    ids=["without a length", "chunks", "one huge chunk", "tiny chunks", "with a length"],
)
def test_an_endless_body_is_an_answer_up_to_its_limit(start: bytes, piece: bytes) -> None:
    with TcpServer(endless(start, piece)) as server:
        reply = fetch(server, max_body_bytes=100_000)
    assert (reply.status, reply.body, reply.truncated, reply.error) == (200, b"a" * 100_000, True, "")


@pytest.mark.parametrize(
    ("start", "piece"),
    [(b"1;", b"extension" * 1000), (b"0\r\n", b"Trailer: value\r\n" * 500)],
    ids=["chunk extension", "trailers"],
)
def test_endless_framing_is_cut_off(start: bytes, piece: bytes) -> None:
    with TcpServer(endless(CHUNKED + start, piece)) as server:
        reply = fetch(server)
    assert (reply.status, reply.error) == (None, "more framing than content")


def test_a_body_that_just_fits_is_whole() -> None:
    whole = answered_with(OK, max_body_bytes=4)
    assert (whole.body, whole.truncated) == (b"fine", False)
    assert answered_with(OK, max_body_bytes=3).truncated


def test_a_name_is_tried_at_each_of_its_addresses() -> None:
    # localhost is often ::1 first, where this server is not.
    with TcpServer(always(OK)) as server:
        assert HttpClient().fetch(Ask(f"http://localhost:{server.port}/")).status == 200


def test_a_name_that_does_not_exist_is_an_error_for_everybody_who_asked() -> None:
    replies = HttpClient().fetch_all([Ask("http://nowhere.invalid/", timeout_seconds=20)] * 2)
    assert all(reply.error.startswith("cannot resolve nowhere.invalid") for reply in replies)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/\r\nX-Evil: 1",
        "http://127.0.0.1/a b",
        "http://127.0.0.1\n/",
        "http://user:secret@127.0.0.1/",
        "ftp://127.0.0.1/",
        "http:///path",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1/ü",
        "file:///etc/passwd",
    ],
)
def test_a_url_that_could_smuggle_or_lead_astray_is_refused(url: str) -> None:
    with pytest.raises(ValueError) as refusal:
        Ask(url)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("X", "a\r\nY: b"), ("X\r\nY", "a"), ("X", "a\nb"), ("X", "a\0"), ("X", "ü"), ("X y", "a"), ("", "a")]
    + [(name, "1") for name in ("Host", "content-length", "Transfer-Encoding", "Connection")],
)
def test_a_header_that_could_split_the_request_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError):
        Ask("http://127.0.0.1/", headers={name: value})


@pytest.mark.parametrize("method", ["GET / HTTP/1.1\r\nX:", "get", ""])
def test_a_method_that_is_none_is_refused(method: str) -> None:
    with pytest.raises(ValueError):
        Ask("http://127.0.0.1/", method=method)


def test_open_connections_stay_below_the_limit_of_open_files() -> None:
    held = threading.Semaphore(0)
    most, now, lock = [0], [0], threading.Lock()

    def handle(connection: socket.socket, closing: threading.Event) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        read_request(connection)
        held.acquire(timeout=0.05)
        with lock:
            now[0] -= 1
        connection.sendall(OK)

    script = """
import resource, sys
from jobs.clients.http import Ask, HttpClient
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
print({reply.status for reply in HttpClient().fetch_all([Ask(sys.argv[1])] * 200)})
"""
    with TcpServer(handle) as server:
        command = [sys.executable, "-c", script, server.url]
        asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert asked.stdout == "{200}\n", asked.stderr
    assert 1 < most[0] <= 32


def test_being_out_of_descriptors_is_not_blamed_on_the_server() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with TcpServer(always(OK)) as server:
        held = [os.open("/dev/null", os.O_RDONLY) for _ in range(40)]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1, hard))
            with pytest.raises(OSError):
                fetch(server)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in held:
                os.close(descriptor)


def test_a_thousand_requests_leave_no_descriptor_behind() -> None:
    with TcpServer(always(OK)) as server:
        fetch(server)
        before = open_descriptors()
        client = HttpClient()
        for _ in range(100):
            client.fetch_all([Ask(server.url)] * 10)
        # The last connections of the server's own side may still be closing.
        assert open_descriptors() <= before + 10


def test_several_threads_can_ask_at_once() -> None:
    replies: list[Reply] = []
    with TcpServer(always(OK)) as server:
        client = HttpClient()
        threads = [threading.Thread(target=lambda: replies.append(client.fetch(Ask(server.url)))) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert [reply.status for reply in replies] == [200] * 10


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[TcpServer, Path]]:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def handle(connection: socket.socket, closing: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            always(OK)(secured, closing)

    with TcpServer(handle) as server:
        yield server, certificate


def test_tls_is_verified_by_authority_and_by_name(tls_server: tuple[TcpServer, Path]) -> None:
    server, certificate = tls_server
    unknown = HttpClient().fetch(Ask(f"https://localhost:{server.port}/"))
    assert (unknown.status, unknown.error) == (None, "TLS: self-signed certificate")
    trusting = HttpClient()
    trusting.tls.load_verify_locations(certificate)
    assert trusting.fetch(Ask(f"https://localhost:{server.port}/")).body == b"fine"
    wrong_name = trusting.fetch(Ask(f"https://127.0.0.1:{server.port}/"))
    assert wrong_name.status is None
    assert "127.0.0.1" in wrong_name.error


def test_tls_to_a_server_that_has_none_is_an_error() -> None:
    def plain(connection: socket.socket, closing: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(OK)

    with TcpServer(plain) as server:
        reply = HttpClient().fetch(Ask(f"https://localhost:{server.port}/", timeout_seconds=20))
    assert (reply.status, reply.error) == (None, "TLS: wrong version number")


def test_the_deadline_holds_for_a_tls_handshake() -> None:
    with TcpServer(silent) as server:
        reply = HttpClient().fetch(Ask(f"https://localhost:{server.port}/", timeout_seconds=0.3))
    assert reply.error == "no full answer within 0.3 s"
