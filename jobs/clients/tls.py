"""The certificate that a server serves: over TLS at once, or after STARTTLS as PostgreSQL and SMTP have it.

The peer is not trusted: all of an exchange has one deadline, whatever it sends is counted, and nothing of what it says
is followed.
"""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from jobs.clients.certificates import CertificateFacts, parse_der
from jobs.clients.errors import ClientError
from jobs.clients.tls_wire import Wire, lenient, seconds_left, start_tls, told_of, told_plainly
from jobs.core.containers import clean


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
    with told_plainly(where, timeout_seconds):
        try:
            der, version = _handshake(host, port, protocol, server_name, context, deadline)
        except ssl.SSLError as error:
            # Once more without judging: what is served is to be known all the same.
            distrust = getattr(error, "verify_message", "") or told_of(error)
            der, version = _handshake(host, port, protocol, server_name, lenient(), deadline)
    return Served(parse_der(der, where), clean(distrust, 200), version)


def _handshake(
    host: str, port: int, protocol: str, server_name: str, context: ssl.SSLContext, deadline: float
) -> tuple[bytes, str]:
    with socket.create_connection((host, port), timeout=seconds_left(deadline)) as connection:
        wire = Wire(connection, deadline)
        start_tls(wire, protocol)
        return wire.shake_hands(context, server_name)


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
        raise ClientError(f"the CA file {ca_file} cannot be used: {told_of(error)}") from None
    return context
