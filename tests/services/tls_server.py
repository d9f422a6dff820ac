"""A TLS server that reads its certificate when it starts and when it is told to, as nginx does."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.stand_ins import TcpServer


class TlsServer:
    """Serves TLS on loopback: at once, or with `smtp` after STARTTLS (then it stands for a mail server).

    `reload_command` is what an operator would run: it touches a file that the server looks at before each handshake.
    With `deaf` it reads its certificate never again; with `dies` it stops answering once it is told to read it.
    """

    def __init__(
        self,
        cert: Path,
        key: Path,
        directory: Path,
        *,
        smtp: bool = False,
        deaf: bool = False,
        dies: bool = False,
        maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED,
    ) -> None:
        self._cert, self._key, self._smtp, self._deaf, self._dies = cert, key, smtp, deaf, dies
        self._maximum = maximum
        self._told = directory / f"reload-{id(self)}"
        self._seen = 0
        self.reload_command = ["touch", str(self._told)]
        self.reloads = 0
        self._lock = threading.Lock()
        self._context = self._read()
        self._server = TcpServer(self._serve)
        self.port = self._server.port
        self.address = f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.__exit__(kind, error, at)

    def fingerprint(self) -> str:
        """The SHA-256 of what it serves now."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain, context.wrap_socket(plain) as tls:
            return hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest()

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # weak keys are served as well
        context.maximum_version = self._maximum
        context.load_cert_chain(self._cert, self._key)
        return context

    def _serve(self, connection: socket.socket, closing: threading.Event) -> None:
        with self._lock:
            self._look()
            context = self._context
        if self._dies and self.reloads:
            return
        if self._smtp:
            _start_tls(connection)
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(1)

    def _look(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            told = self._told.stat().st_mtime_ns
            if told != self._seen:
                self._seen = told
                self.reloads += 1
                if not self._deaf:
                    self._context = self._read()


def _start_tls(connection: socket.socket) -> None:
    connection.sendall(b"220-mail.example\r\n220 ready\r\n")
    assert connection.recv(1000).startswith(b"EHLO ")
    connection.sendall(b"250-mail.example\r\n250-SIZE 1000\r\n250 STARTTLS\r\n")
    assert connection.recv(1000) == b"STARTTLS\r\n"
    connection.sendall(b"220 go ahead\r\n")
