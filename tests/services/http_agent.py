"""Small HTTP servers on loopback whose answers a test switches."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.services.ports import free_port


class HttpServer:
    """A server that hands every request to `answer`, in a thread for each connection.

    Only in a network namespace of the test's own may it be given another `host`.
    """

    def __init__(
        self,
        answer: Callable[[BaseHTTPRequestHandler], None],
        port: int | None = None,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                answer(self)

            do_POST = do_HEAD = do_PUT = do_DELETE = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.port = port or free_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._server = _Server((host, self.port), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; exchanges that hang are left to end with the process."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up is what many tests are about."""


class HttpAgent:
    """An endpoint that answers every path with `status` and `body`, after `delay_seconds`; all can be set.

    `paths` overrides the status of single paths, `garbage` answers bytes that are no HTTP, `requests` holds
    (method, path, body) of what was asked.
    """

    def __init__(self, status: int = 200, body: bytes = b"ok\n", port: int | None = None) -> None:
        self.status, self.body, self.delay_seconds, self.garbage = status, body, 0.0, False
        self.headers: dict[str, str] = {"Content-Type": "text/plain"}
        self.paths: dict[str, int] = {}
        self.requests: list[tuple[str, str, bytes]] = []
        self._closing = threading.Event()
        self._server = HttpServer(self._answer, port)
        self.port, self.url = self._server.port, self._server.url

    def close(self) -> None:
        """Stop listening: from now on connections are refused."""
        self._closing.set()
        self._server.close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        self.requests.append((request.command, request.path, read_body(request)))
        self._closing.wait(self.delay_seconds)
        if self.garbage:
            request.wfile.write(b"\x00\xff not http\r\n\r\n")
            request.close_connection = True
            return
        reply(request, self.paths.get(request.path, self.status), self.body, self.headers)


def read_body(request: BaseHTTPRequestHandler) -> bytes:
    """The body of a request that says how long it is."""
    return request.rfile.read(int(request.headers.get("Content-Length") or 0))


def reply(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
    """Send a whole answer."""
    request.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
