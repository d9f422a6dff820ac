"""Stands for a filtering proxy in front of Docker's socket (HAProxy with a list of what passes), which answers 403."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from tests.stand_ins import TcpServer, answer, read_request

Passes = Callable[[str, str], bool]
"""Whether a request passes, by its method and its path without the API's version."""


def socket_proxy(engine: Path, passes: Passes) -> TcpServer:
    """A proxy that is running; its `port` is where `tcp://` reaches it."""

    def serve(connection: socket.socket, closing: threading.Event) -> None:
        method, target, headers, body = read_request(connection)
        path = re.sub(r"^/v[0-9.]+", "", target).partition("?")[0]
        if not passes(method, path):
            connection.sendall(answer(b"403 Forbidden\n", "403 Forbidden"))
            return
        kept = {name: value for name, value in headers.items() if name not in ("connection", "upgrade")}
        sent = {**kept, "connection": "close"}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
        with socket.socket(socket.AF_UNIX) as upstream:
            upstream.connect(str(engine))
            upstream.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            while piece := upstream.recv(65536):
                connection.sendall(piece)

    return TcpServer(serve)
