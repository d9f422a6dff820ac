"""A connection to a server that is about to speak TLS and is not trusted: one deadline, and every byte counted."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.clients.errors import ClientError
from jobs.core.containers import clean

MAX_RECEIVED_BYTES = 512 * 1024
_MAX_LINE_BYTES = 4096
_MAX_LINES = 100
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""PostgreSQL's request to go on with TLS (protocol-message-formats: SSLRequest)."""


@contextmanager
def told_plainly(where: str, timeout_seconds: float) -> Iterator[None]:
    """Raise ClientError, in one line, for what keeps a connection from coming about or breaks it off."""
    try:
        yield
    except TimeoutError:
        raise ClientError(f"{where} did not answer within {timeout_seconds:g} s") from None
    except ConnectionRefusedError:
        raise ClientError(f"{where} is down: connection refused") from None
    except ssl.SSLError as error:
        raise ClientError(f"{where} does not speak TLS as it should: {told_of(error)}") from None
    except (OSError, UnicodeError) as error:
        raise ClientError(f"{where}: {clean(getattr(error, 'strerror', None) or str(error), 200)}") from None


def told_of(error: OSError) -> str:
    """Why, in words for people; OpenSSL has its reasons in capitals."""
    text = getattr(error, "reason", None) or error.strerror or str(error)
    return clean(str(text).lower().replace("_", " "), 200)


class Wire:
    """A connection that receives MAX_RECEIVED_BYTES at most, until a deadline."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection, self._deadline = connection, deadline
        self._received = 0

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._connection.settimeout(seconds_left(self._deadline))
        self._connection.sendall(data)

    def receive(self, size: int) -> bytes:
        """Some bytes, at most `size`, none at the end."""
        self._connection.settimeout(seconds_left(self._deadline))
        data = self._connection.recv(size)
        self._received += len(data)
        if self._received > MAX_RECEIVED_BYTES:
            raise ConnectionError("it sends without end")
        return data

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes; ConnectionError where it hangs up before."""
        data = bytearray()
        while len(data) < size:
            piece = self.receive(size - len(data))
            if not piece:
                raise ConnectionError("it hung up in mid-answer" if data else "it hung up without an answer")
            data += piece
        return bytes(data)

    def line(self) -> bytes:
        """One line, read byte by byte: what follows it belongs to TLS."""
        line = bytearray()
        while not line.endswith(b"\n"):
            byte = self.receive(1)
            if not byte:
                raise ConnectionError("it hung up before TLS")
            line += byte
            if len(line) > _MAX_LINE_BYTES:
                raise ConnectionError("it sends a line without end")
        return bytes(line)

    def shake_hands(self, context: ssl.SSLContext, server_name: str) -> tuple[bytes, str]:
        """The certificate in DER form and the version of TLS."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush(outgoing)
                data = self.receive(16384)
                if data:
                    incoming.write(data)
                else:
                    incoming.write_eof()
            except ssl.SSLError:
                self._flush(outgoing)  # the alert that says why
                raise
        self._flush(outgoing)
        der = tls.getpeercert(binary_form=True)
        if der is None:
            raise ConnectionError("it served no certificate")
        return der, tls.version() or ""

    def _flush(self, outgoing: ssl.MemoryBIO) -> None:
        if data := outgoing.read():
            self.send(data)


def start_tls(wire: Wire, protocol: str) -> None:
    """Have the server begin with TLS, as its protocol does it; ConnectionError where it will not."""
    if protocol == "postgres":
        _ask_postgres(wire)
    elif protocol == "smtp":
        _ask_smtp(wire)


def _ask_postgres(wire: Wire) -> None:
    wire.send(SSL_REQUEST)
    answer = wire.receive(1)
    if answer == b"N":
        raise ConnectionError("PostgreSQL offers no TLS there (ssl is off)")
    if answer != b"S":
        raise ConnectionError("it does not answer as PostgreSQL does")


def _ask_smtp(wire: Wire) -> None:
    _reply(wire, b"220")
    wire.send(b"EHLO localhost\r\n")
    if not any(line[4:].strip().upper() == b"STARTTLS" for line in _reply(wire, b"250")):
        raise ConnectionError("the mail server offers no STARTTLS")
    wire.send(b"STARTTLS\r\n")
    _reply(wire, b"220")


def _reply(wire: Wire, code: bytes) -> list[bytes]:
    """The lines of one reply (RFC 5321, 4.2)."""
    lines: list[bytes] = []
    while len(lines) < _MAX_LINES:
        lines.append(wire.line())
        if lines[-1][:3] != code:
            raise ConnectionError(f"the mail server answered {clean(lines[-1].decode('ascii', 'replace').strip(), 80)}")
        if lines[-1][3:4] != b"-":
            return lines
    raise ConnectionError("the mail server's reply does not end")


def lenient() -> ssl.SSLContext:
    """TLS that judges nothing: weak keys and old signatures are to be seen, not turned away."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    return context


def seconds_left(deadline: float) -> float:
    """Time until `deadline` (monotonic); TimeoutError when it is over."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
