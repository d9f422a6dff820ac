"""Whom an address lets in: this host alone, or everybody who reaches it. As it may be written in settings and URLs."""

from __future__ import annotations

import ipaddress


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a text is; None for a name or nonsense."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether only this host reaches what listens there; brackets of IPv6 may be around it. `localhost`: RFC 6761."""
    bare = host.strip("[]").casefold()
    address = address_of(bare)
    return address.is_loopback if address else bare == "localhost" or bare.endswith(".localhost")


def is_everywhere(host: str) -> bool:
    """Whether it stands for every address of a host: nothing, `*`, 0.0.0.0 or ::."""
    bare = host.strip("[]")
    address = address_of(bare)
    return address.is_unspecified if address else bare in ("", "*")


def asked_at(host: str, *, in_url: bool = False) -> str:
    """Where a server that listens at `host` is asked: one that listens everywhere, on this machine's own address."""
    bare = host.strip("[]")
    if bare in ("", "0.0.0.0"):  # noqa: S104
        return "127.0.0.1"
    bare = "::1" if bare == "::" else bare
    return f"[{bare}]" if in_url and ":" in bare else bare
