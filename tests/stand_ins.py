"""Servers that cannot be had for real: those that misbehave on the wire."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.services.ports import free_port

Handler = Callable[[socket.socket, threading.Event], None]


class TcpServer:
    """Stands for a server that speaks as it likes: `handle` is given each connection and an event set on closing.

    It listens on loopback, on threads of its own, and is closed by its `with`. Only in a network namespace of the
    test's own may it be given another `host`.
    """

    def __init__(self, handle: Handler, port: int | None = None, host: str = "127.0.0.1") -> None:
        self.port = port or free_port()
        self._handle, self._closing = handle, threading.Event()
        self._listener = socket.create_server((host, self.port), backlog=1024)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Its URL, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        # A shutdown wakes the thread in accept; a close alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # A client that hangs up is the point of most of these tests.
        with connection, contextlib.suppress(OSError):
            self._handle(connection, self._closing)


def read_request(connection: socket.socket) -> tuple[str, str, dict[str, str], bytes]:
    """Read one HTTP request: its method, target, headers (names in lower case) and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise OSError("the client left")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    method, target, _ = first.split(" ")
    return method, target, headers, body


def answer(body: bytes, status: str = "200 OK") -> bytes:
    """A plain HTTP response."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def always(response: bytes) -> Handler:
    """A handler that reads the request, sends `response` and closes."""

    def handle(connection: socket.socket, closing: threading.Event) -> None:
        read_request(connection)
        connection.sendall(response)

    return handle


def silent(connection: socket.socket, closing: threading.Event) -> None:
    """A handler that never says anything."""
    closing.wait()


def endless(start: bytes, piece: bytes) -> Handler:
    """A handler that sends `start` and then `piece` for ever."""

    def handle(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(start)
        while not closing.is_set():
            connection.sendall(piece)

    return handle
