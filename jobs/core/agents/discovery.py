"""Which containers are agents, by name or by label, and at what address each answers.

A container becomes an agent by the label `sutazai.agent=true`. `sutazai.agent.port` is the port it listens on
inside (needed unless it publishes exactly one), `sutazai.agent.path` the path to ask (default `/health`).
Labels are written by whoever starts a container: a wrong one is reported and never used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from jobs.core.addresses import address_of, is_everywhere
from jobs.core.containers import Container, PublishedPort, clean
from jobs.core.model import Finding, Severity
from jobs.core.settings import AGENT_NAME, GUIDE_AGENTS, Agent, AgentsSettings

LABEL = "sutazai.agent"
PORT_LABEL = "sutazai.agent.port"
PATH_LABEL = "sutazai.agent.path"
NO_PORT = 0
"""The port of an agent whose address is not known; it is judged by its container's state alone."""
_EXAMPLES = 3


@dataclass(frozen=True)
class Watched:
    """An agent, its container where there is one, and the URL to ask (None: by the container's state only)."""

    agent: Agent
    container: Container | None
    url: str | None

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.agent.name


def agent_of_container(settings: AgentsSettings, name: str, labels: Mapping[str, str]) -> str | None:
    """Given a container's name and labels (of an event), return the name of the agent that it is, or None."""
    for agent in settings.listed if settings.listed is not None else GUIDE_AGENTS:
        if (agent.container or agent.name) == name:
            return agent.name
    discovered = settings.discover and labels.get(LABEL) == "true" and AGENT_NAME.fullmatch(name)
    return name if discovered else None


def listed_agents(agents: Iterable[Agent], containers: Sequence[Container]) -> list[Watched]:
    """The agents of the configuration, each with its container if that exists."""
    by_name = {container.name: container for container in containers}
    return [Watched(a, by_name.get(a.container or a.name), _url(a)) for a in agents]


def discovered_agents(
    containers: Iterable[Container], taken: Sequence[Watched], max_discovered: int
) -> tuple[list[Watched], list[Finding]]:
    """The labelled containers that are not among those `taken`, and what is wrong with them."""
    names = {watched.name for watched in taken} | {w.container.name for w in taken if w.container}
    labelled = [c for c in containers if c.labels.get(LABEL) == "true" and c.name not in names]
    named = sorted((c for c in labelled if AGENT_NAME.fullmatch(c.name)), key=lambda c: c.name)
    found = [_discovered(container) for container in named[:max_discovered]]
    nameless = [c for c in labelled if not AGENT_NAME.fullmatch(c.name)]
    findings = [finding for _, findings in found for finding in findings]
    return [w for w, _ in found], [*findings, *_refused(nameless), *_too_many(named, max_discovered)]


def _discovered(container: Container) -> tuple[Watched, list[Finding]]:
    problems: list[str] = []
    port, path = _port_label(container, problems), container.labels.get(PATH_LABEL, "/health")
    address = _address(container, port, problems) if port else None
    if address:
        try:
            agent = Agent(name=container.name, host=address[0], port=address[1], path=path)
            return Watched(agent, container, _url(agent)), []
        except ValidationError as error:
            problems += [f"{PATH_LABEL}={clean(path, 64)!r}: {_first(error)}"]
    # Not through the validator: there is no port to validate.
    unknown = Agent.model_construct(name=container.name, port=port or NO_PORT, path="/health", host="", container=None)
    return Watched(unknown, container, None), [_bad_label(container.name, text) for text in problems]


def _port_label(container: Container, problems: list[str]) -> int:
    """The port inside the container, or NO_PORT."""
    text = container.labels.get(PORT_LABEL)
    if text is None:
        published = [port for port in container.ports if port.public and port.protocol == "tcp"]
        inside = {port.private for port in published}
        if len(inside) != 1 and container.state == "running":
            problems.append(f"it has no label {PORT_LABEL}, and publishes {len(inside)} ports")
        return inside.pop() if len(inside) == 1 else NO_PORT
    if re.fullmatch(r"[1-9][0-9]{0,4}", text) and int(text) <= 65535:
        return int(text)
    problems.append(f"{PORT_LABEL}={clean(text, 64)!r} is not a port (1 to 65535)")
    return NO_PORT


def _address(container: Container, port: int, problems: list[str]) -> tuple[str, int] | None:
    """Where the host reaches a port of a container: published, on the host's own network, or at its address."""
    published = next((p for p in container.ports if p.private == port and p.protocol == "tcp" and p.public), None)
    if published:
        return _host_of(published), published.public or port
    if container.network_mode == "host":
        return "127.0.0.1", port
    own = next((address for address in container.addresses if address_of(address)), None)
    if own is None and container.state == "running":
        problems.append(f"its port {port} is not published and it has no address of its own")
    return (own, port) if own else None


def _host_of(port: PublishedPort) -> str:
    return "127.0.0.1" if is_everywhere(port.host) or not address_of(port.host) else port.host


def _url(agent: Agent) -> str:
    host = f"[{agent.host}]" if ":" in agent.host else agent.host
    return f"http://{host}:{agent.port}{agent.path}"


def _first(error: ValidationError) -> str:
    return str(error.errors()[0]["msg"]).removeprefix("Value error, ")


def _bad_label(name: str, text: str) -> Finding:
    return Finding(
        kind="bad_label",
        subject=f"agent/{name}",
        severity=Severity.MEDIUM,
        message=f"{name} is judged by its container's state alone: {text}",
        remedy=f"correct the labels {PORT_LABEL} and {PATH_LABEL} of the container",
    )


def _refused(containers: Sequence[Container]) -> list[Finding]:
    if not containers:
        return []
    examples = ", ".join(repr(clean(c.name, 64)) for c in containers[:_EXAMPLES])
    message = f"{len(containers)} labelled container(s) have a name that no agent can have ({examples})"
    remedy = "a name starts with a letter or digit and has only letters, digits, '_', '.' and '-' (128 at most)"
    return [
        Finding(kind="bad_name", subject="agents", severity=Severity.MEDIUM, message=message, remedy=remedy),
    ]


def _too_many(named: Sequence[Container], limit: int) -> list[Finding]:
    if len(named) <= limit:
        return []
    message = f"{len(named)} containers are labelled {LABEL}=true; {len(named) - limit} of them are not watched"
    return [
        Finding(
            kind="too_many_agents",
            subject="agents",
            severity=Severity.HIGH,
            message=message,
            remedy=f"remove the label where it does not belong, or raise agents.max_discovered (now {limit})",
        )
    ]
