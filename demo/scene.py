"""What a break may touch: the demo that is running, and nothing beside it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any, TypeVar

from demo.agents import docker, refused
from demo.api import Exporter, Prometheus, Unreachable
from demo.layout import DemoError, Running, running
from jobs.clients.discovery import LOCAL, listens

_T = TypeVar("_T")
_POLL_SECONDS = 0.5


class Scene:
    """The demo as one who breaks it sees it; `say` prints a line."""

    def __init__(self, found: Running, say: Callable[[str], None]) -> None:
        self.running, self.layout, self.say = found, found.layout, say
        self.exporter = Exporter(f"http://{self.layout.exporter}", self.layout.token_file)
        self.prometheus = Prometheus(f"http://{self.layout.prometheus}")

    @property
    def has_docker(self) -> bool:
        """Whether the agents are containers."""
        return bool(self.running.docker_url)

    def container(self, agent: str) -> Any:
        """An agent's container, by the id that the demo gave it; DemoError where the engine does not answer."""
        with refused():
            client = docker().DockerClient(base_url=self.running.docker_url, timeout=60)
            return client.containers.get(self.running.containers[agent])

    def signal(self, agent: str, number: signal.Signals) -> None:
        """Send an agent a signal: by the engine where it is a container, else to its process."""
        if self.has_docker:
            self.container(agent).kill(number.name)
            return
        # The demo itself starts an agent again that has ended: its process id is not always the first.
        now = running(self.layout.directory) or self.running
        os.kill(now.processes[agent], number)

    def answers(self, agent: str) -> bool:
        """Whether an agent takes connections."""
        return listens(LOCAL, self.layout.agent_port(agent))

    def remediations_of(self, rule: str) -> list[dict[str, Any]]:
        """What a rule has brought about, newest first."""
        return [found for found in self.exporter.remediations() if found["rule"] == rule]

    def start(self, task: str, mode: str) -> None:
        """Ask for a run, as a person does who does not want to wait; again while it is refused, as one is under way."""

        def started() -> bool:
            self.exporter.start(task, mode)
            return True

        self.wait(started, 60, f"{task} {mode} can be started")

    def run(self, task: str, mode: str, limit_seconds: float = 60) -> None:
        """Start a task and wait until a run that began after that is over."""
        before = self.exporter.last_run(task).get("run_id", 0)
        self.start(task, mode)

        def over() -> bool:
            last = self.exporter.last_run(task)
            return bool(last.get("run_id", 0) > before and last.get("mode") == mode)

        self.wait(over, limit_seconds, f"{task} {mode} is over")

    def wait(self, condition: Callable[[], _T], limit_seconds: float, what: str) -> _T:
        """Look until it is true; DemoError after the limit."""
        deadline = time.monotonic() + limit_seconds
        while True:
            try:
                if value := condition():
                    return value
            except Unreachable as error:
                if running(self.layout.directory) is None:
                    raise DemoError(f"the demo has ended: {error}") from None
            if time.monotonic() > deadline:
                raise DemoError(f"not within {limit_seconds:g} s: {what}", 1)
            time.sleep(_POLL_SECONDS)
