"""The world as a job sees it. These modules are the only code that touches anything outside the process.

Each client is imported when it is first used, so a run loads only the libraries that it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.core.ports import Budgets, Clock, History, Reporter

if TYPE_CHECKING:
    from jobs.clients.agents import Agents
    from jobs.clients.cgroups import Cgroups
    from jobs.clients.clock_marks import ClockMarks
    from jobs.clients.docker import DockerEngine
    from jobs.clients.host import Host
    from jobs.clients.host_figures import HostFigures
    from jobs.clients.http import HttpClient
    from jobs.clients.ollama import Ollama
    from jobs.clients.postgres import Postgres
    from jobs.clients.redis import Redis
    from jobs.core.settings import World


@dataclass
class Clients:
    """Everything a run is handed: the settings of the world, time, memory between runs, and each service."""

    world: World
    clock: Clock
    report: Reporter
    open_budgets: Callable[[], Budgets]
    open_history: Callable[[], History]
    config_file: Path | None = None
    """The configuration file in use, where there is one."""

    @property
    def base_dir(self) -> Path:
        """The directory of everything the exporter keeps."""
        return self.world.base_dir

    @cached_property
    def budgets(self) -> Budgets:
        """Allowances shared by all runs."""
        return self.open_budgets()

    @cached_property
    def history(self) -> History:
        """Observations of former runs."""
        return self.open_history()

    @cached_property
    def http(self) -> HttpClient:
        """HTTP requests, many side by side."""
        from jobs.clients.http import HttpClient

        return HttpClient()

    @cached_property
    def host(self) -> Host:
        """This machine: load, memory, disks, files."""
        from jobs.clients.host import Host

        return Host()

    @cached_property
    def host_figures(self) -> HostFigures:
        """What the kernel has counted: CPU time, traffic, pressure."""
        from jobs.clients.host_figures import HostFigures

        return HostFigures()

    @cached_property
    def cgroups(self) -> Cgroups:
        """What containers use, from the kernel's own files."""
        from jobs.clients.cgroups import Cgroups

        return Cgroups()

    @cached_property
    def clock_marks(self) -> ClockMarks:
        """Whether the clock was set since a task last acted."""
        from jobs.clients.clock_marks import ClockMarks

        return ClockMarks(self.base_dir)

    @cached_property
    def docker(self) -> DockerEngine:
        """The Docker engine."""
        from jobs.clients.docker import DockerEngine

        return DockerEngine(self.world.docker)

    @cached_property
    def agents(self) -> Agents:
        """The agents: which there are, and how each answers."""
        from jobs.clients.agents import Agents

        return Agents(self.world.agents, self.docker, self.http)

    @cached_property
    def postgres(self) -> Postgres:
        """The PostgreSQL server."""
        from jobs.clients.postgres import Postgres

        return Postgres(self.world.postgres)

    @cached_property
    def postgres_servers(self) -> tuple[Postgres, ...]:
        """Every PostgreSQL server: the one above first, then those that are configured beside it."""
        from jobs.clients.postgres import Postgres
        from jobs.core.settings import PostgresSettings

        shared = self.world.postgres.model_dump(include={"connect_timeout_seconds", "programs"})
        others = (
            Postgres(PostgresSettings(**server.model_dump(exclude={"name"}), **shared), name=server.name)
            for server in self.world.postgres.servers
        )
        return (self.postgres, *others)

    @cached_property
    def redis(self) -> Redis:
        """The Redis server."""
        from jobs.clients.redis import Redis

        return Redis(self.world.redis)

    @cached_property
    def ollama(self) -> Ollama:
        """The Ollama server."""
        from jobs.clients.ollama import Ollama

        return Ollama(self.world.ollama, self.http)
