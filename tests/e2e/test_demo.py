"""The demo: started headless, broken, mended, ended; and nothing left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from demo.layout import AGENTS
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.exporter_daemon import REPOSITORY
from tests.services.heir import heir
from tests.services.local_http import get_json
from tests.services.ports import free_row
from tests.services.process import Process, plain_environment
from tests.services.wait import wait_for

BUSYBOX = ("busybox", "1.36.1")
"""The image of the demo's agents, for which ours stands: no registry is asked."""

OF_SOMEBODY_ELSE = "somebody-elses"
PORTS = 5
"""So many ports a demo has."""


class Demo:
    """`make demo`, running."""

    def __init__(self, directory: Path, *arguments: str, docker_url: str = "") -> None:
        self.directory, self.first_port = directory / "demo", free_row(PORTS)
        own = {"PYTHONPATH": str(REPOSITORY), "HOME": str(directory)}
        self.environment = plain_environment(**own, **({"DOCKER_HOST": docker_url} if docker_url else {}))
        options = ["--directory", str(self.directory), "--first-port", str(self.first_port), *arguments]
        argv = [sys.executable, "-m", "demo", "up", *options]
        self.process = Process(argv, log_file=directory / "demo.log", env=self.environment, cwd=REPOSITORY)
        self.process.wait_ready((self.directory / "demo.json").exists, "the demo is up")
        self.family = psutil.Process(self.process.pid).children(recursive=True)

    def get(self, path: str) -> Any:
        """The JSON at a path of the demo's exporter."""
        return get_json(f"http://127.0.0.1:{self.first_port}{path}")

    def breaks(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`make demo-break`."""
        argv = [sys.executable, "-m", "demo", "break", "--directory", str(self.directory), *arguments]
        return subprocess.run(argv, env=self.environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)

    def interrupt_break(self, name: str, broken: Callable[[], bool]) -> int:
        """Ctrl-C as soon as something is broken, and the exit code; meanwhile nothing else can be broken."""
        argv = [sys.executable, "-m", "demo", "break", "--directory", str(self.directory), name]
        breaking = subprocess.Popen(argv, env=self.environment, cwd=REPOSITORY)
        try:
            wait_for(broken, 60, f"{name} has begun")
            assert self.breaks(name).returncode == 69
            breaking.send_signal(signal.SIGINT)
            return breaking.wait(120)
        finally:
            breaking.kill()

    def interrupt(self) -> int:
        """Ctrl-C, and the exit code."""
        self.process.send(signal.SIGINT)
        return self.process.popen.wait(120)

    def close(self) -> None:
        """End it, however the test went."""
        if self.process.running:
            self.interrupt()


@pytest.fixture
def with_docker(docker_clean: DockerEngine, tmp_path: Path) -> Iterator[Demo]:
    docker_clean.client.images.get(AGENT_IMAGE).tag(*BUSYBOX)
    docker_clean.run(AGENT_IMAGE, OF_SOMEBODY_ELSE, command=["sleep", "1000"])
    try:
        demo = Demo(tmp_path, docker_url=docker_clean.url)
        yield demo
        demo.close()
    finally:  # whoever comes next on this engine knows the image by its own name alone
        docker_clean.client.images.remove(":".join(BUSYBOX))


def test_what_is_broken_is_told_of_mended_and_proven_and_the_demo_leaves_nothing(
    with_docker: Demo, docker_clean: DockerEngine
) -> None:
    demo = with_docker
    assert f"http://127.0.0.1:{demo.first_port}/" in demo.process.log()

    done = demo.breaks("kill-agent", "expire-certificate")
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{demo.process.log()}"
    assert "2 of 2 went as expected" in done.stdout
    remediations = {one["rule"]: one["state"] for one in demo.get("/api/v1/remediations")["remediations"]}
    assert remediations == {"restart-agent": "verified", "renew-certificate": "verified"}
    fired = {one["labels"]["alertname"] for one in demo.get("/api/v1/alerts")["alerts"]}
    assert fired >= {"AgentDown", "CertificateInvalid"}
    assert "restart-agent demo-orchestrator verified" in demo.process.log()

    agent = f"sutazai-demo-orchestrator-{demo.first_port}"
    assert demo.interrupt_break("pause-agent", lambda: bool(docker_clean.state(agent)["Paused"])) == 130
    assert not docker_clean.state(agent)["Paused"]

    assert demo.interrupt() == 0, demo.process.log()
    wait_for(lambda: not any(child.is_running() for child in demo.family), 30, "its processes are gone")
    assert [container.name for container in docker_clean.client.containers.list(all=True)] == [OF_SOMEBODY_ELSE]
    assert docker_clean.state(OF_SOMEBODY_ELSE)["Running"]
    assert demo.breaks().returncode == 69
    for port in range(demo.first_port, demo.first_port + PORTS):
        assert not any(c.laddr and c.laddr.port == port for c in psutil.net_connections("tcp") if c.status == "LISTEN")


def test_ctrl_c_ends_it_while_it_starts(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "demo", "up", "--no-docker", "--directory", "demo", "--first-port"]
    environment = plain_environment(PYTHONPATH=str(REPOSITORY), HOME=str(tmp_path))
    with heir() as inherited:
        starting = Process([*argv, str(free_row(PORTS))], log_file=tmp_path / "log", env=environment, cwd=tmp_path)
        family = psutil.Process(starting.pid).children
        # Beside both agents one of the commands that write the configuration: to be ended as well.
        starting.wait_ready(lambda: len(family()) > len(AGENTS), "its agents and a command have been started")
        started = family(recursive=True)
        starting.send(signal.SIGINT)
        starting.send(signal.SIGTERM)
        assert starting.popen.wait(60) == 0 and "Nothing of it runs any more" in starting.log()
        assert started and not any(child.is_running() for child in started)
        assert not inherited(), "of what it ends it waits for the end"


def test_without_docker_it_says_what_cannot_be_mended_and_tells_of_it_all_the_same(tmp_path: Path) -> None:
    demo = Demo(tmp_path, "--no-docker")
    try:
        assert "cannot be restarted" in demo.process.log()
        done = demo.breaks("freeze-agent")
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{demo.process.log()}"
        assert "nobody mends this by himself" in done.stdout
        agents = json.loads((demo.directory / "demo.json").read_text())["processes"]
        os.kill(agents["demo-worker"], signal.SIGSTOP)
        os.kill(demo.process.pid, signal.SIGKILL)
        demo.process.popen.wait(30)
        wait_for(lambda: not any(child.is_running() for child in demo.family), 60, "its processes went with it")
    finally:
        demo.close()


def test_a_directory_that_is_no_demos_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("mine")
    argv = [sys.executable, "-m", "demo", "up", "--directory", str(tmp_path), "--no-docker"]
    environment = plain_environment(PYTHONPATH=str(REPOSITORY))
    done = subprocess.run(argv, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.returncode == 64 and "was not made by a demo" in done.stderr
    assert kept.read_text() == "mine"
