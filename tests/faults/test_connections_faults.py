"""Clients that are slow, greedy, broken or many: /metrics answers all the same, and each of them is ended in time."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from exporter.web.access.tokens import Tokens
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.trial_jobs import TASK, TrialPackage, work
from tests.services.wait import wait_for

LIMITS = {"header_timeout_seconds": 1, "body_timeout_seconds": 1}
GET = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
START = f"POST /api/v1/tasks/{TASK}/start HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()


@pytest.fixture(scope="module")
def daemon(package: TrialPackage) -> Iterator[ExporterDaemon]:
    """One daemon for all clients that only want to be answered or ended."""
    running = ExporterDaemon(work(web=LIMITS), environment=package.environment)
    yield running
    running.close()


@pytest.fixture(autouse=True)
def unharmed(daemon: ExporterDaemon) -> Iterator[None]:
    """Whatever a test has done, the next scrape is answered and nothing went wrong inside."""
    before = len(daemon.log())
    yield
    assert daemon.metrics().value("sutazai_store_up") == 1
    assert "Traceback" not in daemon.log()[before:]
    assert "Exception" not in daemon.log()[before:]


class Client:
    """A bare connection."""

    def __init__(self, daemon: ExporterDaemon, first: bytes = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", daemon.port), timeout=30)
        self.began = time.monotonic()
        if first:
            self.socket.sendall(first)

    def drip(self, piece: bytes, seconds: float) -> bool:
        """Send a piece over and over, until the server has ended the connection; False if it never does."""
        stop = threading.Event()
        while time.monotonic() - self.began < seconds:
            try:
                self.socket.sendall(piece)
            except OSError:
                return True
            stop.wait(0.05)
        return False

    def answer(self) -> bytes:
        """Everything that the server sends until it ends the connection."""
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := self.socket.recv(1 << 16):
                received += chunk
        return received

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def client(daemon: ExporterDaemon) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(first: bytes = b"", to: ExporterDaemon | None = None) -> Client:
        made.append(Client(to or daemon, first))
        return made[-1]

    yield make
    for one in made:
        one.close()


def token(daemon: ExporterDaemon, scope: str = "operate") -> bytes:
    file = daemon.base_dir / "secrets_secure" / "tokens.json"
    secret = Tokens(file).create(f"t{time.monotonic_ns()}", (scope,), _now())
    return f"Authorization: Bearer {secret}\r\n".encode()


def _now() -> object:
    from exporter.clock import SystemClock

    return SystemClock().now()


# Slow


def test_headers_that_come_one_by_one_are_ended_at_their_limit(client: Callable[..., Client]) -> None:
    assert client(GET).drip(b"X-More: 1\r\n", seconds=30)


def test_a_connection_that_says_nothing_is_ended(client: Callable[..., Client]) -> None:
    assert client().answer() == b""


def test_blank_lines_are_no_beginning(client: Callable[..., Client]) -> None:
    assert client().drip(b"\r\n", seconds=30)


def test_a_body_that_comes_byte_by_byte_is_ended_at_its_limit(
    client: Callable[..., Client], daemon: ExporterDaemon
) -> None:
    slow = client(START + token(daemon) + b"Content-Length: 1000\r\n\r\n{")
    assert slow.drip(b" ", seconds=30)


def test_chunks_that_come_byte_by_byte_are_ended_at_their_limit(
    client: Callable[..., Client], daemon: ExporterDaemon
) -> None:
    slow = client(START + token(daemon) + b"Transfer-Encoding: chunked\r\n\r\n")
    assert slow.drip(b"1\r\n \r\n", seconds=30)


def test_a_body_for_a_path_that_wants_none_is_ended_as_well(client: Callable[..., Client]) -> None:
    slow = client(b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
    assert slow.drip(b" ", seconds=30)


def test_a_quick_client_may_keep_its_connection(client: Callable[..., Client]) -> None:
    quick = client()
    for _ in range(3):
        quick.socket.sendall(GET + b"\r\n")
        assert b"200 OK" in _one_answer(quick.socket)
        # Longer than headers and bodies may take: between requests there is more time.
        wait_for(lambda: time.monotonic() - quick.began > 2.5, 10, "time has passed")


# Greedy


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_of_more_than_a_mebibyte_is_413(
    client: Callable[..., Client], daemon: ExporterDaemon, framing: str
) -> None:
    body = b'{"mode": "' + b"x" * (1 << 20) + b'"}'
    if framing == "length":
        sent = b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    else:
        sent = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    greedy = client()
    with contextlib.suppress(OSError):
        greedy.socket.sendall(START + token(daemon) + sent)
    assert greedy.answer().startswith(b"HTTP/1.1 413 ")


def test_a_body_of_less_is_read(client: Callable[..., Client], daemon: ExporterDaemon) -> None:
    body = b'{"mode": "' + b"x" * 1_000_000 + b'"}'
    greedy = client(START + token(daemon) + b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert greedy.answer().startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("piece", [b"x" * 65536, b"X-A: " + b"y" * 1000 + b"\r\n"])
@pytest.mark.parametrize("first", [GET + b"X-Long: ", b"GET /"])
def test_a_header_without_end_is_431_and_takes_no_memory(
    client: Callable[..., Client], daemon: ExporterDaemon, first: bytes, piece: bytes
) -> None:
    before = daemon.metrics().value("process_resident_memory_bytes")
    greedy, sent = client(first), 0
    with contextlib.suppress(OSError):
        while sent < 1 << 28:
            sent += greedy.socket.send(piece)
    assert sent < 16 << 20
    assert daemon.metrics().value("process_resident_memory_bytes") - before < 16 << 20


def test_headers_of_more_than_64_kib_are_431_in_one_go_too(client: Callable[..., Client]) -> None:
    greedy = client(GET + b"X-Long: " + b"x" * 72_000 + b"\r\n\r\n")
    assert greedy.answer().startswith(b"HTTP/1.1 431 ")


def test_a_trailer_without_end_is_ended(client: Callable[..., Client], daemon: ExporterDaemon) -> None:
    before = daemon.metrics().value("process_resident_memory_bytes")
    greedy, sent = client(START + token(daemon) + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: "), 0
    with contextlib.suppress(OSError):
        while sent < 1 << 28:
            sent += greedy.socket.send(b"x" * 65536)
    assert sent < 64 << 20
    assert daemon.metrics().value("process_resident_memory_bytes") - before < 64 << 20


# Broken


@pytest.mark.parametrize(
    "request_",
    [
        b"\x00\xff\x16\x03\x01 this is no HTTP\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /api/v1/tasks/x/start HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /api/v1/tasks/x/start HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n X: folded\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=lambda request: repr(request)[:50],
)
def test_what_is_no_request_is_refused_and_ended(client: Callable[..., Client], request_: bytes) -> None:
    answer = client(request_).answer()
    assert set(re.findall(rb"HTTP/1\.1 (\d+) ", answer)) <= {b"400", b"405"}, answer[:500]
    assert b"sutazai_build_info" not in answer
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] in (400, 405)


def test_pipelined_requests_are_answered_in_their_order(client: Callable[..., Client]) -> None:
    paths = [b"/-/healthy", b"/metrics", b"/nothing", b"/-/healthy"]
    last = b"GET /-/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    many = client(b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in paths) + last)
    answer = many.answer()
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answer) == [b"200", b"200", b"404", b"200", b"200"]
    assert answer.endswith(b"SutazAI Exporter is ready.\n")


def test_a_thousand_pipelined_requests_are_answered(client: Callable[..., Client]) -> None:
    last = b"GET /-/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    many = client()
    sender = threading.Thread(
        target=many.socket.sendall, args=(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n" * 1000 + last,)
    )
    sender.start()
    assert many.answer().count(b"HTTP/1.1 200 ") == 1001
    sender.join()


def test_an_upgrade_is_answered_as_an_ordinary_request(client: Callable[..., Client]) -> None:
    wish = (
        b"Connection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n"
    )
    assert client(GET + wish).answer().startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_with_a_wish_for_an_upgrade_is_read(
    client: Callable[..., Client], daemon: ExporterDaemon, framing: str
) -> None:
    """Java's HttpClient would like HTTP/2 in each request: the body was lost, and the task ran in another mode."""
    wish, body = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n", b'{"mode": "none"}'
    if framing == "length":
        sent = b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    else:
        sent = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    pieces = START + token(daemon) + wish + sent
    for cut in (len(pieces), len(pieces) - len(sent), len(pieces) - 20):
        modern = client(pieces[:cut])
        modern.socket.sendall(pieces[cut:] + GET + b"\r\n")
        answer = modern.answer()
        assert answer.startswith(b"HTTP/1.1 404 "), answer[:300]
        assert b"'none'" in answer
        assert answer.count(b"HTTP/1.1") == 1


def test_who_hangs_up_in_the_middle_is_forgotten(client: Callable[..., Client], daemon: ExporterDaemon) -> None:
    before = daemon.metrics().value("process_open_fds")
    for first in (b"", b"GET", GET, GET + b"\r\n", START + token(daemon) + b"Content-Length: 99\r\n\r\n{"):
        for _ in range(10):
            client(first).close()
    wait_for(lambda: daemon.metrics().value("process_open_fds") <= before + 2, 20, "every connection is let go")


# Many: fault 10


def test_requests_beyond_count_cost_no_memory_and_keep_no_scrape_out(package: TrialPackage) -> None:
    """Ten clients that send requests without end and read no answer: they made of 7 MB half a gigabyte, and 10 s."""
    fresh = ExporterDaemon(work(web={"body_timeout_seconds": 60}), environment=package.environment)
    try:
        before = fresh.metrics().value("process_resident_memory_bytes")
        with contextlib.ExitStack() as clients:
            for _ in range(10):
                greedy = clients.enter_context(socket.socket())
                greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                greedy.connect(("127.0.0.1", fresh.port))
                greedy.setblocking(False)
                sent = 0
                with contextlib.suppress(BlockingIOError):
                    while sent < 1 << 20:
                        sent += greedy.send((GET + b"\r\n") * 4000)
                assert sent > 1 << 16
            for _ in range(20):
                began = time.monotonic()
                assert fresh.get("/metrics", timeout=5).status_code == 200
                assert time.monotonic() - began < 1
            assert fresh.metrics().value("process_resident_memory_bytes") - before < 64 << 20
            open_then = fresh.metrics().value("process_open_fds")
        wait_for(lambda: fresh.metrics().value("process_open_fds") <= open_then - 10, 20, "they are let go")
        assert fresh.stop() == 0
        assert "Traceback" not in fresh.log(), "that they went away is told to what is being answered"
    finally:
        fresh.close()


def test_with_few_descriptors_two_hundred_slow_clients_do_not_keep_the_scrape_out(
    package: TrialPackage, tmp_path: Path, client: Callable[..., Client]
) -> None:
    code = f"Path({str(tmp_path / 'ran')!r}).touch()"
    crowded = ExporterDaemon(work(code), environment=package.environment, prefix=["prlimit", "--nofile=128"])
    try:
        assert crowded.metrics().value("process_max_fds") == 128
        firsts = [b"", GET, START + b"Content-Length: 1000\r\n\r\n", GET + b"\r\n"]
        slow = [client(firsts[n % 4], crowded) for n in range(200)]
        taken = []
        for _ in range(20):
            began = time.monotonic()
            answer = crowded.get("/metrics", timeout=5)
            assert answer.status_code == 200
            taken.append(time.monotonic() - began)
        assert statistics.median(taken) < 1, taken
        assert crowded.metrics().value("process_open_fds") <= 128
        # There are descriptors for a run and its pipes as well.
        headers = dict([token(crowded).decode().strip().split(": ")])
        crowded.post(f"/api/v1/tasks/{TASK}/start", json={}, headers=headers).raise_for_status()
        crowded.wait_metric("sutazai_task_runs_total", {"task": TASK, "outcome": "ok"}, lambda value: value == 1)
        assert (tmp_path / "ran").exists()
        assert "Too many open files" not in crowded.log()
        assert len(slow) == 200
    finally:
        crowded.close()


def test_a_full_house_gives_way_to_the_newcomer_at_the_cost_of_the_stalest(
    package: TrialPackage, client: Callable[..., Client]
) -> None:
    small = ExporterDaemon(work(web={"max_connections": 8}), environment=package.environment)
    try:
        first = client(GET, small)
        rest = [client(GET, small) for _ in range(8)]
        assert first.answer() == b""
        assert small.get("/metrics").status_code == 200
        rest[-1].socket.sendall(b"Connection: close\r\n\r\n")
        assert rest[-1].answer().startswith(b"HTTP/1.1 200")
    finally:
        small.close()


def test_readers_that_do_not_read_are_ended_and_do_not_fill_the_house(
    package: TrialPackage, client: Callable[..., Client]
) -> None:
    sample = "Sample(family='sutazai_trial_value', value=n, labels={'thing': f'{n:0200}'})"
    code = f"result = Result(status='X', samples=tuple({sample} for n in range(50000)))"
    config = work(code, web={**LIMITS, "max_connections": 8})
    large = ExporterDaemon(config, environment=package.environment)
    try:
        headers = dict([token(large).decode().strip().split(": ")])
        large.post(f"/api/v1/tasks/{TASK}/start", json={}, headers=headers).raise_for_status()
        wait_for(lambda: len(large.get("/metrics").content) > 4_000_000, 60, "the exposition is large")
        process = psutil.Process(large.pid)
        before = process.num_fds()
        for _ in range(20):
            client(GET + b"\r\n", large)
        assert large.get("/-/healthy", timeout=5).status_code == 200
        # What a client has not read the kernel still keeps for it: only the daemon's own end shows that it is over.
        wait_for(lambda: process.num_fds() <= before, 20, "all slow readers are ended", detail=large.log)
    finally:
        large.close()


def _one_answer(connection: socket.socket) -> bytes:
    """One answer with a content-length."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(1 << 16)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(1 << 16)
    return head + body
