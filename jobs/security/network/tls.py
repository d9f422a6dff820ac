"""The scanner of TLS: which old versions and weak ciphers servers still take. Certificates are another job's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jobs.clients import sockets, tls_hello
from jobs.clients.errors import ClientError
from jobs.clients.tls_hello import TLS_1_2, TLS_1_3
from jobs.core.model import Severity
from jobs.core.side_by_side import side_by_side
from jobs.security.network.ciphers import ALL, CIPHERS, VERSIONS, Weak
from jobs.security.network.exposure import at
from jobs.security.network.places import named_ports, places
from jobs.security.network.reading import listening
from jobs.security.scanner import Area, Look, NothingHere, Scanner, Weakness

_AT_ONCE = 16
_REMEDY = "let it offer TLS 1.2 and 1.3 only, with the ciphers of https://ssl-config.mozilla.org (intermediate)"


@dataclass(frozen=True)
class Endpoint:
    """A server, how it is called and asked."""

    subject: str
    host: str
    port: int
    protocol: str
    server_name: str


def scan(look: Look) -> None:
    """Offer each server every old version and every kind of weak cipher."""
    endpoints = list(_endpoints(look))
    if not endpoints:
        raise NothingHere("nothing listens on tls_ports; set network.tls_endpoints to the servers that speak TLS")
    for start in range(0, len(endpoints), _AT_ONCE):
        look.go_on()
        now = endpoints[start : start + _AT_ONCE]
        tasks = [lambda endpoint=endpoint: _look_at(look, endpoint) for endpoint in now]
        for answer in side_by_side(tasks, look.left_seconds, look.clients.clock.monotonic):
            subject = now[answer.index].subject
            if answer.error is None:
                look.scanned()
            elif isinstance(answer.error, ClientError):
                look.missed(f"{subject}: {answer.error}", subject)
            else:
                raise answer.error
    look.go_on()


def _endpoints(look: Look) -> Iterator[Endpoint]:
    settings = look.settings.network
    for one in settings.tls_endpoints:
        yield Endpoint(f"tls/{one.address}", one.host, one.port, one.protocol, one.server_name or one.host)
    _, found = listening(look)
    own = sockets.own_addresses()
    ports = set(settings.tls_ports) - named_ports(settings.tls_endpoints, own)
    for exposure in found:
        where = places(exposure, own)
        host = where.inside or where.outside
        if exposure.protocol == "tcp" and exposure.port in ports and host:
            yield Endpoint(exposure.subject, host, exposure.port, "tls", "")


def _look_at(look: Look, endpoint: Endpoint) -> None:
    """Tell what one server takes that it should not; ClientError where it cannot be asked."""
    modern = [version for version in (TLS_1_2, TLS_1_3) if _takes_version(look, endpoint, version)]
    old = [weak for weak in VERSIONS if _takes_version(look, endpoint, weak.offer)]
    if not modern and not old:
        raise ClientError(f"{at(endpoint.host, endpoint.port)} turns down every version of TLS")
    for weak in old:
        look.found(_weakness(endpoint, weak))
    if not modern:
        look.found(_only_old(endpoint))
    for weak in CIPHERS:
        look.go_on()
        if _chosen(look, endpoint, TLS_1_2, weak.ciphers):
            look.found(_weakness(endpoint, weak))


def _takes_version(look: Look, endpoint: Endpoint, version: int) -> bool:
    chosen = _chosen(look, endpoint, version, ALL)
    return chosen is not None and chosen.version == version  # a server may choose a lower one


def _chosen(look: Look, endpoint: Endpoint, version: int, ciphers: tuple[int, ...]) -> tls_hello.Chosen | None:
    chosen = tls_hello.choose(
        endpoint.host,
        endpoint.port,
        version,
        ciphers,
        protocol=endpoint.protocol,
        server_name=endpoint.server_name,
        timeout_seconds=look.settings.network.probe_timeout_seconds,
    )
    # One that chooses what was not offered is no server of TLS, and tells nothing.
    return chosen if chosen and chosen.cipher in ciphers else None


def _weakness(endpoint: Endpoint, weak: Weak) -> Weakness:
    return Weakness(
        rule=weak.rule,
        subject=endpoint.subject,
        severity=weak.severity,
        message=f"{at(endpoint.host, endpoint.port)} takes {weak.name}: {weak.why}",
        remedy=_REMEDY,
    )


def _only_old(endpoint: Endpoint) -> Weakness:
    return Weakness(
        rule="no_modern_tls",
        subject=endpoint.subject,
        severity=Severity.HIGH,
        message=f"{at(endpoint.host, endpoint.port)} takes neither TLS 1.2 nor TLS 1.3",
        remedy=_REMEDY,
    )


TLS = Scanner("tls", Area.NETWORK, "Old versions of TLS and weak ciphers", "endpoints", scan, full_only=True)
