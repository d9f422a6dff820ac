"""What a Docker engine says about containers, parsed from its answers (Docker Engine API 1.41 and later).

An answer is hostile input: whoever may start a container, or stands between us and the engine, writes names,
labels and log lines. Each field is checked for its type; what is not as documented raises ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from jobs.core.answers import items as _list
from jobs.core.answers import mapping as _mapping
from jobs.core.answers import number as _number
from jobs.core.answers import text as _text

MAX_NAME_CHARACTERS = 255
NEVER = "0001-01-01T00:00:00Z"
"""The engine's word for "has not happened"."""

_T = TypeVar("_T")
_UNPRINTABLE = re.compile(r"[^\w!-~ ]", re.ASCII)
_HEALTH = re.compile(r"\((?:health: )?(healthy|unhealthy|starting)\)")
# What runc, crun and the engine say when the command of a health check could not even be started, and what
# shells (ash, dash, bash) say of a command that the image does not have.
_NOT_STARTED = re.compile(r"OCI runtime exec failed|exec failed|executable file not found", re.IGNORECASE)
_NO_COMMAND = re.compile(r"sh: (?:line )?(?:\d+: )?\S+: (?:command )?not found")


@dataclass(frozen=True)
class PublishedPort:
    """A container port and where the host answers for it; `public` is None when it is only exposed."""

    private: int
    public: int | None
    host: str
    protocol: str


@dataclass(frozen=True)
class Container:
    """One line of the engine's list. `health` is healthy, unhealthy, starting or empty (no health check)."""

    id: str
    name: str
    image: str
    state: str
    status_text: str
    health: str
    labels: Mapping[str, str]
    ports: tuple[PublishedPort, ...]
    network_mode: str
    addresses: tuple[str, ...]
    image_id: str = ""


@dataclass(frozen=True)
class Inspection:
    """The engine's full account of one container.

    `finished_text` is the engine's own spelling of when it last ended: together with the id it names one end.
    `check_error` says why the container's health check cannot run at all; `raw` is the whole answer.
    """

    id: str
    name: str
    status: str
    exit_code: int
    oom_killed: bool
    error: str
    started_at: datetime | None
    finished_at: datetime | None
    finished_text: str
    health: str
    failing_streak: int
    check_error: str
    restart_policy: str
    stop_signal: str
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class ContainerEvent:
    """Something that happened to a container, at Unix time `nanoseconds` by the engine's clock.

    `attributes` holds its labels and the details of the event (`signal`, `exitCode`) side by side.
    """

    action: str
    container_id: str
    name: str
    nanoseconds: int
    attributes: Mapping[str, str]

    @property
    def labels(self) -> Mapping[str, str]:
        """The container's labels; the engine mixes the details of the event among them."""
        return self.attributes

    @property
    def time(self) -> datetime:
        """When it happened, to the microsecond."""
        return datetime.fromtimestamp(self.nanoseconds / 1e9, UTC)


def clean(text: str, limit: int = MAX_NAME_CHARACTERS) -> str:
    """`text` as one printable ASCII line of at most `limit` characters, anything else shown as '?'."""
    return _UNPRINTABLE.sub("?", text[:limit])


def parse_containers(answer: object) -> list[Container]:
    """Given the answer of `GET /containers/json`, return its containers; ValueError where it is not one."""
    return [_container(_mapping(entry)) for entry in _list(answer)]


def parse_inspection(answer: object) -> Inspection:
    """Given the answer of `GET /containers/ID/json`, return it; ValueError where it is not one."""
    raw = _mapping(answer)
    state, config = _mapping(raw.get("State")), _mapping(raw.get("Config") or {})
    health = _mapping(state.get("Health") or {})
    policy = _mapping(_mapping(raw.get("HostConfig") or {}).get("RestartPolicy") or {})
    return Inspection(
        id=_id(raw.get("Id")),
        name=clean(_text(raw.get("Name")).removeprefix("/")),
        status=clean(_text(state.get("Status"))),
        exit_code=_number(state.get("ExitCode", 0)),
        oom_killed=state.get("OOMKilled") is True,
        error=clean(_text(state.get("Error", ""))),
        started_at=parse_time(_text(state.get("StartedAt", NEVER))),
        finished_at=parse_time(_text(state.get("FinishedAt", NEVER))),
        finished_text=clean(_text(state.get("FinishedAt", NEVER)), 64),
        health="" if health.get("Status") in (None, "none") else clean(_text(health.get("Status"))),
        failing_streak=_number(health.get("FailingStreak", 0)),
        check_error=_check_error(_list(health.get("Log") or [])),
        restart_policy=clean(_text(policy.get("Name", ""))),
        stop_signal=clean(_text(config.get("StopSignal", ""))),
        raw=raw,
    )


def parse_security_options(answer: object) -> frozenset[str]:
    """Given the answer of `GET /info`, return its security options without the `name=` before each."""
    options = _list(_mapping(answer).get("SecurityOptions") or [])
    return frozenset(clean(_text(option)).removeprefix("name=") for option in options)


def parse_event(answer: object) -> ContainerEvent:
    """Given one object of `GET /events`, return it; ValueError where it is not one."""
    raw = _mapping(answer)
    actor = _mapping(raw.get("Actor"))
    attributes = _labels(actor.get("Attributes"))
    return ContainerEvent(
        action=clean(_text(raw.get("Action"))),
        container_id=_id(actor.get("ID")),
        name=clean(attributes.get("name", "")),
        nanoseconds=_number(raw.get("timeNano")),
        attributes=attributes,
    )


def parse_time(text: str) -> datetime | None:
    """Given the engine's RFC 3339 time, return it to the microsecond, or None for "has not happened"."""
    if not text or text.startswith("0001-01-01"):
        return None
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def without_secrets(inspection: Mapping[str, Any]) -> dict[str, Any]:
    """An inspection fit for a file: of each environment variable only the name is kept."""
    config = dict(inspection.get("Config") or {})
    environment = config.get("Env")
    if isinstance(environment, Sequence) and not isinstance(environment, str):
        config["Env"] = [f"{str(entry).partition('=')[0]}=(not kept)" for entry in environment]
    elif environment is not None:
        config["Env"] = "(not kept)"
    return {**inspection, "Config": config}


def _container(raw: Mapping[str, Any]) -> Container:
    host = _mapping(raw.get("HostConfig") or {})
    networks = _mapping(_mapping(raw.get("NetworkSettings") or {}).get("Networks") or {})
    status_text = clean(_text(raw.get("Status", "")))
    health = _HEALTH.search(status_text)
    return Container(
        id=_id(raw.get("Id")),
        name=_own_name(_list(raw.get("Names") or [])),
        image=clean(_text(raw.get("Image", ""))),
        state=clean(_text(raw.get("State", ""))),
        status_text=status_text,
        health=health[1] if health else "",
        labels=_labels(raw.get("Labels")),
        ports=tuple(_unique(_port(_mapping(entry)) for entry in _list(raw.get("Ports") or []))),
        network_mode=clean(_text(host.get("NetworkMode", ""))),
        addresses=tuple(_unique(_addresses(networks.values()))),
        image_id=clean(_text(raw.get("ImageID", ""))),
    )


def _own_name(names: list[Any]) -> str:
    """A container's own name has one slash; a link to it has more (`/other/alias`)."""
    texts = [_text(name).removeprefix("/") for name in names]
    own = [name for name in texts if "/" not in name] or texts
    return clean(own[0]) if own else ""


def _port(raw: Mapping[str, Any]) -> PublishedPort:
    public = raw.get("PublicPort")
    return PublishedPort(
        private=_number(raw.get("PrivatePort")),
        public=None if not public else _number(public),
        host=clean(_text(raw.get("IP", ""))),
        protocol=clean(_text(raw.get("Type", ""))),
    )


def _addresses(networks: Iterable[Any]) -> Iterable[str]:
    for network in networks:
        address = _mapping(network).get("IPAddress")
        if address:
            yield clean(_text(address))


def _check_error(log: list[Any]) -> str:
    """Why the health check cannot run, going by its last attempt; empty where it ran, however it went."""
    if not log:
        return ""
    last = _mapping(log[-1])
    code, output = _number(last.get("ExitCode", 0)), _text(last.get("Output", ""))
    if code == 0 or output.startswith("Health check exceeded timeout"):
        return ""
    cannot_run = code == -1 or _NOT_STARTED.search(output) or _NO_COMMAND.search(output)
    return clean(output.strip() or f"exit code {code}", 200) if cannot_run else ""


def _unique(items: Iterable[_T]) -> list[_T]:
    return list(dict.fromkeys(items))


def _labels(value: object) -> dict[str, str]:
    return {key: text for key, text in _mapping(value or {}).items() if isinstance(text, str)}


def _id(value: object) -> str:
    text = _text(value)
    # The id goes into request paths, so it may hold nothing that a path could be bent with.
    if not re.fullmatch(r"[0-9a-f]{12,128}", text):
        raise ValueError("a container id is 64 hexadecimal digits")
    return text
