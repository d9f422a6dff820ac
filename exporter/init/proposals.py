"""What is on this host already, as answers that are proposed: looked at side by side, and nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from exporter.init.questions import Setting
from jobs.clients.discovery import LOCAL, listens
from jobs.clients.docker import DockerEngine
from jobs.clients.errors import ClientError
from jobs.clients.http import Ask, HttpClient
from jobs.clients.node_exporter import textfile_readers
from jobs.core.agents.discovery import LABEL
from jobs.core.containers import Container
from jobs.core.settings import AGENT_NAME, GUIDE_AGENTS, DockerSettings
from jobs.core.side_by_side import side_by_side

DEADLINE_SECONDS = 6.0
_ASK_SECONDS = 3.0
_POSTGRES_PORT = 5432
_ALERTMANAGER = f"http://{LOCAL}:9093"
USUAL_TEXTFILE_DIRECTORIES = (
    Path("/var/lib/prometheus/node-exporter"),
    Path("/var/lib/node_exporter/textfile_collector"),
    Path("/var/lib/node-exporter/textfile"),
)
"""Where Debian's package and guides to node-exporter put them."""


@dataclass(frozen=True)
class Proposal:
    """An answer that this host suggests, and what was seen of it. A `guess` is not taken without a person."""

    answer: str
    seen: str
    guess: bool = False


def proposals(docker_url: str | None = None) -> dict[Setting, Proposal]:
    """What was found, by the setting that it would be an answer to; an empty answer only tells what was seen."""
    lookers: tuple[Callable[[], Mapping[Setting, Proposal]], ...] = (
        lambda: _docker(docker_url),
        _postgres,
        lambda: _listening(("redis", "url"), 6379, f"redis://{LOCAL}:6379/0", "Redis"),
        lambda: _listening(("ollama", "url"), 11434, f"http://{LOCAL}:11434", "Ollama"),
        _alertmanager,
        _textfile,
    )
    found: dict[Setting, Proposal] = {}
    for done in side_by_side(lookers, DEADLINE_SECONDS, time.monotonic):
        # What cannot be looked at is not proposed; `doctor` says why.
        found.update(done.value or {})
    return found


def _docker(url: str | None) -> Mapping[Setting, Proposal]:
    try:
        engine = DockerEngine(DockerSettings(url=url, timeout_seconds=_ASK_SECONDS))
        version, containers = engine.version(), engine.containers()
    except ClientError:
        return {}
    seen = f"Docker {version} with {len(containers)} containers at {engine.url}"
    found: dict[Setting, Proposal] = {("docker", "url"): Proposal("", seen)}
    return {**found, **_agents(containers), **_postgres_container(containers)}


def _agents(containers: list[Container]) -> Mapping[Setting, Proposal]:
    """The guide's agents are proposed by name; labelled ones are found by every run, and are only told of."""
    names = {container.name for container in containers}
    guide = [f"{agent.name}:{agent.port}" for agent in GUIDE_AGENTS if agent.name in names]
    labelled = sum(container.labels.get(LABEL) == "true" for container in containers)
    seen = [f"{len(guide)} containers with the guide's names"] if guide else []
    seen += [f"{labelled} labelled {LABEL}=true, which are watched anyway"] if labelled else []
    return {("agents", "listed"): Proposal(", ".join(guide), "; ".join(seen))} if seen else {}


def _postgres_container(containers: list[Container]) -> Mapping[Setting, Proposal]:
    """The one container that is reached at PostgreSQL's port: its own pg_dump is of its own version."""
    published = [one for one in containers if any(port.public == _POSTGRES_PORT for port in one.ports)]
    if len(published) != 1 or not AGENT_NAME.fullmatch(published[0].name):
        return {}
    seen = f"port {_POSTGRES_PORT} is that of the container {published[0].name} ({published[0].image})"
    return {("postgres", "container"): Proposal(published[0].name, seen)}


def _postgres() -> Mapping[Setting, Proposal]:
    """Who may log in there nobody can see; unset, the local server is found by every run as well."""
    if not listens(LOCAL, _POSTGRES_PORT):
        return {}
    answer = f"postgresql://postgres@{LOCAL}:{_POSTGRES_PORT}/postgres"
    return {("postgres", "dsn"): Proposal(answer, f"PostgreSQL at {LOCAL}:{_POSTGRES_PORT}", guess=True)}


def _listening(setting: Setting, port: int, answer: str, name: str) -> Mapping[Setting, Proposal]:
    return {setting: Proposal(answer, f"{name} at {LOCAL}:{port}")} if listens(LOCAL, port) else {}


def _alertmanager() -> Mapping[Setting, Proposal]:
    reply = HttpClient().fetch(Ask(f"{_ALERTMANAGER}/-/ready", _ASK_SECONDS))
    if reply.status != 200:
        return {}
    return {("alertmanager", "url"): Proposal(_ALERTMANAGER, f"something at {LOCAL}:9093 that is ready")}


def _textfile() -> Mapping[Setting, Proposal]:
    # A container's own name for it may be no directory of this host's, or another one.
    read = [one.directory for one in textfile_readers() if one.directory.is_dir() and one.reads(one.directory)]
    there = [*read, *(path for path in USUAL_TEXTFILE_DIRECTORIES if path.is_dir())]
    if not there:
        return {}
    seen = f"a node-exporter reads {there[0]}" if read else f"{there[0]}, which no node-exporter that runs here reads"
    return {("textfile", "directory"): Proposal(str(there[0]), seen, guess=not read)}
