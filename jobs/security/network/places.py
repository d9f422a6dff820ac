"""Where a service of this host is asked: at its own addresses only, from inside (loopback) and from outside."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jobs.core.addresses import is_loopback
from jobs.security.network.exposure import WILDCARDS, Exposure
from jobs.security.network.settings import TlsEndpoint

ANY_IPV4, ANY_IPV6 = WILDCARDS


@dataclass(frozen=True)
class Places:
    """An address on loopback and one that others have a way to, each empty where the service does not listen there."""

    inside: str
    outside: str


def places(exposure: Exposure, own: Sequence[str]) -> Places:
    """Given this host's own addresses, say where a service is asked.

    From outside means at an address that others use. We ask from this host itself all the same, so a packet filter may
    still keep others out: what it lets through is the scanner `firewall`'s question.
    """
    bound = exposure.addresses
    loopback = [address for address in bound if is_loopback(address)]
    chosen = [address for address in bound if _is_reached(address)]
    every = _ours(own, 4) + _ours(own, 6) if ANY_IPV4 in bound else _ours(own, 6) + _ours(own, 4)
    wild = {ANY_IPV4, ANY_IPV6} & set(bound)
    inside = "127.0.0.1" if ANY_IPV4 in bound else "::1" if wild else _first(loopback)
    return Places(inside, _first(every) if wild else _first(chosen))


def _ours(own: Iterable[str], version: int) -> list[str]:
    return [address for address in own if _is_reached(address) and ipaddress.ip_address(address).version == version]


def _is_reached(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    # An address of the link is of no use without its interface, which a listing of sockets does not tell.
    others = parsed.is_loopback or parsed.is_unspecified or parsed.is_multicast
    return not others and not (parsed.version == 6 and parsed.is_link_local)


def _first(addresses: Sequence[str]) -> str:
    return addresses[0] if addresses else ""


def named_ports(endpoints: Iterable[TlsEndpoint], own: Sequence[str]) -> set[int]:
    """The ports of this host that are among the configured servers of TLS, and are asked as such."""
    return {endpoint.port for endpoint in endpoints if is_local(endpoint.host, own)}


def is_local(host: str, own: Sequence[str]) -> bool:
    """Whether a configured host is this one: the path of a socket, loopback or an address of its own."""
    return host.startswith("/") or host == "" or host in own or is_loopback(host)
