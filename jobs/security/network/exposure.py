"""What of this host others can reach: its listening sockets and the ports that containers publish, judged."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from jobs.clients.sockets import Listener, Listing
from jobs.core.addresses import address_of, is_everywhere, is_loopback
from jobs.core.containers import Container
from jobs.core.model import Severity
from jobs.security.known_services import DOCKER, OLLAMA, POSTGRES, REDIS, Known, known
from jobs.security.network.settings import ANY, LOOPBACK, AllowedListener
from jobs.security.scanner import Weakness

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 (only compared with)
UNSEEN = "(process not seen)"
_LESS = {Severity.CRITICAL: Severity.HIGH, Severity.HIGH: Severity.MEDIUM, Severity.MEDIUM: Severity.LOW}
_REMEDIES = {
    REDIS: "bind it to 127.0.0.1 and set requirepass",
    POSTGRES: "set listen_addresses to localhost, or let only the hosts that need it through the packet filter",
    OLLAMA: "set OLLAMA_HOST to 127.0.0.1: it asks nobody who they are",
    DOCKER: "close it: whoever reaches it is root here; use the local socket, or ssh:// from elsewhere",
}


@dataclass(frozen=True)
class Exposure:
    """One service on one port, with every address that it listens on. `process` is empty where it cannot be seen.

    `inner_port` is the port within its container for one that a container publishes, else 0.
    """

    protocol: str
    port: int
    process: str
    user: str
    unit: str
    container: str
    inner_port: int
    addresses: tuple[str, ...]

    @property
    def known(self) -> Known | None:
        """The service that this is, as far as it can be told from outside."""
        if self.inner_port:  # its process only passes on what the container serves
            return known(self.protocol, self.inner_port, "")
        return known(self.protocol, self.port, self.process, self.user)

    @property
    def owner(self) -> str:
        """The name that it is known by: its container's, or else its process's."""
        return self.container or self.process

    @property
    def subject(self) -> str:
        """What it is called from run to run: `tcp/0.0.0.0:8080 nginx`."""
        open_first = (*WILDCARDS, *(address for address in self.addresses if not is_loopback(address)))
        first = next((address for address in open_first if address in self.addresses), self.addresses[0])
        return f"{self.protocol}/{at(first, self.port)} {self.owner or UNSEEN}"


def at(address: str, port: int) -> str:
    """An address with its port, as in a URL."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def exposures(listing: Listing, containers: Sequence[Container]) -> list[Exposure]:
    """Every service that listens or is published, in the order of protocol and port.

    Sockets of UDP on ports that the kernel hands out are clients that wait for an answer, and are left out unless the
    port is a known service's.
    """
    names = {container.id: container.name for container in containers}
    published = _published(containers)
    found: dict[Exposure, set[str]] = defaultdict(set)
    for listener in listing.listeners:
        if not is_client(listener, listing.ephemeral):
            found[_exposure(listener, names, published)].add(listener.address)
    bound = {(one.protocol, one.port, address) for one, addresses in found.items() for address in addresses}
    for (protocol, port, address), (name, inner) in published.items():
        # A port may be published in the packet filter alone, with nothing that listens.
        if (protocol, port, address) not in bound:
            found[Exposure(protocol, port, "", "", "", name, inner, ())].add(address)
    complete = [replace(one, addresses=tuple(sorted(addresses, key=_order))) for one, addresses in found.items()]
    return sorted(complete, key=lambda one: (one.protocol, one.port, one.owner, one.user))


def is_client(listener: Listener, ephemeral: tuple[int, int]) -> bool:
    """Whether this is a client's socket of UDP, which waits for answers on a port that the kernel chose."""
    first, last = ephemeral
    return listener.protocol == "udp" and first <= listener.port <= last and known("udp", listener.port, "") is None


def _published(containers: Iterable[Container]) -> dict[tuple[str, int, str], tuple[str, int]]:
    """Container and inner port by protocol, port and address of this host."""
    return {
        (port.protocol, port.public, port.host): (container.name, port.private)
        for container in containers
        for port in container.ports
        if port.public is not None and address_of(port.host)
    }


def _exposure(
    listener: Listener, names: Mapping[str, str], published: Mapping[tuple[str, int, str], tuple[str, int]]
) -> Exposure:
    owner, port = listener.owner, listener.port
    container, inner = published.get((listener.protocol, port, listener.address), ("", 0))
    return Exposure(
        protocol=listener.protocol,
        port=port,
        process=owner.process if owner else "",
        user=listener.user,
        unit=owner.unit if owner else "",
        container=container or (names.get(owner.container_id, owner.container_id[:12]) if owner else ""),
        inner_port=inner,
        addresses=(),
    )


def _order(address: str) -> tuple[int, int]:
    parsed = ipaddress.ip_address(address)
    return parsed.version, int(parsed)


@dataclass(frozen=True)
class Judgement:
    """What became of one exposure: weak, or not to be said because its process is not seen, or neither."""

    weakness: Weakness | None = None
    missed: str = ""


def judge(exposure: Exposure, allowed: Sequence[AllowedListener]) -> Judgement:
    """Given what may listen, say what of an exposure is beyond that."""
    left = [address for address in exposure.addresses if not _allowed(exposure, address, allowed)]
    if not left:
        return Judgement()
    unless = [entry for entry in allowed if entry.process and not exposure.owner]
    if unless and all(_allowed(exposure, address, unless, any_process=True) for address in left):
        return Judgement(missed=f"{exposure.subject}: whether its process is one that is allowed")
    return Judgement(_weakness(replace(exposure, addresses=tuple(left))))


def _allowed(
    exposure: Exposure, address: str, allowed: Iterable[AllowedListener], *, any_process: bool = False
) -> bool:
    return any(
        entry.protocol in (None, exposure.protocol)
        and entry.has_port(exposure.port)
        and _at_allowed_address(address, entry.address)
        and (entry.process is None or any_process or _is_called(exposure, entry.process))
        for entry in allowed
    )


def _at_allowed_address(address: str, wanted: str) -> bool:
    if wanted == ANY:
        return True
    return is_loopback(address) if wanted == LOOPBACK else ipaddress.ip_address(wanted) == ipaddress.ip_address(address)


def _is_called(exposure: Exposure, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in (exposure.process, exposure.unit, exposure.container) if name)


def _weakness(exposure: Exposure) -> Weakness:
    service = exposure.known
    remedy = _REMEDIES.get(service.name if service else "", "bind it to 127.0.0.1, or filter the port")
    if exposure.inner_port:
        # Docker's rules come before those of ufw and firewalld.
        remedy = "publish its port as 127.0.0.1:PORT:PORT, or not at all; a packet filter's INPUT rules do not stop it"
    return Weakness(
        rule="exposed_service" if service else "unexpected_listener",
        subject=exposure.subject,
        severity=_severity(exposure, service),
        message=f"{_what(service)}{_who(exposure)} listens on {_where(exposure)}, which is not among what is allowed",
        remedy=f"{remedy}; if it is meant, add it to network.allowed",
    )


def _severity(exposure: Exposure, service: Known | None) -> Severity:
    """As grave as the service; one less where only private addresses were chosen."""
    severity = service.severity if service else Severity.MEDIUM
    is_public = any(is_everywhere(one) or ipaddress.ip_address(one).is_global for one in exposure.addresses)
    return severity if is_public else _LESS.get(severity, severity)


def _who(exposure: Exposure) -> str:
    if not exposure.process and not exposure.container:
        return f"a process of {exposure.user} that cannot be seen (or the kernel)"
    process = exposure.process or "the packet filter"
    details = [f"user {exposure.user}"] if exposure.user else []
    details += [f"container {exposure.container}"] if exposure.container else []
    details += [exposure.unit] if exposure.unit and not exposure.container else []
    return f"{process} ({', '.join(details)})" if details else process


def _where(exposure: Exposure) -> str:
    places = ", ".join(at(address, exposure.port) for address in exposure.addresses[:5])
    more = f" and {len(exposure.addresses) - 5} more" if len(exposure.addresses) > 5 else ""
    # Unless the program asks for IPv6 only, such a socket takes IPv4 as well (ipv6(7): IPV6_V6ONLY).
    both = " (which may take IPv4 as well)" if set(WILDCARDS) & set(exposure.addresses) == {"::"} else ""
    return f"{exposure.protocol.upper()} {places}{more}{both}"


def _what(service: Known | None) -> str:
    return f"{service.name[0].upper()}{service.name[1:]}: " if service else ""
