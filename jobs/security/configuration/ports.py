"""The `ports` of a service of a Compose file, in both of their forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jobs.security.configuration.interpolation import fill
from jobs.security.configuration.located_yaml import Fields, Scalar, Value, items

_MAX_RANGE = 1000


@dataclass(frozen=True)
class Published:
    """Ports of a container that the host answers for: on this address (empty: on all)."""

    address: str
    targets: tuple[int, ...]
    line: int


def published(value: Value | None, known: Mapping[str, str]) -> Iterator[Published]:
    """The published ports, as far as they can be known."""
    for entry in items(value):
        if isinstance(entry, Fields):
            address = _filled(entry.get("host_ip"), known)
            target = _filled(entry.get("target"), known)
        else:
            address, target = _short(_filled(entry, known))
        if address is not None and (targets := _numbers(target)):
            yield Published(address, targets, entry.line)


def _filled(value: Value | None, known: Mapping[str, str]) -> str | None:
    return fill(value.text or "", known).text if isinstance(value, Scalar) else ""


def _short(text: str | None) -> tuple[str | None, str | None]:
    """Address and container port of `[ADDRESS:][HOST_PORT:]PORT[/PROTOCOL]`."""
    if text is None:
        return None, None
    address, _, target = text.partition("/")[0].rpartition(":")
    host, colon, _ = address.rpartition(":")
    return host if colon else "", target


def _numbers(text: str | None) -> tuple[int, ...]:
    first, _, last = (text or "").partition("-")
    if not (first.isdecimal() and (last or first).isdecimal() and len(first) < 6 and len(last) < 6):
        return ()
    return tuple(range(int(first), min(int(last or first), int(first) + _MAX_RANGE) + 1))
