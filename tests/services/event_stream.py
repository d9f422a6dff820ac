"""A listener to the exporter's events, reading on a thread."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from typing import Any

from tests.services.wait import wait_for


class EventStream:
    """What `GET /api/v1/events` says: `events` so far, as (name, document)."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        self._connection.request("GET", "/api/v1/events", headers=headers or {})
        # From now on the connection is the answer's; a thread that reads is ended by its end, not by a close.
        self._socket = self._connection.sock
        self.answer = self._connection.getresponse()
        self.status = self.answer.status
        self.events: list[tuple[str, Any]] = []
        self.lines: list[str] = []
        self.is_over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        if self.status == 200:
            self._thread.start()

    def _read(self) -> None:
        name = ""
        with contextlib.suppress(http.client.HTTPException, OSError, ValueError):  # cut off, by the daemon or by us
            while line := self.answer.readline().decode():
                self.lines.append(line.rstrip("\n"))
                kind, _, text = self.lines[-1].partition(": ")
                if kind == "event":
                    name = text
                elif kind == "data":
                    self.events.append((name, json.loads(text)))
        self.is_over.set()

    def of(self, name: str) -> list[Any]:
        """The documents of one kind of event."""
        return [document for kind, document in list(self.events) if kind == name]

    def wait(self, name: str, count: int = 1, timeout_seconds: float = 30) -> list[Any]:
        """Wait until there are so many events of a kind."""
        what = f"{count} events {name!r}"
        wait_for(
            lambda: len(self.of(name)) >= count, timeout_seconds, what, detail=lambda: repr(self.lines[-5:])[:2000]
        )
        return self.of(name)

    def close(self) -> None:
        """Leave."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self.status == 200:
            self._thread.join(30)
        self._connection.close()
