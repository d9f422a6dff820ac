"""Agents in containers of a private engine that are made to fail, and how long until they are well again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.harness import NotMeasured
from benchmarks.machine import need
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE, HEALTH_FILE
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.local_http import TRANSIENT, ask
from tests.services.ports import free_port

_LOOK_SECONDS = 0.02
_LIMIT_SECONDS = 60.0
# A restart makes it well again: its files outlive it.
_START_WELL = ["/bin/sh", "-c", f"touch {HEALTH_FILE}; . /serve"]
HEALTHCHECK = {"test": ["CMD-SHELL", f"test -e {HEALTH_FILE}"], "interval": 10**9, "retries": 3}
"""Docker's own check of an agent: once a second (in ns), three failures make it unhealthy."""


class BenchAgent:
    """A container that serves /health on loopback; `options` are those of docker-py's `containers.create`."""

    def __init__(self, engine: DockerEngine, name: str, **options: Any) -> None:
        self.name, self.port, self._engine = name, free_port(), engine
        self.container = engine.run(AGENT_IMAGE, name, port=self.port, command=_START_WELL, **options)

    def kill(self) -> None:
        """Have its process die as if it had crashed: the engine has not been asked to end it."""
        self.container.reload()
        os.kill(self.container.attrs["State"]["Pid"], signal.SIGKILL)
        look_until(lambda: not self.serves(), f"{self.name} is dead")

    def docker_kill(self) -> None:
        """Have the engine kill it, as `docker kill` does."""
        self.container.kill()
        look_until(lambda: not self.serves(), f"{self.name} is dead")

    def fall_ill(self) -> None:
        """Have /health and Docker's check fail, while it runs on."""
        self._engine.set_health(self.name, healthy=False)

    def serves(self) -> bool:
        """Whether /health answers 200."""
        try:
            return ask("GET", f"http://127.0.0.1:{self.port}/health", timeout=1).ok
        except TRANSIENT:
            return False

    @property
    def status(self) -> str:
        """The engine's word for its container's state."""
        self.container.reload()
        return str(self.container.status)

    def called_unhealthy_at(self, since: float) -> float:
        """When after `since` the engine called it unhealthy first; both are wall times in seconds."""
        window = {"since": f"{since:.6f}", "until": f"{time.time():.6f}", "filters": {"container": self.container.id}}
        events = list(self._engine.client.events(decode=True, **window))
        return min(event["timeNano"] / 1e9 for event in events if event["Action"] == "health_status: unhealthy")

    def seconds_after(self, act: Callable[[], object]) -> float:
        """How long after an act (which ends its serving) it serves again."""
        began = time.perf_counter()
        act()
        look_until(self.serves, f"{self.name} serves again")
        return time.perf_counter() - began

    def seconds_ill(self, well: Callable[[], bool]) -> float:
        """How long it takes from being called unhealthy until it is `well`, when it has fallen ill now."""
        began = time.time()
        self.fall_ill()
        look_until(lambda: not self.serves(), f"{self.name} is ill")
        look_until(well, f"{self.name} is well again")
        return time.time() - self.called_unhealthy_at(began)


def look_until(condition: Callable[[], object], what: str) -> None:
    """Look at a condition fifty times a second until it holds; raise TimeoutError after a minute."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_LIMIT_SECONDS:g} s: {what}")
        time.sleep(_LOOK_SECONDS)


def recovered(ours: ExporterDaemon, agent: BenchAgent) -> bool:
    """Whether the exporter has restarted an agent and seen it healthy after that; say so where it could not."""
    text = ours.get("/metrics").text
    counted = f'sutazai_agent_restarts_total{{agent="{agent.name}",result="%s"}} 1\n'
    if counted % "failed" in text:
        raise RuntimeError(f"the restart of {agent.name} failed: {ours.log().splitlines()[-1]}")
    return counted % "recovered" in text


def watching(engine: DockerEngine, agents: Sequence[BenchAgent], **monitor: Any) -> dict[str, Any]:
    """The configuration of a daemon that watches these agents; `monitor` is of the agent monitor."""
    listed = [{"name": agent.name, "port": agent.port} for agent in agents]
    return {
        "docker": {"url": engine.url},
        "agents": {"listed": listed, "discover": False},
        "jobs": {"agent_monitor": monitor},
    }


def wait_watched(ours: ExporterDaemon, agents: Sequence[BenchAgent]) -> None:
    """Wait until the daemon has seen each agent up, and hears the engine's events."""
    for agent in agents:
        ours.wait_metric("sutazai_agent_up", {"agent": agent.name}, lambda up: up == 1)
    ours.wait_metric("sutazai_docker_events_connected", {}, lambda connected: connected == 1)


def need_engine() -> None:
    """Raise NotMeasured where no private Docker engine can be had."""
    if os.geteuid() != 0:
        raise NotMeasured("a private Docker engine needs root: run it as root")
    need("dockerd", package="docker.io")
    need("containerd", package="containerd")
    need("docker", package="docker-cli (docker.io before Debian 13)")
    need("busybox", package="busybox-static")
