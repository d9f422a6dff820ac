"""The proxy before Docker's socket, as a process of its own: what a hostile client gets past it."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.services.exporter_daemon import REPOSITORY
from tests.services.ports import free_port
from tests.services.process import Process, plain_environment, private_directory, remove_directory

HOST = b"Host: docker\r\n"
ALLOWED = re.compile(
    rb"GET (/v1[.][0-9]+)?/(version|info|_ping|containers/json|images/json|events)([?].*)? HTTP/1.1"
    rb"|GET (/v1[.][0-9]+)?/containers/[A-Za-z0-9_.-]+/(json|logs|stats)([?].*)? HTTP/1.1"
    rb"|POST (/v1[.][0-9]+)?/containers/[A-Za-z0-9_.-]+/restart([?].*)? HTTP/1.1"
)


class Engine:
    """Stands for Docker's engine: answers everything, agrees to every other protocol, and keeps what it was told."""

    def __init__(self, path: Path) -> None:
        self.told = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(50)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while piece := connection.recv(65536):
                self.told += piece
                if b"upgrade: " in piece.lower():
                    connection.sendall(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
                else:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" * piece.count(b"\r\n\r\n"))

    def close(self) -> None:
        self._listener.close()


class Proxy:
    """HAProxy with the configuration that is shipped, at sockets of its own, before an engine."""

    def __init__(self) -> None:
        self.directory = private_directory("proxy")
        self.socket, engine = self.directory / "docker.sock", self.directory / "engine.sock"
        self.engine = Engine(engine)
        text = (REPOSITORY / "deploy" / "docker-proxy.cfg").read_text()
        for there, here in (
            ("/run/docker-proxy/docker.sock", self.socket),
            ("/var/run/docker.sock", engine),
            ("127.0.0.1:8404", f"127.0.0.1:{free_port()}"),
        ):
            assert there in text
            text = text.replace(f"unix@{there}", f"unix@{here}").replace(there, str(here))
        (self.directory / "proxy.cfg").write_text(text)
        self.process = Process(
            ["haproxy", "-db", "-f", str(self.directory / "proxy.cfg")],
            log_file=self.directory / "log",
            env=plain_environment(ALLOW_EXEC="0", PATH=os.environ["PATH"] + ":/usr/sbin"),
            cwd=self.directory,
        )
        self.process.wait_ready(
            lambda: b"200 OK" in self.say(b"GET /_ping HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"),
            "the proxy listens",
            ignoring=(OSError,),
            timeout_seconds=30,
        )

    def say(self, request: bytes) -> bytes:
        """Send bytes, and return all that comes until the proxy or a second of silence ends it."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(self.socket))
            connection.sendall(request)
            heard = b""
            with suppress(TimeoutError, ConnectionError):
                while piece := connection.recv(65536):
                    heard += piece
            return heard

    def close(self) -> None:
        self.process.stop(20)
        self.engine.close()
        remove_directory(self.directory)


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    running = Proxy()
    yield running
    running.close()


def told(proxy: Proxy) -> list[bytes]:
    """The request lines that have reached the engine, besides the proxy's own look whether it lives."""
    lines = re.findall(rb"^[^\r\n]* HTTP/[0-9.]+\r$", proxy.engine.told, re.MULTILINE)
    return [line for line in lines if line != b"GET /_ping HTTP/1.0\r"]


EVIL = b"POST /containers/create HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\n{}"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAMAAABk\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        EVIL,
        b"POST /v1.41/../containers/create HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST //containers/create HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST /containers/x%2f..%2fcreate/restart HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST /containers/../create HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST /containers/create?/containers/x/restart HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST /containers/create#/containers/x/restart HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST /containers/create;/restart HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST http://docker/containers/create HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST http://docker/containers/create HTTP/1.0\r\n\r\n",
        b"POST /containers/create HTTP/1.0\r\n\r\n",
        b"POST /containers/create\r\n\r\n",
        b"POST /containers/x/restart\x0a HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /version HTTP/1.1\r\n" + HOST + b"\r\n" + EVIL,
        b"GET /version HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n" + CHUNKED + b"0\r\n\r\n" + EVIL,
        b"GET /version HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + EVIL,
        b"GET /version HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + EVIL,
        b"GET /version HTTP/1.1\r\n" + HOST + b"X: a\n\n" + EVIL,
        b"POST /containers/agent/restart HTTP/1.1\r\n" + HOST + b"X-HTTP-Method-Override: DELETE\r\n\r\n" + EVIL,
        b"CONNECT docker:80 HTTP/1.1\r\n" + HOST + b"\r\n" + EVIL,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + EVIL,
        *(b"GET /version HTTP/1.1\r\n" + HOST + H2C % kind + b"\r\n" + EVIL for kind in (b"h2c", b"tcp", b"websocket")),
        b"POST /exec/0123456789ab/start HTTP/1.1\r\n" + HOST + H2C % b"tcp" + b"\r\n",
    ],
)  # fmt: skip
def test_nothing_else_gets_to_the_engine(proxy: Proxy, request_: bytes) -> None:
    proxy.engine.told = b""
    heard = proxy.say(request_)
    assert b" 101 " not in heard
    for line in told(proxy):
        assert ALLOWED.fullmatch(line.rstrip(b"\r")), line


@pytest.mark.parametrize("request_", [b"GET /v1.41/info", b"GET /containers/agent/json", b"POST /containers/a/restart"])
def test_what_is_needed_gets_there(proxy: Proxy, request_: bytes) -> None:
    proxy.engine.told = b""
    assert b" 200 OK" in proxy.say(request_ + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert told(proxy) == [request_ + b" HTTP/1.1\r"]
