"""One HTTP/1.1 exchange on one connection: the request goes out, and one bounded response comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httptools

MAX_HEAD_BYTES = 65536
_FRAMING_PER_BODY_BYTE = 8
"""A chunk of one byte takes six; a server that needs more than this is only keeping us busy."""


class BadExchange(Exception):
    """The server did not answer in HTTP; the message is one line."""


@dataclass(frozen=True)
class Received:
    """A complete response, or as much of it as its body's limit allows."""

    status: int
    body: bytes
    truncated: bool
    headers: Mapping[str, str] = field(default_factory=dict)


class Exchange(asyncio.Protocol):
    """Sends `request` and settles `done` with what was Received or with BadExchange; then takes nothing more.

    `on_piece` is handed each piece of the body as it comes.
    """

    def __init__(
        self,
        done: asyncio.Future[Received],
        request: bytes,
        is_head: bool,
        max_body_bytes: int,
        on_piece: Callable[[bytes], None] | None = None,
    ) -> None:
        self.done, self.request, self.is_head, self.max_body_bytes = done, request, is_head, max_body_bytes
        self.on_piece = on_piece
        self.parser = httptools.HttpResponseParser(self)
        self.transport: asyncio.Transport | None = None
        self.body: list[bytes] = []
        self.body_bytes = self.head_bytes = self.wire_bytes = 0
        self.in_body = self.has_length = self.truncated = False
        self.headers: dict[str, str] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self.transport = transport  # type: ignore[assignment]  # create_connection makes no other kind
        transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Take a piece of the response; end the exchange where it breaks a limit or the protocol."""
        if self.done.done():
            return
        self.wire_bytes += len(data)
        was_in_body = self.in_body
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._finish()
        except httptools.HttpParserError as error:
            # What follows a complete response is not ours to judge.
            self._fail(f"not HTTP: {error}")
        if not was_in_body and not self.in_body:
            self.head_bytes += len(data)
        if self.head_bytes > MAX_HEAD_BYTES:
            self._fail(f"headers of more than {MAX_HEAD_BYTES} bytes")
        if self.wire_bytes > 2 * MAX_HEAD_BYTES + 262144 + _FRAMING_PER_BODY_BYTE * self.max_body_bytes:
            self._fail("more framing than content")

    def connection_lost(self, exc: Exception | None) -> None:
        """A response without a length ends here; any other was cut off."""
        if exc is None and self.in_body and not self.has_length:
            self._finish()
        elif exc is not None:
            self._fail(f"connection lost: {exc}")
        else:
            self._fail("connection closed in mid-answer" if self.wire_bytes else "connection closed without an answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep it, and note whether the response says where it ends. Of several with one name the last counts."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self.has_length = True

    def on_headers_complete(self) -> None:
        """The body comes next, unless the request asked for none."""
        if self.parser.get_status_code() >= 200:
            self.in_body = True
            if self.is_head:
                self._finish()

    def on_body(self, piece: bytes) -> None:
        """Keep what fits; with the first byte beyond, the exchange is over."""
        if self.done.done():
            return
        if self.on_piece is not None:
            self.on_piece(piece)
        self.body.append(piece[: self.max_body_bytes - self.body_bytes])
        self.body_bytes += len(piece)
        if self.body_bytes > self.max_body_bytes:
            self.truncated = True
            self._finish()

    def on_message_complete(self) -> None:
        """Done, unless this was only an interim response (1xx)."""
        if self.in_body:
            self._finish()
        self.has_length = False
        self.headers = {}

    def _finish(self) -> None:
        if not self.done.done():
            status = self.parser.get_status_code()
            self.done.set_result(Received(status, b"".join(self.body), self.truncated, self.headers))
            self._drop()

    def _fail(self, message: str) -> None:
        if not self.done.done():
            self.done.set_exception(BadExchange(message))
            self._drop()

    def _drop(self) -> None:
        if self.transport is not None:
            self.transport.abort()
