"""What tests of the health check share: a run of it on clients of their own, and easy looks at what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs import health_check
from jobs.clients import Clients
from jobs.clients.http import HttpClient
from jobs.clients.ollama import Ollama
from jobs.clients.postgres import Postgres
from jobs.clients.redis import Redis
from jobs.core.model import Request, Result
from jobs.core.ports import Clock
from jobs.core.settings import World
from tests.services.ports import free_port


class Remembered:
    """Stands for the store's history: what a test put there."""

    def __init__(self, points: Mapping[str, Sequence[tuple[float, float]]] | None = None) -> None:
        self._points = points or {}

    def points(self, series: str, since: datetime) -> Sequence[tuple[float, float]]:
        return [point for point in self._points.get(series, ()) if point[0] >= since.timestamp()]

    def means(self, prefix: str, since: datetime) -> Mapping[str, float]:
        raise AssertionError("the health check asks for no means")


class Heard:
    """Stands for the run's reporter: keeps what it was told."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int, str]] = []

    def progress(self, done: int, total: int, message: str) -> None:
        self.steps.append((done, total, message))

    def log(self, level: str, message: str) -> None:
        raise AssertionError(f"unexpected log line: {level} {message}")


def clients_of(base_dir: Path, clock: Clock, history: Remembered | None = None, **world: Any) -> Clients:
    """Clients of a world in which nothing is at a usual local address, whatever runs on this machine.

    `world` is as in a configuration file (`redis={"url": ...}`).
    """
    docker = {"url": None, **world.pop("docker", {})}
    agents = {"discover": False, "listed": [], **world.pop("agents", {})}
    settings = World.model_validate({"base_dir": base_dir, "docker": docker, "agents": agents, **world})
    found = Clients(settings, clock, Heard(), _no_budgets, lambda: history or Remembered())
    found.postgres = Postgres(settings.postgres, socket_directory=base_dir, port=free_port())
    found.redis = Redis(settings.redis, port=free_port())
    found.ollama = Ollama(settings.ollama, HttpClient(), port=free_port())
    if docker["url"] is None:
        found.docker = NoDocker()  # type: ignore[assignment]
    return found


def _no_budgets() -> Any:
    raise AssertionError("the health check spends nothing")


class NoDocker:
    """Stands for a machine without Docker; this one may have it."""

    def version(self) -> str:
        from jobs.clients.errors import Absent

        raise Absent("no Docker engine: docker.url is not set")

    def containers(self) -> list[Any]:
        self.version()
        raise AssertionError


def check_health(clients: Clients, mode: str = "full", **settings: Any) -> Result:
    """Run the job and return its result."""
    request = Request(task="health-check", mode=mode)
    return health_check.run(health_check.Settings.model_validate(settings), clients, request)


def statuses(result: Result) -> dict[str, str]:
    """The status of each check, from the metrics."""
    found = [s for s in result.samples if s.family == "sutazai_check_status" and s.value == 1]
    return {sample.labels["check"]: sample.labels["status"] for sample in found}


def values(result: Result, family: str) -> dict[tuple[str, ...], float]:
    """The samples of a family by their label values."""
    return {tuple(s.labels.values()): s.value for s in result.samples if s.family == family}


def value(result: Result, family: str) -> float:
    """The one sample of a family without labels."""
    [found] = values(result, family).values()
    return found


def message(result: Result, check: str) -> str:
    """What the finding of a check says."""
    [found] = [f for f in result.findings if f.subject == f"check/{check}" and f.kind != "vanished"]
    return found.message
