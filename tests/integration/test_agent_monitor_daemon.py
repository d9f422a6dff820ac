"""The agent monitor under the daemon, woken by the engine's events."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
import yaml

from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.exporter_daemon import ExporterDaemon, only
from tests.services.ports import free_port
from tests.services.wait import wait_for

A = "agent-a"
RECOVERED = ("sutazai_agent_restarts_total", {"agent": A, "result": "recovered"})
FAILED = ("sutazai_agent_restarts_total", {"agent": A, "result": "failed"})


@pytest.fixture
def daemon(docker_clean: DockerEngine, exporter_daemon: Callable[..., ExporterDaemon]) -> ExporterDaemon:
    port = free_port()
    docker_clean.run(AGENT_IMAGE, A, port=port)
    one = exporter_daemon(
        {
            "docker": {"url": docker_clean.url},
            "agents": {"listed": [{"name": A, "port": port}], "timeout_seconds": 5},
            "jobs": only(agent_monitor={"backoff_seconds": 0, "max_restarts_per_hour": 10}),
        }
    )
    one.wait_metric("sutazai_docker_events_connected", {}, lambda value: value == 1)
    one.wait_metric("sutazai_agent_up", {"agent": A}, lambda value: value == 1)
    return one


def state_is(daemon: ExporterDaemon, state: str) -> None:
    daemon.wait_metric("sutazai_agent_state", {"agent": A, "state": state}, lambda value: value == 1)


def test_a_killed_agent_is_back_and_verified_by_its_event(daemon: ExporterDaemon, docker_clean: DockerEngine) -> None:
    # How long it takes is measured in benchmarks/; here it must not have waited for the schedule's five minutes.
    for number in range(3):
        pid = int(docker_clean.state(A)["Pid"])
        assert pid > 1
        os.kill(pid, signal.SIGKILL)
        daemon.wait_metric(*RECOVERED, lambda value, wanted=number + 1: value == wanted)
        assert docker_clean.state(A)["Running"]


def test_what_a_person_does_with_docker_is_left_alone(daemon: ExporterDaemon, docker_clean: DockerEngine) -> None:
    for _ in range(3):
        docker_clean.cli("restart", "--time", "1", A)
        docker_clean.cli("stop", "--time", "1", A)
        state_is(daemon, "stopped")
        daemon.wait_metric("sutazai_task_running", {"task": "agent-monitor"}, lambda value: value == 0)
        assert docker_clean.state(A)["Status"] == "exited"
        docker_clean.cli("start", A)
        state_is(daemon, "healthy")
    docker_clean.cli("stop", "--time", "1", A)
    state_is(daemon, "stopped")
    docker_clean.client.containers.get(A).remove()
    assert (daemon.metrics().value(*RECOVERED[:1], **RECOVERED[1]), daemon.metrics().value(FAILED[0], **FAILED[1])) == (
        0,
        0,
    )


def test_an_agent_that_docker_calls_unhealthy_is_restarted_by_that_event(
    daemon: ExporterDaemon, docker_clean: DockerEngine
) -> None:
    docker_clean.clean()
    port = free_port()
    labels = {"sutazai.agent": "true", "sutazai.agent.port": str(port)}
    once = {"test": ["CMD-SHELL", "test -e /tmp/ill && exit 1; exit 0"], "interval": 100_000_000, "retries": 3}
    command = ["/bin/sh", "-c", "rm -f /tmp/ill; . /serve"]
    docker_clean.run(AGENT_IMAGE, "agent-b", port=port, labels=labels, healthcheck=once, command=command)
    wait_for(lambda: docker_clean.state("agent-b")["Health"]["Status"] == "healthy", 60, "it is healthy")
    docker_clean.cli("exec", "agent-b", "touch", "/tmp/ill")
    labels_of = {"agent": "agent-b", "result": "recovered"}
    daemon.wait_metric("sutazai_agent_restarts_total", labels_of, lambda value: value == 1)


def test_an_engine_that_was_away_makes_all_agents_be_looked_at(
    daemon: ExporterDaemon, docker_clean: DockerEngine
) -> None:
    # By this alone: where a look by the schedule waits for its turn just then, no other is asked for.
    config = yaml.safe_load(daemon.config_file.read_text())
    config["jobs"]["agent_monitor"]["schedule"] = []
    daemon.configure(config)
    daemon.hangup()
    daemon.wait_log("configuration reloaded")
    docker_clean.stop()
    daemon.wait_metric("sutazai_docker_events_connected", {}, lambda value: value == 0)
    docker_clean.start()
    daemon.wait_metric("sutazai_docker_events_connected", {}, lambda value: value == 1)
    wait_for(
        lambda: any(
            run["trigger"] == "event" and not run["target"] and "lost" in run["why"]
            for run in daemon.get("/api/v1/runs?task=agent-monitor").json()["runs"]
        ),
        60,
        "a run of all agents after the events were lost",
    )
