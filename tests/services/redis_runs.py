"""Runs of Redis's part of the maintenance in this process: real servers, and a memory between runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import redis

from jobs.clients import Clients
from jobs.core.model import Finding, Observation, Request
from jobs.core.settings import World
from jobs.databases.part import STANDARD, Part
from jobs.databases.redis import redis_part
from jobs.databases.redis_settings import RedisMaintenance
from tests.services.clocks import FakeClock
from tests.services.redis import RedisServer
from tests.services.wait import wait_for

Factory = Callable[..., RedisServer]


class RealDurations(FakeClock):
    """Durations and the date are real."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now().astimezone()


class Store:
    """Stands for the store's history and for the run's reporter: keeps what it was told."""

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[float, float]]] = {}
        self.lines: list[str] = []

    def remember(self, observations: tuple[Observation, ...], at: datetime) -> None:
        for one in observations:
            self.seen.setdefault(one.series, []).append((at.timestamp(), one.value))

    def points(self, series: str, since: datetime) -> list[tuple[float, float]]:
        return self.seen.get(series, [])

    def means(self, prefix: str, since: datetime) -> Mapping[str, float]:
        raise AssertionError

    def progress(self, done: int, total: int, message: str) -> None:
        assert 0 <= done <= total

    def log(self, level: str, message: str) -> None:
        self.lines.append(message)


class Maintainer:
    """Runs the part against one Redis, with a base directory and a memory of its own."""

    def __init__(self, base_dir: Path) -> None:
        self.base_dir, self.store, self.timeout_seconds = base_dir, Store(), 10.0

    def run(self, url: str, mode: str = STANDARD, *, dry_run: bool = False, **settings: Any) -> Part:
        redis = {"url": url, "timeout_seconds": self.timeout_seconds}
        world = World.model_validate({"base_dir": self.base_dir, "redis": redis})
        clients = Clients(world, RealDurations(), self.store, no_budgets, lambda: self.store)
        request = Request(task="database-maintenance", mode=mode, dry_run=dry_run)
        part = redis_part(RedisMaintenance(**settings), clients, request)
        self.store.remember(part.observations, clients.clock.now())
        return part


def no_budgets() -> Any:
    raise AssertionError("the maintenance spends no allowance")


def findings(part: Part) -> dict[str, Finding]:
    return {one.kind: one for one in part.findings}


def verbs(part: Part) -> list[str]:
    return [action.verb for action in part.actions]


def values(part: Part, name: str) -> list[float]:
    return [sample.value for sample in (*part.samples, *part.lasting) if sample.family == f"sutazai_redis_{name}"]


def commands_of(server: RedisServer) -> set[str]:
    """The commands that were sent since CONFIG RESETSTAT, without those that the asking itself takes."""
    stats = server.client().info("commandstats")
    return {str(name).removeprefix("cmdstat_") for name in stats} - {"hello", "client|setinfo", "config|resetstat"}


def fill(server: RedisServer) -> None:
    writer = server.client()
    writer.mset({f"key{number}": f"value{number}" for number in range(500)})
    writer.mset({f"session:expired:{number}": "alive" for number in range(50)})
    for number in range(50):
        writer.expire(f"session:expired:{number}", 3600)
    writer.hset("hash", mapping={"field": "value"})
    writer.xadd("stream", {"field": "value"})


def fragment(server: RedisServer) -> None:
    writer = server.client()
    pipe = writer.pipeline(transaction=False)
    for number in range(30_000):
        pipe.set(f"filler{number}", "x" * 600)
    pipe.execute()
    for number in range(30_000):
        if number % 5:
            pipe.delete(f"filler{number}")
    pipe.execute()
    # Redis takes these figures a few times a second.
    wait_for(lambda: _fragmentation(writer) > 1.7, 20, "the server sees its fragmentation")


def _fragmentation(client: redis.Redis) -> float:
    return float(client.info("memory")["allocator_frag_ratio"])  # type: ignore[index]
