"""The demo's agents: containers where there is a Docker engine, else processes, which nobody can restart."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.interrupts import interrupted_later
from demo.layout import AGENTS, DemoError, Layout
from demo.processes import Child, environment
from jobs.clients.discovery import LOCAL, listens

IMAGE = "busybox:1.36.1"
LABEL = "sutazai.demo"
"""On each container of a demo, with the directory of the demo that it belongs to."""

_AWAY_SECONDS, _ANSWER_SECONDS, _POLL_SECONDS = 30.0, 20.0, 0.2
_SERVE = "mkdir -p /www && echo ok >/www/health && exec httpd -f -p 127.0.0.1:{port} -h /www"


class NoDocker(DemoError):
    """There is no engine that can run the agents; the message says why."""


def docker() -> Any:
    """The client for Docker, which a demo without it need not have."""
    import docker

    return docker


@contextmanager
def refused() -> Iterator[None]:
    """Whatever Docker says against it is NoDocker, in one line."""
    import requests

    try:
        yield
    except (docker().errors.DockerException, requests.RequestException) as error:
        words = str(getattr(error, "explanation", None) or error)
        raise NoDocker(textwrap.shorten(words, 200, placeholder=" …")) from None


class ContainerAgents:
    """Agents as containers, on the host's network, as no engine's own network is the same everywhere."""

    def __init__(self, layout: Layout, url: str, say: Callable[[str], None]) -> None:
        self._layout, self.docker_url, self._say = layout, url, say
        self.containers: dict[str, str] = {}
        self.processes: dict[str, int] = {}

    def connect(self) -> None:
        """Find the engine, and remove what a killed demo has left in it; NoDocker where there is none."""
        with refused():
            self._client: Any = docker().DockerClient(base_url=self.docker_url, timeout=60)
            self._remove()

    def start(self) -> None:
        """Start them, and wait until they answer; NoDocker if that does not work."""
        with refused():
            self._provide_image(self._say)
            for name in AGENTS:
                with interrupted_later():  # until the engine has answered it may not know the container that it makes
                    self.containers[name] = self._run(name)
            self._wait()

    def _wait(self) -> None:
        """Wait until they answer; they never do where the engine's host is a machine of its own, as with a desktop."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        while not all(listens(LOCAL, self._layout.agent_port(name)) for name in AGENTS):
            if time.monotonic() > deadline:
                raise NoDocker("its containers do not answer on 127.0.0.1, even on the host's network")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Remove every container of this demo, and no other."""
        try:
            with refused():
                self._remove()
        except NoDocker as error:
            names = " ".join(map(self._layout.container, AGENTS))
            self._say(f"Docker at {self.docker_url} does not answer ({error}); what is left: docker rm -f {names}")

    def _remove(self) -> None:
        ours = {"label": f"{LABEL}={self._layout.directory}"}
        for container in self._client.containers.list(all=True, filters=ours, ignore_removed=True):
            container.remove(force=True, v=True)

    def check(self) -> None:
        """That one is down is what the demo is about."""

    def _run(self, name: str) -> str:
        container = self._client.containers.run(
            IMAGE,
            ["sh", "-c", _SERVE.format(port=self._layout.agent_port(name))],
            name=self._layout.container(name),
            detach=True,
            network_mode="host",
            labels={LABEL: str(self._layout.directory)},
            mem_limit="32m",
        )
        return str(container.id)

    def _provide_image(self, say: Callable[[str], None]) -> None:
        try:
            self._client.images.get(IMAGE)
        except docker().errors.ImageNotFound:
            say(f"fetching {IMAGE} (4 MB) for the demo's agents")
            self._client.images.pull(IMAGE)


class ProcessAgents:
    """Agents as processes of the demo: alerts tell of them, and the demo starts them again itself."""

    docker_url = ""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._children: dict[str, Child] = {}
        self._gone: dict[str, float] = {}

    def start(self) -> None:
        """Start them."""
        self.containers: dict[str, str] = {}
        for name in AGENTS:
            self._run(name)

    @property
    def processes(self) -> dict[str, int]:
        """Their process ids."""
        return {name: child.pid for name, child in self._children.items()}

    def stop(self) -> None:
        """End them."""
        for child in self._children.values():
            child.stop()

    def check(self) -> None:
        """Start again, after a while, those that have ended: nobody else can."""
        for name, child in self._children.items():
            if child.runs:
                self._gone.pop(name, None)
            elif time.monotonic() - self._gone.setdefault(name, time.monotonic()) > _AWAY_SECONDS:
                self._run(name)

    def _run(self, name: str) -> None:
        argv = [sys.executable, "-m", "demo.sample_agent", str(self._layout.agent_port(name))]
        log_file, env = self._layout.directory / f"{name}.log", environment(self._layout.base)
        with interrupted_later():  # nothing but SIGKILL ends one that is frozen
            self._children[name] = Child(name, argv, log_file, env, orphaned=signal.SIGKILL)


def docker_url() -> str | None:
    """Where Docker's engine is, as its own command line would look for it; None where there is none."""
    if url := os.environ.get("DOCKER_HOST"):
        return url
    return "unix:///var/run/docker.sock" if Path("/var/run/docker.sock").is_socket() else None
