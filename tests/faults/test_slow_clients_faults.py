"""slowhttptest, and TLS handshakes that never end: /metrics answers throughout, and nothing of it is left behind.

`test_connections_faults.py` has each kind of slow client by itself; here a tool that is made for it brings many.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.services.binaries import need
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.secure_daemon import SecureDaemon
from tests.services.trial_jobs import TASK, TrialPackage, operator, work
from tests.services.wait import wait_for
from tests.services.web_pki import PASSWORDS, WebPki, tls, users

LIMITS = {"header_timeout_seconds": 2, "body_timeout_seconds": 2, "max_connections": 16}
CLIENTS = 60
"""Several times as many as there may be."""
ATTACK_SECONDS = 4
HANG_SECONDS = 10
START = f"/api/v1/tasks/{TASK}/start"
MODES = {
    "headers": ["-H", "-i", "1", "-u", "/metrics"],
    "body": ["-B", "-i", "1", "-s", "65536", "-t", "POST", "-f", "application/json", "-u", START],
    "read": ["-X", "-k", "10", "-n", "1", "-z", "32", "-w", "256", "-y", "512", "-u", "/metrics"],
}


class Served:
    """A daemon, and how it is scraped."""

    def __init__(self, daemon: ExporterDaemon, url: str, **options: Any) -> None:
        self.daemon, self.url = daemon, url
        self._options = options

    def scrape(self) -> None:
        """One scrape on a connection of its own: it must be answered."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(self.url + "/metrics", timeout=HANG_SECONDS, **self._options)
        assert answer.status_code == 200
        assert "sutazai_store_up 1" in answer.text

    def open_files(self) -> int:
        """How many descriptors it has."""
        return psutil.Process(self.daemon.pid).num_fds()


@pytest.fixture(scope="module")
def plain(package: TrialPackage) -> Iterator[Served]:
    daemon = ExporterDaemon(work(web=LIMITS), environment=package.environment)
    yield Served(daemon, daemon.url)
    daemon.close()


@pytest.fixture(scope="module")
def secure(package: TrialPackage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    pki = WebPki(tmp_path_factory.mktemp("pki"))
    server = SecureDaemon(pki, package, {**tls(), **users("alice")}, **LIMITS)
    options = {"verify": str(pki.ca_file), "auth": ("alice", PASSWORDS["alice"])}
    yield Served(server.daemon, server.url(""), **options)
    server.close()


@pytest.fixture(params=["plain", "secure"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Whatever a test has done, the next scrape is answered, all descriptors come back, nothing went wrong inside."""
    one: Served = request.getfixturevalue(request.param)
    one.scrape()
    before = one.open_files()
    yield one
    one.scrape()
    wait_for(lambda: one.open_files() <= before + 2, 30, "every connection is let go", detail=one.daemon.log)
    for word in ("Traceback", "Exception", "Too many open files"):
        assert word not in one.daemon.log()


@pytest.mark.parametrize("mode", MODES)
def test_slow_clients_by_the_dozen_do_not_keep_the_scrape_out(served: Served, mode: str) -> None:
    *options, path = MODES[mode]
    command = [need("slowhttptest", package="slowhttptest"), *options, served.url + path, "-v", "1"]
    command += ["-c", str(CLIENTS), "-r", str(CLIENTS), "-l", str(ATTACK_SECONDS), "-p", "10"]
    # It has no option for a header of one's own; with a right token a body is waited for.
    command += ["-m", f"*/*\r\nAuthorization: {operator(served.daemon)['Authorization']}"]
    attack = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    scrapes = 0
    try:

        def over() -> bool:
            nonlocal scrapes
            scrapes += 1
            served.scrape()
            return attack.poll() is not None

        wait_for(over, ATTACK_SECONDS + 60, "the attack is over")
        assert attack.stdout is not None
        told = re.sub(r"\x1b\[[0-9;]*m", "", attack.stdout.read().decode())
        assert "Exit status: Hit test time limit" in told or "No open connections left" in told, told
        assert scrapes >= 3, told
    finally:
        attack.kill()
        attack.wait()


# Handshakes that never end

Beginning = Callable[[], bytes]


def _hello() -> bytes:
    """A whole ClientHello, as a client sends it first."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    "beginning",
    [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01", _hello()[:-10], _hello()],
    ids=["nothing", "one-byte", "a-record", "most-of-a-hello", "a-hello"],
)
def test_half_open_handshakes_do_not_keep_the_scrape_out_and_are_ended(secure: Served, beginning: bytes) -> None:
    secure.scrape()
    before = secure.open_files()
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(CLIENTS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", secure.daemon.port), timeout=30))
            client.sendall(beginning)
            clients.append(client)
        for _ in range(3):
            secure.scrape()
        assert secure.open_files() <= before + LIMITS["max_connections"] + 2
        for client in clients:
            with contextlib.suppress(ConnectionResetError):
                while client.recv(1 << 16):  # a ServerHello may come; then the end, in time
                    pass
    wait_for(lambda: secure.open_files() <= before + 2, 30, "every connection is let go", detail=secure.daemon.log)
    assert "Traceback" not in secure.daemon.log()


@pytest.mark.parametrize(
    "garbage",
    [b"\x16" + b"\xff" * 100, b"\x16\x03\x01\x00\x05hello", b"\x15\x03\x01\x00\x02\x02\x28", b"\x80\x2e\x01\x00\x02",
     b"SSH-2.0-x\r\n", b"\x00" * 100],
    ids=["no-version", "no-hello", "an-alert", "ssl2", "ssh", "zeros"],
)  # fmt: skip
def test_what_is_no_handshake_is_ended_at_once(secure: Served, garbage: bytes) -> None:
    with socket.create_connection(("127.0.0.1", secure.daemon.port), timeout=30) as client:
        client.sendall(garbage)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := client.recv(1 << 16):
                received += piece
    assert not received or received.startswith((b"HTTP/1.0 400 Bad Request\r\n", b"\x15"))
    secure.scrape()
    assert "Traceback" not in secure.daemon.log()


def test_a_handshake_by_drops_is_ended_at_its_limit(secure: Served) -> None:
    hello = _hello()
    with socket.create_connection(("127.0.0.1", secure.daemon.port), timeout=30) as client:
        sent = iter(hello)

        def ended() -> bool:
            try:
                client.sendall(bytes([next(sent)]))
            except OSError:
                return True
            return False

        wait_for(ended, 30, "it is ended before its hello is whole")
        assert sum(1 for _ in sent) > 0
    secure.scrape()


# Framing, over TLS as well: what a proxy and we might read differently


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /-/ready HTTP/1.1\r\nHost: a\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1;" + "x" * 300_000 + "\r\n",
    ],
    ids=["length-and-chunked", "chunked-and-length", "two-lengths", "not-chunked-last", "too-long", "negative",
         "extension-without-end"],
)  # fmt: skip
def test_framing_that_can_be_read_in_two_ways_is_refused(served: Served, framing: str) -> None:
    token = "Authorization: Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==\r\n"
    request = f"POST {START} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{token}{framing}"
    plain = socket.create_connection(("127.0.0.1", served.daemon.port), timeout=30)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = context.wrap_socket(plain) if served.url.startswith("https") else plain
    received = b""
    with client, contextlib.suppress(OSError):
        client.sendall(request.encode())
        while piece := client.recv(1 << 16):
            received += piece
    statuses = [line.split()[1] for line in received.splitlines() if line.startswith(b"HTTP/1.1 ")]
    assert set(statuses) <= {b"400", b"401", b"413"}, received[:300]
    assert b"SutazAI Exporter is ready" not in received


# Stopping


def test_a_stop_waits_for_no_handshake(package: TrialPackage, tmp_path: Path) -> None:
    server = SecureDaemon(WebPki(tmp_path / "pki"), package, tls())
    context = ssl.create_default_context(cafile=str(server.pki.ca_file))
    address = ("127.0.0.1", server.daemon.port)
    with contextlib.ExitStack() as stack:
        idle = stack.enter_context(socket.create_connection(address, timeout=30))
        stack.enter_context(context.wrap_socket(idle, server_hostname="localhost"))
        for beginning in (b"", b"\x16", _hello()):
            stack.enter_context(socket.create_connection(address, timeout=30)).sendall(beginning)
        assert server.daemon.stop(timeout_seconds=20) == 0
    assert "Traceback" not in server.daemon.log()
    server.close()
