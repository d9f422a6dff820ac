"""Redis's protocol (RESP2, https://redis.io/docs/latest/develop/reference/protocol-spec/) on an open socket.

The library's own parser trusts the server: it takes replies of any size for as long as they come. This one has limits.
"""

from __future__ import annotations

import re
import time
from typing import Protocol

MAX_REPLY_BYTES = 16 << 20
MAX_LINE_BYTES = 65536
_MAX_ITEMS = 100_000
_MAX_DEPTH = 8
_PIECE_BYTES = 262144
_LENGTH = re.compile(rb"-1|[0-9]{1,15}")
_INTEGER = re.compile(rb"[+-]?[0-9]{1,20}")

Reply = str | int | None | list["Reply"]


class Socket(Protocol):
    """What is needed of a socket, plain or TLS."""

    def settimeout(self, seconds: float | None, /) -> None:
        """Limit of each call from now on."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of it."""

    def recv(self, limit: int, /) -> bytes:
        """Some bytes, none at the end."""


class BadReply(Exception):
    """What came is not RESP, or beyond the limits; the message is one line."""


class ErrorReply(Exception):
    """The server answered with an error: `code` is its first word (`NOPERM`)."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.code = line.partition(" ")[0]


class Wire:
    """One connection. Each reply is read within `timeout_seconds`, however slowly it trickles in."""

    def __init__(self, connected: Socket, timeout_seconds: float) -> None:
        self._socket, self._timeout_seconds = connected, timeout_seconds
        self._buffer = bytearray()
        self._deadline, self._left_bytes = 0.0, 0

    def ask(self, *words: str) -> Reply:
        """Send a command and return its reply; raise ErrorReply, BadReply, TimeoutError or OSError."""
        self.send(*words)
        return self._reply(0)

    def send(self, *words: str) -> None:
        """Send a command, and begin its reply's time."""
        self.limit(self._timeout_seconds)
        parts = [b"$%d\r\n%s\r\n" % (len(word), word) for word in (word.encode() for word in words)]
        self._socket.settimeout(self._timeout_seconds)
        self._socket.sendall(b"*%d\r\n%s" % (len(parts), b"".join(parts)))

    def limit(self, seconds: float) -> None:
        """Give what is read from now on so much time."""
        self._deadline, self._left_bytes = time.monotonic() + seconds, MAX_REPLY_BYTES

    def line(self) -> bytes:
        """The next line, without its end."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_LINE_BYTES:
                raise BadReply("a line without end")
            self._buffer += self._received()
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return line.rstrip(b"\r\n")

    def piece(self, limit: int = _PIECE_BYTES) -> bytes:
        """Some bytes, at least one, at most `limit`."""
        if self._buffer:
            taken = bytes(self._buffer[:limit])
            del self._buffer[: len(taken)]
            return taken
        return self._received(limit)

    def _reply(self, depth: int) -> Reply:
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return _text(rest)
        if kind == b"-":
            raise ErrorReply(_text(rest))
        if kind == b":" and _INTEGER.fullmatch(rest):
            return int(rest)
        if kind in (b"$", b"*") and _LENGTH.fullmatch(rest):
            length = int(rest)
            if length < 0:
                return None
            return self._bulk(length) if kind == b"$" else self._items(length, depth)
        raise BadReply(f"not Redis's protocol: {_text(line[:40])!r}")

    def _bulk(self, length: int) -> str:
        if length > self._left_bytes:
            raise BadReply(f"a reply of {length} bytes (at most {MAX_REPLY_BYTES} are taken)")
        self._left_bytes -= length
        while len(self._buffer) < length + 2:
            self._buffer += self._received()
        taken = bytes(self._buffer[:length])
        del self._buffer[: length + 2]
        return _text(taken)

    def _items(self, count: int, depth: int) -> list[Reply]:
        self._left_bytes -= count
        if count > _MAX_ITEMS or depth >= _MAX_DEPTH or self._left_bytes < 0:
            raise BadReply(f"a list of {count} items in {depth} others")
        return [self._reply(depth + 1) for _ in range(count)]

    def _received(self, limit: int = _PIECE_BYTES) -> bytes:
        left_seconds = self._deadline - time.monotonic()
        if left_seconds <= 0:
            raise TimeoutError
        self._socket.settimeout(left_seconds)
        received = self._socket.recv(limit)
        if not received:
            raise ConnectionError("the server closed the connection")
        return received


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
