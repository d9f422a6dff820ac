"""Runs of the agent monitor in this process: real engine, real store, and a clock that a test moves ahead."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from exporter.store import Store
from jobs.agent_monitor import JOB, Settings
from jobs.clients import Clients
from jobs.core.model import Request, Result, Trigger
from jobs.core.settings import Agent, AgentsSettings, DockerSettings, World


class MovableClock:
    """The real clocks, the wall clock ahead by what the test says."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        """The wall time."""
        return datetime.now().astimezone() + self.ahead

    def monotonic(self) -> float:
        """The time that nobody sets."""
        return time.monotonic()

    def advance(self, seconds: float) -> None:
        """Move the wall clock."""
        self.ahead += timedelta(seconds=seconds)


class QuietReporter:
    """Takes what a run says of its progress and keeps nothing."""

    def progress(self, done: int, total: int, message: str) -> None:
        """Nothing."""

    def log(self, level: str, message: str) -> None:
        """Nothing."""


class AgentRuns:
    """The agent monitor on one base directory. Each `run` has new clients, as a process of its own would have."""

    def __init__(
        self,
        base_dir: Path,
        *agents: Agent,
        url: str | None = None,
        docker_timeout_seconds: float = 10,
        probe_seconds: float = 1,
        **settings: Any,
    ) -> None:
        self.base_dir, self.clock = base_dir, MovableClock()
        self.settings: dict[str, Any] = {"recovery_timeout_seconds": 10, "stop_timeout_seconds": 1, **settings}
        self.world = World(
            base_dir=base_dir,
            docker=DockerSettings(url=url, timeout_seconds=docker_timeout_seconds),
            agents=AgentsSettings(listed=agents, timeout_seconds=probe_seconds),
        )
        self.store = Store(base_dir / "data" / "store.db")

    def run(
        self,
        target: str = "",
        mode: str = "",
        trigger: Trigger = Trigger.SCHEDULE,
        dry_run: bool = False,
        **changes: Any,
    ) -> Result:
        """One run, with `changes` to the settings."""
        request = Request(task=JOB.name, target=target, mode=mode, trigger=trigger, dry_run=dry_run)
        return JOB.run(Settings(**{**self.settings, **changes}), self.clients(), request)

    def clients(self) -> Clients:
        """New clients."""
        return Clients(self.world, self.clock, QuietReporter(), lambda: self.store, lambda: self.store)

    def state(self, name: str) -> Mapping[str, Any]:
        """The agent's state file."""
        content: Mapping[str, Any] = json.loads((self._directory / f"{name}.json").read_text())
        return content

    def evidence(self, name: str) -> list[Path]:
        """The agent's evidence files, oldest first."""
        return sorted((self._directory / "evidence").glob(f"{name}_*.json"))

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    @property
    def _directory(self) -> Path:
        return self.base_dir / "data" / "agent-monitor"


def kinds(result: Result) -> list[str]:
    """The kinds of a result's findings."""
    return [finding.kind for finding in result.findings]


def actions(result: Result) -> list[tuple[str, str, bool]]:
    """What a result says was done or would be done."""
    return [(action.verb, action.subject, action.done) for action in result.actions]


def sample(of: Result, family: str, /, **labels: str) -> float | None:
    """The value of one series; None where there is none."""
    found = [s.value for s in of.samples if s.family == family and dict(s.labels) == labels]
    return found[0] if found else None
