"""The certificate that a server serves: over TLS at once, or after STARTTLS as PostgreSQL and SMTP have it.

The peer is not trusted: all of an exchange has one deadline, whatever it sends is counted, and nothing of what it says
is followed.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from jobs.clients.certificates import CertificateFacts, parse_der
from jobs.clients.errors import ClientError
from jobs.core.containers import clean

PROTOCOLS = ("tls", "postgres", "smtp")
MAX_RECEIVED_BYTES = 512 * 1024
_MAX_LINE_BYTES = 4096
_MAX_LINES = 100
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""PostgreSQL's request to go on with TLS (protocol-message-formats: SSLRequest)."""


@dataclass(frozen=True)
class Served:
    """What a server served. `distrust` says why OpenSSL does not trust it, empty where it does."""

    facts: CertificateFacts
    distrust: str
    version: str


def served_certificate(
    host: str, port: int, *, protocol: str, server_name: str, ca_file: Path | None, timeout_seconds: float
) -> Served:
    """Shake hands with a server and say which certificate it served; ClientError where it served none.

    `server_name` is the name that it is asked for (SNI). Whether the certificate is for that name is the caller's
    question; here it is asked whether it leads to `ca_file`, or else to one of the system's authorities.
    """
    where = f"{host}:{port}"
    deadline = time.monotonic() + timeout_seconds
    context = _trusting(ca_file)
    distrust = ""
    try:
        try:
            der, version = _handshake(host, port, protocol, server_name, context, deadline)
        except ssl.SSLError as error:
            # Once more without judging: what is served is to be known all the same.
            distrust = getattr(error, "verify_message", "") or _reason(error)
            der, version = _handshake(host, port, protocol, server_name, _lenient(), deadline)
    except ssl.SSLError as error:
        raise ClientError(f"{where} does not speak TLS as it should: {_reason(error)}") from None
    except TimeoutError:
        raise ClientError(f"{where} did not answer within {timeout_seconds:g} s") from None
    except ConnectionRefusedError:
        raise ClientError(f"{where} is down: connection refused") from None
    except (OSError, UnicodeError) as error:
        raise ClientError(f"{where}: {clean(getattr(error, 'strerror', None) or str(error), 200)}") from None
    return Served(parse_der(der, where), clean(distrust, 200), version)


def _handshake(
    host: str, port: int, protocol: str, server_name: str, context: ssl.SSLContext, deadline: float
) -> tuple[bytes, str]:
    with socket.create_connection((host, port), timeout=_left(deadline)) as connection:
        wire = _Wire(connection, deadline)
        if protocol == "postgres":
            _ask_postgres(wire)
        elif protocol == "smtp":
            _ask_smtp(wire)
        return wire.shake_hands(context, server_name)


class _Wire:
    """A connection that receives MAX_RECEIVED_BYTES at most, until a deadline."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection, self._deadline = connection, deadline
        self._received = 0

    def send(self, data: bytes) -> None:
        self._connection.settimeout(_left(self._deadline))
        self._connection.sendall(data)

    def receive(self, size: int) -> bytes:
        self._connection.settimeout(_left(self._deadline))
        data = self._connection.recv(size)
        self._received += len(data)
        if self._received > MAX_RECEIVED_BYTES:
            raise ConnectionError("it sends without end")
        return data

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


def _ask_postgres(wire: _Wire) -> None:
    wire.send(_SSL_REQUEST)
    answer = wire.receive(1)
    if answer == b"N":
        raise ConnectionError("PostgreSQL offers no TLS there (ssl is off)")
    if answer != b"S":
        raise ConnectionError("it does not answer as PostgreSQL does")


def _ask_smtp(wire: _Wire) -> None:
    _reply(wire, b"220")
    wire.send(b"EHLO localhost\r\n")
    if not any(line[4:].strip().upper() == b"STARTTLS" for line in _reply(wire, b"250")):
        raise ConnectionError("the mail server offers no STARTTLS")
    wire.send(b"STARTTLS\r\n")
    _reply(wire, b"220")


def _reply(wire: _Wire, code: bytes) -> list[bytes]:
    """The lines of one reply (RFC 5321, 4.2)."""
    lines: list[bytes] = []
    while len(lines) < _MAX_LINES:
        lines.append(wire.line())
        if lines[-1][:3] != code:
            raise ConnectionError(f"the mail server answered {clean(lines[-1].decode('ascii', 'replace').strip(), 80)}")
        if lines[-1][3:4] != b"-":
            return lines
    raise ConnectionError("the mail server's reply does not end")


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        if ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ClientError(f"the CA file {ca_file} cannot be used: {_reason(error)}") from None
    return context


def _lenient() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # Weak keys and old signatures are to be seen, not turned away.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    return context


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reason(error: OSError) -> str:
    text = getattr(error, "reason", None) or error.strerror or str(error)
    return clean(str(text).lower().replace("_", " "), 200)
