"""Services that use a certificate: told that it has changed, then looked at until they serve the new one."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from jobs.certificates.inventory import read_endpoints
from jobs.certificates.notes import Notes, Step
from jobs.certificates.reading import EndpointReading
from jobs.certificates.settings import Endpoint, Service
from jobs.clients import commands
from jobs.clients.errors import ClientError
from jobs.core.model import Severity

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.core.containers import Container

_LOOK_SECONDS = 0.1


def reload_steps(clients: Clients, services: Sequence[Service], notes: Notes) -> list[Step]:
    """One step for each service that must be told."""
    return [Step("reload", one.name, _how(one), partial(reload_noted, clients, one, notes)) for one in services]


def reload(clients: Clients, service: Service) -> None:
    """Tell one service; ClientError where that fails. Containers are those that the configuration names."""
    if service.command is not None:
        commands.run(service.command, timeout_seconds=service.timeout_seconds)
        return
    container = _container(clients, service)
    if service.action == "restart":
        clients.docker.restart(container.id, service.timeout_seconds)
    else:
        clients.docker.signal(container.id, service.signal)


def reload_noted(clients: Clients, service: Service, notes: Notes) -> str | None:
    """Tell one service; where that fails, note it and say so: the others are told all the same."""
    try:
        reload(clients, service)
    except ClientError as error:
        message = f"{service.name} could not be told of the new certificate: {error}"
        notes.find("reload_failed", f"service/{service.name}", Severity.HIGH, message)
        return f"failed: {error}"
    return None


def not_serving(
    clients: Clients, endpoints: Sequence[Endpoint], fingerprint: str, timeout_seconds: float
) -> list[EndpointReading]:
    """Look at the endpoints until all serve a certificate, or time is up; return those that then do not."""
    deadline = clients.clock.monotonic() + timeout_seconds
    pending = [EndpointReading(endpoint) for endpoint in endpoints]
    while pending:
        left = deadline - clients.clock.monotonic()
        if left <= 0:
            return pending
        asked = [one.endpoint for one in pending]
        readings = read_endpoints(asked, clients.base_dir, clients.clock.monotonic, left)
        pending = [one for one in readings if one.served is None or one.served.facts.fingerprint != fingerprint]
        if pending:
            time.sleep(_LOOK_SECONDS)
    return []


def told(readings: Sequence[EndpointReading]) -> str:
    """Why endpoints do not count as serving the new certificate."""
    return "; ".join(
        f"{one.endpoint.address} still serves another"
        if one.served
        else one.error or f"{one.endpoint.address} is silent"
        for one in readings
    )


def _container(clients: Clients, service: Service) -> Container:
    found = [one for one in clients.docker.containers() if one.name == service.container]
    if not found:
        raise ClientError(f"there is no container {service.container}")
    if found[0].state != "running":
        raise ClientError(f"the container {service.container} is {found[0].state}; it reads its files when it starts")
    return found[0]


def _how(service: Service) -> str:
    if service.command is not None:
        return shlex.join(service.command)
    return "restart the container" if service.action == "restart" else f"send {service.signal} to the container"
