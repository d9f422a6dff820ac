"""A killed agent: how long until it serves again and the exporter knows, beside Docker's own restart policy."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from benchmarks.harness import Figure, Gap, NotMeasured, Row, at_most
from benchmarks.machine import need
from benchmarks.ours import daemon
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.local_http import TRANSIENT, ask
from tests.services.ports import free_port
from tests.services.wait import wait_for


def measure(runs: int) -> Iterator[Figure | Gap]:
    """Each run kills an agent of its own, so that none has been restarted before."""
    _need_engine()
    with closing(DockerEngine()) as engine:
        agents = [_Agent(engine, f"bench-{i}") for i in range(runs)]
        alone = [_Agent(engine, f"alone-{i}") for i in range(runs)]
        restarting = [_Agent(engine, f"policy-{i}", restart_policy={"Name": "always"}) for i in range(runs)]
        with daemon(_config(engine, agents)) as ours:
            for agent in agents:
                ours.wait_metric("sutazai_agent_up", {"agent": agent.name}, lambda up: up == 1)
            served, verified, by_docker, starts = [], [], [], []
            for agent, other, plain in zip(agents, restarting, alone, strict=True):
                seconds = _recovery(ours, agent)
                served.append(seconds[0])
                verified.append(seconds[1])
                by_docker.append(other.seconds_after(other.kill))
                starts.append(_start(plain))
    yield Figure("killed to serving again", "s", served, by_docker, "Docker's restart policy")
    yield Figure("killed to verified healthy", "s", verified, goal=at_most(3, "s"))
    yield Figure("of it the agent's own start", "s", starts)


class _Agent:
    """A container that serves /health."""

    def __init__(self, engine: DockerEngine, name: str, **options: Any) -> None:
        self.name, self.port = name, free_port()
        self.container = engine.run(AGENT_IMAGE, name, port=self.port, **options)

    def kill(self) -> None:
        """Have its process die as if it had crashed: the engine has not been asked to end it."""
        self.container.reload()
        os.kill(self.container.attrs["State"]["Pid"], signal.SIGKILL)
        wait_for(lambda: not self.serves(), 10, f"{self.name} is dead")

    def serves(self) -> bool:
        """Whether /health answers 200."""
        try:
            return ask("GET", f"http://127.0.0.1:{self.port}/health", timeout=1).ok
        except TRANSIENT:
            return False

    def seconds_after(self, act: Callable[[], object]) -> float:
        """How long after an act (which ends its serving) it serves again."""
        began = time.perf_counter()
        act()
        wait_for(self.serves, 60, f"{self.name} serves again")
        return time.perf_counter() - began


def _recovery(ours: ExporterDaemon, agent: _Agent) -> tuple[float, float]:
    """Seconds from the kill until the agent serves, and until the exporter counts it as recovered."""
    began = time.perf_counter()
    served = agent.seconds_after(agent.kill)
    counted = f'sutazai_agent_restarts_total{{agent="{agent.name}",result="recovered"}} 1\n'
    wait_for(lambda: counted in ours.get("/metrics").text, 60, f"{agent.name} is counted as recovered")
    return served, time.perf_counter() - began


def _start(agent: _Agent) -> float:
    agent.kill()
    wait_for(lambda: _status(agent) == "exited", 10, f"{agent.name} has exited")
    return agent.seconds_after(agent.container.start)


def _status(agent: _Agent) -> str:
    agent.container.reload()
    return str(agent.container.status)


def _config(engine: DockerEngine, agents: list[_Agent]) -> dict[str, Any]:
    listed = [{"name": agent.name, "port": agent.port} for agent in agents]
    return {"docker": {"url": engine.url}, "agents": {"listed": listed, "discover": False}}


def _need_engine() -> None:
    if os.geteuid() != 0:
        raise NotMeasured("a private Docker engine needs root: run it as root")
    need("dockerd", package="docker.io")
    need("containerd", package="containerd")
    need("docker", package="docker-cli (docker.io before Debian 13)")
    need("busybox", package="busybox-static")


ROW = Row("recovery", "an agent's container killed while the daemon watches", measure, runs=5)
