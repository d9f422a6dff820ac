"""What a server chooses when it is offered a version of TLS and some ciphers, whatever our own OpenSSL still has.

A ClientHello is sent and the server's first answer read; then we hang up. No key is agreed on, and what the local
library has given up (SSL 3.0, RC4, export ciphers) can be offered all the same.
Formats: RFC 5246 (7.4.1), RFC 8446 (4.1), RFC 6101 for SSL 3.0.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.clients.errors import ClientError
from jobs.clients.tls_wire import Wire, seconds_left, start_tls, told_plainly
from jobs.core.certificates import is_address

SSL_3_0, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3 = range(0x0300, 0x0305)
_ALERT, _HANDSHAKE = 21, 22
_SERVER_HELLO = 2
_MAX_RECORD_BYTES = (1 << 14) + 2048
_MAX_HELLO_BYTES = 1 << 14
_MAX_WARNINGS = 4
_SECURE_RENEGOTIATION = 0x00FF
# x25519, x448, P-256, P-384, P-521, ffdhe2048 to ffdhe4096
_GROUPS = (0x001D, 0x001E, 0x0017, 0x0018, 0x0019, 0x0100, 0x0101, 0x0102)
# ECDSA, Ed25519, Ed448, RSA-PSS and PKCS#1 with SHA-2, then SHA-1
_SIGNATURES = (
    *(0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080A, 0x080B),
    *(0x0401, 0x0501, 0x0601, 0x0203, 0x0201, 0x0202),
)


class NotTls(ClientError):
    """The server answered, but not in TLS."""


@dataclass(frozen=True)
class Chosen:
    """The version and cipher that a server chose, by their numbers."""

    version: int
    cipher: int


def choose(
    host: str,
    port: int,
    version: int,
    ciphers: Sequence[int],
    *,
    protocol: str = "tls",
    server_name: str = "",
    timeout_seconds: float,
) -> Chosen | None:
    """Offer a server one version (and those below it) and some ciphers; None where it turns them all down.

    Raise NotTls for one that speaks something else, ClientError for one that is down, late or breaks off elsewhere.
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    deadline = time.monotonic() + timeout_seconds
    try:
        with (
            told_plainly(where, timeout_seconds),
            socket.create_connection((host, port), timeout=timeout_seconds) as connection,
        ):
            wire = Wire(connection, deadline)
            start_tls(wire, protocol)
            seconds_left(deadline)
            return _answer(wire, client_hello(version, ciphers, server_name))
    except NotTls as error:
        raise NotTls(f"{where} {error}") from None


def _answer(wire: Wire, hello: bytes) -> Chosen | None:
    try:
        wire.send(hello)
        return _server_hello(wire)
    except (ConnectionResetError, BrokenPipeError):
        return None  # how some servers say no


def _server_hello(wire: Wire) -> Chosen | None:
    message, warnings = bytearray(), 0
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4], "big"):
        first = wire.receive(1)
        if not first and not message:
            return None  # so do others
        kind, content = _record(first, wire)
        if kind == _ALERT and not message:
            warnings += 1
            if content[:1] == b"\x01" and warnings <= _MAX_WARNINGS:  # of a name that it does not know, for instance
                continue
            return None
        if kind != _HANDSHAKE:
            raise NotTls("does not speak TLS as it should")
        message += content
        if message[0] != _SERVER_HELLO or int.from_bytes(message[1:4], "big") > _MAX_HELLO_BYTES:
            raise NotTls("does not answer with a ServerHello")
    return parse_server_hello(bytes(message[4 : 4 + int.from_bytes(message[1:4], "big")]))


def _record(first: bytes, wire: Wire) -> tuple[int, bytes]:
    if first[:1] not in (b"\x15", b"\x16"):
        raise NotTls("does not speak TLS")
    head = first + wire.exactly(4)
    kind, major, _, size = struct.unpack("!BBBH", head)
    if major != 3 or not 0 < size <= _MAX_RECORD_BYTES:
        raise NotTls("does not speak TLS")
    return kind, wire.exactly(size)


def client_hello(version: int, ciphers: Sequence[int], server_name: str = "") -> bytes:
    """A ClientHello in its record; versions below `version` are offered with it, but for TLS 1.3, which is alone."""
    legacy = min(version, TLS_1_2)
    codes = _numbers([*ciphers, _SECURE_RENEGOTIATION])
    body = struct.pack("!H", legacy) + os.urandom(32) + _short(os.urandom(32)) + codes + _short(b"\0")
    if version > SSL_3_0:  # which has no extensions
        body += _long(_extensions(version, server_name))
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    # RFC 5246, appendix E.1: some servers want the version of the record low.
    return struct.pack("!BHH", _HANDSHAKE, min(version, TLS_1_0), len(message)) + message


def parse_server_hello(body: bytes) -> Chosen:
    """Given the body of a ServerHello, return what it chose; NotTls where it is none."""
    try:
        (version,) = struct.unpack_from("!H", body)
        at = 35 + body[34]
        (cipher,) = struct.unpack_from("!H", body, at)
        at += 3
        end = at + 2 + struct.unpack_from("!H", body, at)[0] if len(body) > at else at
        at += 2
        while at + 4 <= end:
            kind, size = struct.unpack_from("!HH", body, at)
            if kind == 43:  # supported_versions: where TLS 1.3 says that it is
                (version,) = struct.unpack_from("!H", body, at + 4)
            at += 4 + size
    except (struct.error, IndexError):
        raise NotTls("answers with a ServerHello that is not whole") from None
    return Chosen(version, cipher)


def _extensions(version: int, server_name: str) -> bytes:
    found = {10: _numbers(_GROUPS), 11: _short(b"\0")}
    if server_name and not is_address(server_name):
        found[0] = _long(b"\0" + _long(server_name.encode("ascii")))
    if version >= TLS_1_2:
        found[13] = _numbers(_SIGNATURES)
    if version >= TLS_1_3:
        # Without a share of a key the server asks for one, in a ServerHello that tells its choice.
        found |= {43: _short(struct.pack("!H", version)), 51: _long(b""), 45: _short(b"\x01")}
    return b"".join(struct.pack("!H", kind) + _long(content) for kind, content in found.items())


def _numbers(numbers: Sequence[int]) -> bytes:
    return _long(b"".join(struct.pack("!H", number) for number in numbers))


def _short(data: bytes) -> bytes:
    return bytes([len(data)]) + data


def _long(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data
