"""Connections that this exporter is configured to make: those that cross a network without encryption."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from jobs.core.addresses import address_of, is_loopback
from jobs.core.model import Severity
from jobs.core.settings import World
from jobs.security.scanner import Weakness

_PLAIN = ("http", "tcp", "redis")


def judge(world: World) -> list[Weakness]:
    """Given where everything is found, return the unencrypted connections to other hosts."""
    weaknesses = []
    for name, url in _urls(world):
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
        except ValueError:  # of a URL that whoever uses it will complain about
            continue
        if parts.scheme in _PLAIN and not _is_here(host):
            weaknesses.append(_weakness(name, parts.scheme, host))
    return weaknesses


def _urls(world: World) -> Iterator[tuple[str, str]]:
    yield from ((f"endpoints/{endpoint.name}", endpoint.url) for endpoint in world.endpoints)
    yield "ollama.url", world.ollama.url or ""
    yield "docker.url", world.docker.url or ""
    redis = world.redis.url.get_secret_value() if world.redis.url else ""
    # A password with special characters that are not escaped would be taken for a host, and told.
    yield "redis.url", "" if re.match(r"redis://.*[/?#].*@", redis) else redis


def _is_here(host: str) -> bool:
    return host == "" or is_loopback(host)


def _is_near(host: str) -> bool:
    """Whether a host is on a network of our own: a private address, or a name that only a local resolver knows."""
    address = address_of(host)
    return address.is_private if address else "." not in host or host.endswith((".local", ".internal", ".lan"))


def _weakness(name: str, scheme: str, host: str) -> Weakness:
    severity = Severity.LOW if _is_near(host) else Severity.MEDIUM
    if name == "docker.url":
        severity = Severity.HIGH
    return Weakness(
        rule="unencrypted_connection",
        subject=name,
        severity=severity,
        message=f"{name}: {scheme}:// to {host} crosses the network without encryption",
        remedy="use its TLS form (https://, rediss://), or reach it through a tunnel",
    )
