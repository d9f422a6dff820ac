"""What of a container's inspection its safety depends on (Docker Engine API 1.41 and later).

The engine writes into an inspection what counts in the end: the image's user, environment and health check where the
container has none of its own, and the engine's default for the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.core.answers import items, mapping, number, text
from jobs.core.containers import clean

_ROOT = re.compile(r"[+-]?0+|root|")  # runc reads a user's number as Go's strconv.Atoi does


@dataclass(frozen=True)
class Mount:
    """A directory or file of the host, and whether the container may write to it."""

    source: str
    writable: bool


@dataclass(frozen=True)
class Published:
    """A port of the container, and the address of the host that it answers on (empty: the engine's choice, all)."""

    port: int
    protocol: str
    address: str


@dataclass(frozen=True)
class Variable:
    """An environment variable. Its value is for a judge's eyes alone: it is in no text, and no representation."""

    name: str
    value: str = field(repr=False)


@dataclass(frozen=True)
class Audited:
    """A container as it was set up. A limit of 0 is none; `masked` tells whether /proc's sensitive parts are hidden."""

    name: str
    image: str
    user: str
    environment: tuple[Variable, ...]
    arguments: tuple[str, ...] = field(repr=False)
    has_health_check: bool
    privileged: bool
    read_only: bool
    host_namespaces: frozenset[str]
    capabilities: tuple[str, ...]
    security_options: frozenset[str]
    masked: bool
    devices: tuple[str, ...]
    device_rules: tuple[str, ...]
    mounts: tuple[Mount, ...]
    published: tuple[Published, ...]
    memory_bytes: int
    max_processes: int
    log_driver: str
    log_limited: bool
    restarts: bool
    removed_at_its_end: bool

    @property
    def is_root(self) -> bool:
        """Whether its main process runs as user 0."""
        return _ROOT.fullmatch(self.user.partition(":")[0].strip()) is not None


def parse_audited(inspection: Mapping[str, Any]) -> Audited:
    """Given the answer of `GET /containers/ID/json`, return what is to be judged; ValueError where it is not one."""
    host, config = mapping(inspection.get("HostConfig") or {}), mapping(inspection.get("Config") or {})
    log = mapping(host.get("LogConfig") or {})
    return Audited(
        name=clean(_text(inspection, "Name").removeprefix("/")),
        image=clean(_text(config, "Image")),
        user=_text(config, "User"),
        environment=tuple(_variables(_texts(config, "Env"))),
        arguments=(*_texts(config, "Entrypoint"), *_texts(config, "Cmd")),
        has_health_check=_has_health_check(config),
        privileged=host.get("Privileged") is True,
        read_only=host.get("ReadonlyRootfs") is True,
        host_namespaces=frozenset(_host_namespaces(host)),
        capabilities=tuple(_capabilities(_texts(host, "CapAdd"))),
        security_options=frozenset(option.replace(":", "=", 1) for option in _texts(host, "SecurityOpt")),
        masked=host.get("MaskedPaths") != [],
        devices=tuple(_text(mapping(device), "PathOnHost") for device in items(host.get("Devices") or [])),
        device_rules=_texts(host, "DeviceCgroupRules"),
        mounts=tuple(_mounts(inspection)),
        published=tuple(_published(inspection, host)),
        memory_bytes=number(host.get("Memory") or 0),
        max_processes=max(0, number(host.get("PidsLimit") or 0)),
        log_driver=clean(_text(log, "Type")),
        log_limited=bool(_text(mapping(log.get("Config") or {}), "max-size")),
        restarts=_text(mapping(host.get("RestartPolicy") or {}), "Name") not in ("", "no"),
        removed_at_its_end=host.get("AutoRemove") is True,
    )


def _text(raw: Mapping[str, Any], key: str) -> str:
    return text(raw.get(key) or "")


def _texts(raw: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return tuple(map(text, items(raw.get(key) or [])))


def _variables(entries: Iterable[str]) -> Iterator[Variable]:
    for entry in entries:
        name, _, value = entry.partition("=")
        yield Variable(name, value)


def _has_health_check(config: Mapping[str, Any]) -> bool:
    test = _texts(mapping(config.get("Healthcheck") or {}), "Test")
    return bool(test) and test[0] != "NONE"


def _host_namespaces(host: Mapping[str, Any]) -> Iterator[str]:
    modes = {"network": "NetworkMode", "pid": "PidMode", "ipc": "IpcMode", "uts": "UTSMode", "user": "UsernsMode"}
    return (kind for kind, key in modes.items() if _text(host, key) == "host")


def _capabilities(added: Iterable[str]) -> Iterator[str]:
    return (clean(name.upper().removeprefix("CAP_"), 64) for name in added)


def _mounts(inspection: Mapping[str, Any]) -> Iterator[Mount]:
    for mount in map(mapping, items(inspection.get("Mounts") or [])):
        if mount.get("Type") == "bind":
            yield Mount(_text(mount, "Source"), writable=mount.get("RW") is not False)


def _published(inspection: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[Published]:
    """What is published now, and what was asked for: a container that is stopped publishes nothing, but will."""
    asked = mapping(host.get("PortBindings") or {})
    now = mapping(mapping(inspection.get("NetworkSettings") or {}).get("Ports") or {})
    for port in dict.fromkeys((*asked, *now)):
        found = re.fullmatch(r"([0-9]{1,5})(?:/(tcp|udp|sctp))?", port)
        if not found:
            raise ValueError("a port looks like 5432/tcp")
        for binding in map(mapping, items(now.get(port) or asked.get(port) or [])):
            yield Published(int(found[1]), found[2] or "tcp", clean(_text(binding, "HostIp"), 64))
