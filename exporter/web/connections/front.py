"""Takes connections where a web configuration file is in use, each as the file says at that moment.

A connection is counted from the moment it is accepted, so that one which never ends its TLS handshake is limited,
timed and put out like any other. Whether it gets TLS is decided when its first byte is there: who sends a plain
request to a TLS port is told so, in the words of Go's net/http.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

from exporter.web.connections.protocol import GuardedProtocol, make_room
from exporter.web.connections.uvicorn_parts import Config, Server
from exporter.web.web_config.tls import Tls, client_name

logger = logging.getLogger(__name__)
ACCEPTED_AT_ONCE = 64
PAUSE_SECONDS = 1.0
"""How long nobody is accepted when there is no descriptor left for it."""
FAREWELL_SECONDS = 5.0
"""How long a client may take to say its farewell in TLS."""
_HANDSHAKE = b"\x16"
"""The type of record that a TLS connection begins with (RFC 8446 section 5.1)."""
_NO_TLS = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


class Knock:
    """A connection that is accepted and not in yet: its first byte or its TLS handshake is waited for.

    It stands among the connections of the server and answers to what is asked of these.
    """

    phase = "headers"
    answering_since: float | None = None

    def __init__(self, connection: socket.socket, front: Front, tls: Tls | None) -> None:
        self.since = time.monotonic()
        self.secured_by = tls
        self.transport = self
        self._socket = connection
        self._front = front
        self._task: asyncio.Task[None] | None = None
        front.connections.add(self)
        if tls is None:
            self._admit()
        else:
            front.loop.add_reader(connection, self._first_byte)

    def awaits_client(self) -> bool:
        """Always: nothing has been asked yet."""
        return True

    def overdue(self, now: float) -> bool:
        """Whether it has been waited for beyond the time for headers."""
        return now - self.since > self._front.handshake_seconds

    def abort(self) -> None:
        """End it."""
        if self._task:
            self._task.cancel()
        else:
            self._leave()

    def shutdown(self) -> None:
        """End it: the server stops. Where only the TLS settings have changed, what it becomes is ended."""
        if self._front.closed:
            self.abort()

    def _first_byte(self) -> None:
        try:
            first = self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            first = b""
        self._front.loop.remove_reader(self._socket)
        if first == _HANDSHAKE:
            self._admit()
            return
        if first:
            self._say_that_this_is_tls()
        self._leave()

    def _say_that_this_is_tls(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.recv(1 << 16)  # what is closed on unread bytes is reset, and the answer with it
            self._socket.send(_NO_TLS)
            self._socket.shutdown(socket.SHUT_WR)

    def _admit(self) -> None:
        self._task = self._front.loop.create_task(self._hand_over())
        self._task.add_done_callback(lambda task: self._leave())

    async def _hand_over(self) -> None:
        protocol = self._front.protocol()
        protocol.succeeds(self)
        secure: dict[str, Any] = {}
        if self.secured_by:
            secure = {
                "ssl": self.secured_by.context,
                "ssl_handshake_timeout": self._front.handshake_seconds,
                "ssl_shutdown_timeout": FAREWELL_SECONDS,
            }
        try:
            await self._front.loop.connect_accepted_socket(lambda: protocol, self._socket, **secure)
        except OSError as error:  # whatever a client has sent instead of a handshake, or that it has gone
            logger.debug("no TLS connection came of it", extra={"reason": str(error)[:200]})

    def _leave(self) -> None:
        self._front.connections.discard(self)
        if self._task is None:
            self._front.loop.remove_reader(self._socket)
        self._socket.close()  # a transport that has taken it over keeps it open


class FrontProtocol(GuardedProtocol):
    """What a knock becomes. `secured_by` is the TLS that let it in; a verified certificate's holder is told on."""

    secured_by: Tls | None = None
    certificate = ""
    _knock: Knock | None = None

    def succeeds(self, knock: Knock) -> None:
        """Take the place of a knock, once there is a connection."""
        self._knock, self.secured_by = knock, knock.secured_by

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; with TLS its client must be one that is let in."""
        self.connections.discard(self._knock)
        self._knock = None
        if self.secured_by and not self._is_let_in(transport, self.secured_by):
            transport.abort()
            return
        super().connection_made(transport)

    def _is_let_in(self, transport: asyncio.Transport, tls: Tls) -> bool:
        certificate = transport.get_extra_info("ssl_object").getpeercert()
        if tls.admits(certificate):
            self.certificate = client_name(certificate) if tls.names_clients else ""
            return True
        extra = {"client": client_name(certificate)}
        logger.warning("a client certificate has none of client_allowed_sans", extra=extra)
        return False

    def data_received(self, data: bytes) -> None:
        """Take bytes, of those who are let in."""
        if self.transport is not None:
            super().data_received(data)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        if self.certificate:
            self.scope["certificate"] = self.certificate  # type: ignore[typeddict-unknown-key]


class Front:
    """Accepts connections from a listening socket; stands in for a server of asyncio's."""

    def __init__(
        self,
        listener: socket.socket,
        connections: set[Any],
        protocol: Callable[[], FrontProtocol],
        tls: Callable[[], Tls | None],
        handshake_seconds: float,
        max_connections: int,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.connections, self.protocol, self.handshake_seconds = connections, protocol, handshake_seconds
        self.closed = False
        self._listener, self._tls, self._max_connections = listener, tls, max_connections
        listener.setblocking(False)
        self.loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Accept nobody any more."""
        self.closed = True
        self.loop.remove_reader(self._listener)

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                logger.error("no connection can be accepted", extra={"reason": error.strerror})
                self.loop.remove_reader(self._listener)
                self.loop.call_later(PAUSE_SECONDS, self._accept_again)
                return
            connection.setblocking(False)
            if len(self.connections) >= self._max_connections and not make_room(self.connections):
                connection.close()
                continue
            Knock(connection, self, self._tls())

    def _accept_again(self) -> None:
        if not self.closed:
            self.loop.add_reader(self._listener, self._accept)


class FrontServer(Server):
    """uvicorn's server, with a Front instead of its own way to take connections."""

    def __init__(self, config: Config, tls: Callable[[], Tls | None], handshake_seconds: float) -> None:
        super().__init__(config)
        self._tls = tls
        self._handshake_seconds = handshake_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections from the one socket that is given."""
        (listener,) = sockets or []
        await self.lifespan.startup()
        kind: Any = self.config.http_protocol_class

        def protocol() -> FrontProtocol:
            made: FrontProtocol = kind(config=self.config, server_state=self.server_state, app_state={})
            return made

        most = kind.limits.max_connections
        front: Any = Front(listener, self.server_state.connections, protocol, self._tls, self._handshake_seconds, most)
        self.servers = [front]
        self.started = True
