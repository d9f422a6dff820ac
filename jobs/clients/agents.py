"""The agents: which there are, and how each is. Shared by the agent monitor and the health check."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.clients.errors import Absent, ClientError
from jobs.core.agents.discovery import Watched, discovered_agents, listed_agents
from jobs.core.agents.state import Probe, State, observe
from jobs.core.containers import Container
from jobs.core.model import Finding
from jobs.core.settings import GUIDE_AGENTS, Agent, AgentsSettings

if TYPE_CHECKING:
    from jobs.clients.docker import DockerEngine
    from jobs.clients.http import HttpClient

_PRESENCE_SECONDS = 2.0
_NOT_FOUND = 404


@dataclass(frozen=True)
class AgentReading:
    """One agent as it is now. `url` is where it is asked, None where its container's state is all there is.

    `check_error` says why its container's own health check cannot run, empty where it can or there is none.
    """

    agent: Agent
    container: Container | None
    url: str | None
    state: State
    detail: str
    probe: Probe | None
    check_error: str = ""

    @property
    def healthy(self) -> bool:
        """Whether it is up and well."""
        return self.state is State.HEALTHY

    @property
    def seconds(self) -> float:
        """How long it took to answer; 0 where it was not asked."""
        return self.probe.seconds if self.probe else 0.0


@dataclass(frozen=True)
class Roll:
    """Which agents there are. `engine_error` is set where Docker is configured and cannot be asked."""

    watched: tuple[Watched, ...]
    findings: tuple[Finding, ...]
    engine_known: bool
    engine_error: str

    @property
    def names(self) -> list[str]:
        """The names of all agents, sorted."""
        return sorted(watched.name for watched in self.watched)


class Agents:
    """The agents of the configuration and those found by label."""

    def __init__(self, settings: AgentsSettings, docker: DockerEngine, http: HttpClient) -> None:
        self._settings = settings
        self._docker = docker
        self._http = http

    def survey(self) -> list[AgentReading]:
        """How each agent is; empty where none is configured or found."""
        roll = self.roll()
        return self.read(roll, roll.watched)

    def roll(self, known: Collection[str] = ()) -> Roll:
        """Which agents there are. `known` names agents that were watched before.

        The five standard agents count once one of them is there: a container, an answer, or a memory of it.
        """
        containers, engine_known, engine_error = self._containers()
        watched = self._listed(containers, known)
        findings: list[Finding] = []
        if self._settings.discover:
            discovered, findings = discovered_agents(containers, watched, self._settings.max_discovered)
            watched += discovered
        return Roll(tuple(watched), tuple(findings), engine_known, engine_error)

    def read(self, roll: Roll, watched: Sequence[Watched]) -> list[AgentReading]:
        """How each of `watched` is, all asked side by side."""
        probes = self.probe(watched, self._settings.timeout_seconds)
        return [self._reading(roll, one, probe) for one, probe in zip(watched, probes, strict=True)]

    def probe(self, watched: Sequence[Watched], timeout_seconds: float) -> list[Probe | None]:
        """Ask each agent whose container runs (or that has none) at its address; None for the others."""
        from jobs.clients.http import Ask

        asked = [one for one in watched if _can_be_asked(one)]
        replies = self._http.fetch_all([Ask(one.url or "", timeout_seconds) for one in asked])
        probes = {
            id(one): Probe(reply.status, reply.error, reply.seconds) for one, reply in zip(asked, replies, strict=True)
        }
        return [probes.get(id(one)) for one in watched]

    def _reading(self, roll: Roll, one: Watched, probe: Probe | None) -> AgentReading:
        check_error = self._check_error(one.container)
        state, detail = observe(one.container, roll.engine_known, probe, check_error)
        return AgentReading(one.agent, one.container, one.url, state, detail, probe, check_error)

    def _check_error(self, container: Container | None) -> str:
        """Why the health check of a container that Docker calls unhealthy cannot run."""
        if container is None or container.state != "running" or container.health != "unhealthy":
            return ""
        try:
            return self._docker.inspect(container.id).check_error
        except ClientError:
            # Docker's verdict stands where nothing speaks against it.
            return ""

    def _containers(self) -> tuple[list[Container], bool, str]:
        try:
            return self._docker.containers(), True, ""
        except Absent:
            return [], False, ""
        except ClientError as error:
            return [], False, str(error)

    def _listed(self, containers: list[Container], known: Collection[str]) -> list[Watched]:
        if self._settings.listed is not None:
            return listed_agents(self._settings.listed, containers)
        standard = listed_agents(GUIDE_AGENTS, containers)
        seen = any(one.container or one.name in known for one in standard)
        return standard if seen or self._any_answers(standard) else []

    def _any_answers(self, watched: Sequence[Watched]) -> bool:
        """Whether an agent answers; a server that has no such page is somebody else's."""
        probes = self.probe(watched, min(_PRESENCE_SECONDS, self._settings.timeout_seconds))
        return any(probe and probe.status not in (None, _NOT_FOUND) for probe in probes)


def _can_be_asked(one: Watched) -> bool:
    return one.url is not None and (one.container is None or one.container.state == "running")
