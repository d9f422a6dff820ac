"""Hears from the Docker engine what happens to containers, for as long as the daemon lives.

Standard library only: the daemon hears events all the time and does not carry the docker library for it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

from jobs.core.containers import ContainerEvent, clean, parse_event

ACTIONS = ("start", "die", "oom", "stop", "kill", "pause", "unpause", "destroy", "health_status")
MAX_LINE_BYTES = 1024 * 1024
_ANSWER_SECONDS = 10.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 5.0
_NO_SOCKET_SECONDS, _STEADY_SECONDS, _JOIN_SECONDS = 5.0, 5.0, 2.0
_SOCKETS = ("/var/run/docker.sock", "$XDG_RUNTIME_DIR/docker.sock")

__all__ = ["ContainerEvent", "DockerEvents"]

log = logging.getLogger(__name__)


class DockerEvents:
    """Calls `on_event` for each container event, from the thread that runs `run`, until `stop`.

    `url` is the engine's; None means the local socket, for whenever there is one. `on_connection` hears
    whether there is a connection, whenever that changes. After a loss what was missed is asked for; an engine
    that was started anew has forgotten it.
    """

    def __init__(
        self,
        url: str | None,
        on_event: Callable[[ContainerEvent], None],
        on_connection: Callable[[bool], None] = lambda connected: None,
    ) -> None:
        self._url, self._on_event, self._on_connection = url, on_event, on_connection
        self._stopping = threading.Event()
        self._guard = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._since_ns = 0
        self._connected_at = 0.0
        self._complained = False
        self.connected = False

    def start(self) -> None:
        """Run on a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="docker events", daemon=True)
        self._thread.start()

    def run(self) -> None:
        """Listen until `stop`; connections that fail or end are made anew, ever more slowly."""
        self._on_connection(False)
        wait_seconds = _FIRST_WAIT_SECONDS
        while not self._stopping.is_set():
            url = self._url or _local_url()
            if url is None:
                self._stopping.wait(_NO_SOCKET_SECONDS)
                continue
            lasted = self._listen_once(url)
            wait_seconds = _FIRST_WAIT_SECONDS if lasted else min(wait_seconds * 2, _LONGEST_WAIT_SECONDS)
            self._stopping.wait(wait_seconds)

    def stop(self) -> None:
        """End `run` at once, wherever it waits; safe from any thread."""
        self._stopping.set()
        with self._guard:
            if self._socket is not None:
                # Closing would not wake a thread that is reading; shutting down does.
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS)

    def _listen_once(self, url: str) -> bool:
        """Listen until the connection is lost; say whether it had lasted."""
        try:
            self._listen(url)
            reason = "the engine ended the stream"
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            reason = clean(str(error) or type(error).__name__, 200)
        finally:
            lasted = self._disconnected()
        self._complained = self._complained and not lasted
        # Once for each loss, not for each attempt: an engine may be away for days.
        if not self._stopping.is_set() and not self._complained:
            log.warning("no Docker events from %s: %s", url, reason)
            self._complained = True
        return lasted

    def _listen(self, url: str) -> None:
        connection = _connect(url)
        self._connection = connection
        connection.connect()
        with self._guard:
            # The connection lets go of its socket once the answer says that it ends with it.
            self._socket = connection.sock
        if self._stopping.is_set():
            return
        connection.request("GET", self._path(), headers={"Host": "docker"})
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise http.client.HTTPException(f"status {response.status}")
        self._begin(url)
        for line in _lines(response):
            self._tell(line)

    def _begin(self, url: str) -> None:
        # Silence is what a quiet engine sounds like: from here on there is no time-out.
        if self._socket is not None:
            self._socket.settimeout(None)
        self.connected, self._connected_at = True, time.monotonic()
        # An engine that answers and hangs up, over and over, is not news each time.
        log.log(logging.DEBUG if self._complained else logging.INFO, "listening for Docker events at %s", url)
        self._on_connection(True)

    def _path(self) -> str:
        filters = quote(json.dumps({"type": ["container"], "event": list(ACTIONS)}))
        # One nanosecond later than the last event: `since` includes its own moment.
        after = self._since_ns + 1
        since = f"&since={after // 10**9}.{after % 10**9:09d}" if self._since_ns else ""
        return f"/events?filters={filters}{since}"

    def _tell(self, line: bytes) -> None:
        event = parse_event(json.loads(line))
        self._since_ns = max(self._since_ns, event.nanoseconds)
        try:
            self._on_event(event)
        except Exception:  # one event that cannot be dealt with must not make us deaf to the next
            log.exception("Docker event %s of %s", event.action, event.name)

    def _disconnected(self) -> bool:
        """Let the connection go; say whether it had lasted."""
        with self._guard:
            connection, self._connection, self._socket = self._connection, None, None
        if connection is not None:
            connection.close()
        was_connected, self.connected = self.connected, False
        if was_connected:
            self._on_connection(False)
        return was_connected and time.monotonic() - self._connected_at >= _STEADY_SECONDS


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=_ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_ANSWER_SECONDS)
        self.sock.connect(self._path)


class _TcpConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _keep_alive(self.sock)


class _TlsConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _keep_alive(self.sock)


def _keep_alive(sock: socket.socket) -> None:
    """Have the kernel notice a peer that is gone without a word: after a minute, then every 15 s, four times."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return _UnixConnection(parts.path)
    kind = _TlsConnection if parts.scheme == "https" else _TcpConnection
    return kind(parts.hostname or "", parts.port, timeout=_ANSWER_SECONDS)


def _lines(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The lines of the stream as they come; ValueError for one without an end, or without anything else."""
    while line := response.readline(MAX_LINE_BYTES):
        if not line.endswith(b"\n") and len(line) >= MAX_LINE_BYTES:
            raise ValueError(f"a line of more than {MAX_LINE_BYTES} bytes")
        if not line.strip():
            raise ValueError("an empty line where an event should be")
        yield line


def _local_url() -> str | None:
    usual = (os.path.expandvars(path) for path in _SOCKETS)
    return next((f"unix://{path}" for path in usual if Path(path).is_socket()), None)
