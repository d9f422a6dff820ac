"""Whom a client certificate names, by what `SSLSocket.getpeercert` gives of it."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Mapping
from typing import Any


def alternative_names(certificate: Mapping[str, Any] | None) -> list[str]:
    """The names of a certificate's SAN extension: DNS, e-mail, IP and URI, as Go writes them."""
    names = []
    for kind, value in (certificate or {}).get("subjectAltName", ()):
        if kind == "IP Address":
            with contextlib.suppress(ValueError):
                names.append(str(ipaddress.ip_address(value.strip())))
        elif kind in ("DNS", "email", "URI"):
            names.append(str(value))
    return names


def holder_of(certificate: Mapping[str, Any] | None) -> str:
    """Whom a verified certificate names: its common name, else its first alternative name, else nobody ("")."""
    subject = (certificate or {}).get("subject", ())
    common = [value for part in subject for key, value in part if key == "commonName" and value]
    name = next(iter(common + alternative_names(certificate)), "")
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:128]
