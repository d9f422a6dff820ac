"""uvicorn's HTTP protocol with the patience of an exporter that must always answer the next scrape.

A connection that keeps us waiting (for headers, for a body, for the next request, for its reader) is ended at
its limit, and when the server is full the one that has kept us waiting longest gives way to the newcomer.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

logger = logging.getLogger(__name__)
RESERVED_DESCRIPTORS = 64
"""Of the process's limit of open files, so many are left for the store, runs and their pipes."""
IDLE_SECONDS = 90.0
MAX_HEADER_BYTES = 64 << 10
FRAMING_FACTOR = 8
"""Chunks of one byte take six; beyond this factor it is no longer a body that is being sent."""
PIECE_BYTES = 1024
"""So much of what has come is read at once: requests of 18 bytes each cost a hundred times that while they wait."""
SWEEP_SECONDS = 1.0
_DETAILS = {
    b"400": b"this cannot be read as an HTTP request, or in more than one way",
    b"413": b"the body has more bytes than web.max_body_bytes",
    b"431": b"the headers have more than 64 KiB",
}
_REFUSAL = (
    b"HTTP/1.1 %s\r\ncontent-type: application/problem+json\r\nx-content-type-options: nosniff\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s"
)


@dataclass(frozen=True)
class Limits:
    """How many connections there may be and how long each may keep us waiting."""

    max_connections: int
    header_seconds: float
    body_seconds: float
    max_body_bytes: int

    @classmethod
    def within_descriptors(
        cls, max_connections: int, header_seconds: float, body_seconds: float, max_body_bytes: int
    ) -> Limits:
        """Limits whose connections leave descriptors for everything else."""
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        room = max_connections if soft == resource.RLIM_INFINITY else max(8, soft - RESERVED_DESCRIPTORS)
        return cls(min(max_connections, room), header_seconds, body_seconds, max_body_bytes)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits; `phase` is what the connection waits for since `since` (monotonic).

    `answering_since` is when the request was let in whose answer is under way; None where none is. What a client sends
    while a request of his waits for its turn is not even read: there would be no end to it.
    """

    limits: Limits
    phase = "headers"
    since = 0.0
    answering_since: float | None = None
    _under_way: RequestResponseCycle | None = None
    turn = phase_bytes = body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, if need be at the cost of the stalest one."""
        self._enter("headers")
        if len(self.connections) >= self.limits.max_connections and not make_room(self.connections):
            transport.abort()
            return
        super().connection_made(transport)
        self._unread = bytearray()
        self.flow = _Flow(transport, lambda: not (self.pipeline or self._unread))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection. uvicorn tells the last request that was read, which may not be the one under way."""
        if self._under_way:
            self._under_way.disconnected = True
            self._under_way.message_event.set()
        if self.transport is not None:
            super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._under_way = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        self._unset_keepalive_if_required()
        self._unread += data
        self._read_on()

    def _read_on(self) -> None:
        """Read what has come, piece by piece, until a whole request waits for its turn."""
        while self._unread and not self.pipeline and not self.transport.is_closing():
            piece = bytes(self._unread[:PIECE_BYTES])
            del self._unread[:PIECE_BYTES]
            self._read(piece)
        if self.transport.is_closing():
            self._unread.clear()
        elif self._unread:
            self.flow.pause_reading()
        elif self.phase in ("headers", "idle"):
            self.flow.resume_reading()

    def _read(self, piece: bytes) -> None:
        """Read a piece. The parser has no limits of its own: what ends neither headers nor a body is counted."""
        turn = self.turn
        try:
            self._feed(piece)
        except httptools.HttpParserError as error:
            logger.debug("this is no request", extra={"client": self.client, "reason": str(error)})
            self._refuse(b"400 Bad Request")
        if self.turn != turn:
            return
        self.phase_bytes += len(piece)
        if self.phase == "body" and self.phase_bytes > FRAMING_FACTOR * self.limits.max_body_bytes + MAX_HEADER_BYTES:
            self._refuse(b"413 Content Too Large")
        elif self.phase in ("headers", "idle") and self.phase_bytes > MAX_HEADER_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")

    def _feed(self, piece: bytes) -> None:
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as wish:
            self._ignore_upgrade()
            self.parser.feed_data(piece[wish.args[0] :])

    def _ignore_upgrade(self) -> None:
        """Read the rest of a request that would like another protocol (RFC 9110 section 7.8), which is its last.

        The parser takes it to be without a body, and what follows for the other protocol: Java's HttpClient asks for
        HTTP/2 with each of its requests, and the mode in a body would be lost.
        """
        framing = [(b"connection", b"close")]
        framing += [header for header in self.headers if header[0] in (b"content-length", b"transfer-encoding")]
        self.cycle.keep_alive = False
        self.parser = httptools.HttpRequestParser(_Rest(self))
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % b"".join(b"%s: %s\r\n" % header for header in framing))

    def on_message_begin(self) -> None:
        """A request begins."""
        self._enter("headers")
        self.body_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The request's headers are there."""
        if sum(name == b"host" for name, _ in self.headers) > 1:
            raise ValueError("who asks is judged by the Host that was asked for: there must not be two")
        self._enter("body")
        if self.answering_since is None:
            self.answering_since = time.monotonic()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body is there; beyond the limit the request is refused."""
        self.body_bytes += len(body)
        if self.body_bytes <= self.limits.max_body_bytes:
            super().on_body(body)
        else:
            self._refuse(b"413 Content Too Large")

    def on_message_complete(self) -> None:
        """The request is whole: now it is us who are waited for."""
        if self.parser.should_upgrade():
            return  # that it has no body the parser cannot know
        self._enter("answer")
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is out: the next request has its turn."""
        if self.phase == "answer":
            self._enter("answer" if self.pipeline else "idle")
        self.answering_since = time.monotonic() if self.pipeline else None
        super().on_response_complete()
        if self._unread and not self.pipeline:
            self.since = time.monotonic()  # until now it was not waited for
            self.loop.call_soon(self._read_on)

    def overdue(self, now: float) -> bool:
        """Whether the connection has kept us waiting beyond the limit of its phase."""
        if self.phase == "headers":
            patience = self.limits.header_seconds
        elif self.phase == "idle" and not self.flow.write_paused:
            patience = IDLE_SECONDS
        else:
            patience = self.limits.body_seconds
        return self.awaits_client() and now - self.since > patience

    def _enter(self, phase: str) -> None:
        self.phase, self.since = phase, time.monotonic()
        self.turn, self.phase_bytes = self.turn + 1, 0

    def pause_writing(self) -> None:
        """The client does not read fast enough: of an answer without end, it is waited for from now on."""
        if self.phase == "answer":
            self.since = time.monotonic()
        super().pause_writing()

    def _refuse(self, status: bytes) -> None:
        if not self.transport.is_closing():
            number, _, title = status.partition(b" ")
            body = b'{"type":"about:blank","status":%s,"title":"%s","detail":"%s"}' % (number, title, _DETAILS[number])
            self.transport.write(_REFUSAL % (status, len(body), body))
            self.transport.close()

    def awaits_client(self) -> bool:
        """Whether it is the client that is waited for: to send, or to read what we have sent."""
        return (self.phase != "answer" and not self._unread) or bool(self.flow.write_paused)


class _Flow(FlowControl):
    """Of a connection: no more is taken while there is something that `may_go_on` says must be read first."""

    def __init__(self, transport: asyncio.Transport, may_go_on: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._may_go_on = may_go_on

    def resume_reading(self) -> None:
        """Take more, if that may be."""
        if self._may_go_on():
            super().resume_reading()


class _Rest:
    """What a parser tells of a request whose headers are known."""

    def __init__(self, protocol: GuardedProtocol) -> None:
        self.on_body, self.on_message_complete = protocol.on_body, protocol.on_message_complete


def make_room(connections: set[Any]) -> bool:
    """End the connection that has kept us waiting longest; False where it is us who are waited for by all of them."""
    waiting = [connection for connection in connections if connection.awaits_client()]
    if not waiting:
        return False
    stalest = min(waiting, key=lambda connection: float(connection.since))
    connections.discard(stalest)
    stalest.transport.abort()
    return True


def guarded_protocol(limits: Limits, kind: type[GuardedProtocol] = GuardedProtocol) -> type[GuardedProtocol]:
    """A protocol class for uvicorn that keeps to these limits."""
    return type("LimitedProtocol", (kind,), {"limits": limits})


async def sweep(connections: Callable[[], set[Any]]) -> None:
    """End overdue connections, for ever."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        now = time.monotonic()
        for connection in list(connections()):
            if connection.overdue(now):
                connection.transport.abort()
