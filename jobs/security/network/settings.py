"""What the scan of the area `network` can be told."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from jobs.core.certificates import is_address
from jobs.core.settings import Port, Seconds, SettingsModel, TlsServer

ANY, LOOPBACK = "any", "loopback"


def _ports(text: str) -> str:
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?", part)
        if not match or not 1 <= int(match[1]) <= int(match[2] or match[1]) <= 65535:
            raise ValueError(f"{part.strip()!r} is no port; write ports like 22, '80,443' or '8000-8100'")
    return text


def _listening_address(text: str) -> str:
    if text not in (ANY, LOOPBACK) and not is_address(text):
        raise ValueError(f"{text!r} is not {ANY!r}, {LOOPBACK!r} or an IP address")
    return text


# YAML reads a lone port as a number.
Ports = Annotated[
    str, BeforeValidator(lambda ports: str(ports) if type(ports) is int else ports), AfterValidator(_ports)
]
ListeningAddress = Annotated[str, AfterValidator(_listening_address)]


class AllowedListener(SettingsModel):
    """Something that may listen: what all of its keys are true of."""

    protocol: Literal["tcp", "udp"] | None = Field(None, description="tcp or udp; unset: both.")
    ports: Ports | None = Field(None, description="Ports, such as 22, '80,443' or '8000-8100'; unset: every port.")
    address: ListeningAddress = Field(ANY, description="Where it may listen: any, loopback or one IP address.")
    process: str | None = Field(
        None, min_length=1, max_length=255, description="Name of its process, unit or container; * stands for anything."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.ports is None and self.process is None and self.address == ANY:
            raise ValueError("this would allow everything; say which ports, process or address")
        return self

    def has_port(self, port: int) -> bool:
        """Whether a port is one of its ports."""
        if self.ports is None:
            return True
        bounds = (part.partition("-") for part in self.ports.split(","))
        return any(int(first) <= port <= int(last or first) for first, _, last in bounds)


USUAL = (
    AllowedListener(address=LOOPBACK),
    AllowedListener(protocol="tcp", ports="22,80,443"),
    AllowedListener(protocol="udp", ports="443"),
    AllowedListener(protocol="udp", ports="68,546"),
    AllowedListener(protocol="tcp", ports="10042"),
)
"""Loopback; SSH and the web (HTTP/3 is UDP); the DHCP clients; this exporter, which asks for a token."""


class TlsEndpoint(TlsServer):
    """A server that must speak TLS."""

    server_name: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._-]{1,253}$", description="Name that it is asked for; unset: its host."
    )


class NetworkSettings(SettingsModel):
    """The area `network`."""

    enabled: bool = Field(True, description="Whether the area is scanned; switched off, the report says so.")
    allowed: tuple[AllowedListener, ...] = Field(
        USUAL, max_length=1000, description="What may listen; a list of your own takes the place of the usual one."
    )
    tls_endpoints: tuple[TlsEndpoint, ...] = Field(
        (), max_length=1000, description="Servers that must speak TLS, beside what listens here on tls_ports."
    )
    tls_ports: tuple[Port, ...] = Field(
        (443, 8443), max_length=100, description="Ports on which whatever listens on this host must speak TLS."
    )
    probe_timeout_seconds: Seconds = Field(3, description="Limit of one question to a service.")
    command_timeout_seconds: Seconds = Field(20, description="Limit of one program that lists the packet filter.")
