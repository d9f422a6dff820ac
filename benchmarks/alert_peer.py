"""The least that a receiver of alerts can do and lose none: a threaded server, one SQLite commit for each body.

`python -m benchmarks.alert_peer PORT FILE`: Python's own HTTP server and JSON reader, no checks, no token, no
counters; each alert is inserted unless it is there, and the body is answered when it is on the disk.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_TABLE = (
    "CREATE TABLE alerts (fingerprint TEXT, starts_at TEXT, status TEXT, alert TEXT,"
    " UNIQUE (fingerprint, starts_at, status))"
)
_KEYS = ("fingerprint", "startsAt", "status")


def handler(connection: sqlite3.Connection) -> type[BaseHTTPRequestHandler]:
    """A handler that enters what is posted, one body at a time."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body of an answer in one packet

        def do_GET(self) -> None:
            self._answer(b"ok")

        def do_POST(self) -> None:
            alerts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alerts"]
            with lock, connection:
                connection.executemany("INSERT OR IGNORE INTO alerts VALUES (?, ?, ?, ?)", map(_row, alerts))
            self._answer(b"{}")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


def _row(alert: dict[str, Any]) -> tuple[str, ...]:
    return (*(alert[key] for key in _KEYS), json.dumps(alert))


def _opened(file: str) -> sqlite3.Connection:
    connection = sqlite3.connect(file, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(_TABLE)
    return connection


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), handler(_opened(sys.argv[2]))).serve_forever()
