"""Whether a service lets us in without a password: asked as a stranger would, with nothing of ours in the question.

Nothing is read or changed behind the door: as soon as a service has let us in, or asked who we are, we leave.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from jobs.clients.redis_wire import BadReply, ErrorReply
from jobs.clients.redis_wire import Wire as RedisWire
from jobs.clients.tls_wire import SSL_REQUEST, Wire, lenient, seconds_left, told_plainly
from jobs.core.containers import clean

_PROTOCOL_3 = 196608
_TERMINATE = b"X\0\0\0\4"
_MAX_MESSAGE_BYTES = 16384


class Door(StrEnum):
    """How a service answered a stranger."""

    OPEN = "open"
    ASKS = "asks who we are"
    SHUT = "lets nobody in from there"


@dataclass(frozen=True)
class PostgresDoors:
    """A PostgreSQL server's door with and without TLS; `tls` is None where it offers none."""

    tls: Door | None
    plain: Door


def redis(host: str, port: int, *, timeout_seconds: float, tls: bool = False) -> Door:
    """Whether a Redis server answers PING to whom gave no password; ClientError where it does not answer as Redis."""
    with _connected(host, port, timeout_seconds) as (connection, _):
        opened = lenient().wrap_socket(connection, server_hostname=host) if tls else connection
        try:
            reply = RedisWire(opened, timeout_seconds).ask("PING")
        except ErrorReply as error:
            if error.code in ("NOAUTH", "NOPERM", "WRONGPASS"):
                return Door.ASKS
            if error.code == "DENIED":  # protected mode: only loopback is let in, and without a password
                return Door.SHUT
            raise ConnectionError(f"PING is answered with {clean(error.code, 40)}") from None
        except BadReply as error:
            raise ConnectionError(str(error)) from None
    if reply != "PONG":
        raise ConnectionError("PING is not answered with PONG")
    return Door.OPEN


def postgres(host: str, port: int, user: str, *, timeout_seconds: float) -> PostgresDoors:
    """Whether a PostgreSQL server lets `user` in without a password; ClientError where it does not answer as one.

    (https://www.postgresql.org/docs/current/protocol-flow.html)
    """
    with _connected(host, port, timeout_seconds) as (connection, deadline):
        wire = Wire(connection, deadline)
        wire.send(SSL_REQUEST)
        answer = wire.exactly(1)
        if answer not in (b"S", b"N"):
            raise ConnectionError("it does not answer as PostgreSQL does")
        tls = None
        if answer == b"S":
            connection.settimeout(seconds_left(deadline))
            encrypted = lenient().wrap_socket(connection, server_hostname=host)
            tls = _start(Wire(encrypted, deadline), user)
    with _connected(host, port, timeout_seconds) as (connection, deadline):
        return PostgresDoors(tls, _start(Wire(connection, deadline), user))


def _start(wire: Wire, user: str) -> Door:
    words = b"".join(word.encode() + b"\0" for word in ("user", user, "database", "postgres")) + b"\0"
    wire.send(struct.pack("!ii", 8 + len(words), _PROTOCOL_3) + words)
    kind, size = struct.unpack("!ci", wire.exactly(5))
    if not 4 <= size <= _MAX_MESSAGE_BYTES:
        raise ConnectionError("it does not answer as PostgreSQL does")
    body = wire.exactly(size - 4)
    if kind == b"R" and len(body) >= 4:
        wire.send(_TERMINATE)
        return Door.OPEN if body[:4] == b"\0\0\0\0" else Door.ASKS
    if kind == b"E":
        return _refusal(body)
    raise ConnectionError("it does not answer as PostgreSQL does")


def _refusal(body: bytes) -> Door:
    fields = {field[:1]: field[1:].decode("ascii", "replace") for field in body.split(b"\0") if field}
    code = fields.get(b"C", "")
    # invalid_authorization_specification: pg_hba.conf has no line for us, or one that rejects us.
    if code in ("28000", "28P01"):
        return Door.SHUT
    raise ConnectionError(f"it answers with the error {clean(code, 10)}")


@contextmanager
def _connected(host: str, port: int, timeout_seconds: float) -> Iterator[tuple[socket.socket, float]]:
    """A connection and its deadline; what goes wrong within the `with` becomes a ClientError."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    deadline = time.monotonic() + timeout_seconds
    with (
        told_plainly(where, timeout_seconds),
        socket.create_connection((host, port), timeout=timeout_seconds) as connection,
    ):
        connection.settimeout(seconds_left(deadline))
        yield connection, deadline
