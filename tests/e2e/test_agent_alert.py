"""From a container's death to a firing alert and back, with the real parts: engine, daemon, rules, Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.exporter_daemon import ExporterDaemon, only
from tests.services.ports import free_port
from tests.services.prometheus import Prometheus, scraping
from tests.services.short_rules import shortened_rules

AGENT = "e2e-orchestrator"
RECOVERED = ("sutazai_agent_restarts_total", {"agent": AGENT, "result": "recovered"})


@pytest.fixture
def agent_port(docker_clean: DockerEngine) -> int:
    port = free_port()
    docker_clean.run(AGENT_IMAGE, AGENT, port=port)
    return port


@pytest.fixture
def daemon(exporter_daemon: Callable[..., ExporterDaemon], docker_engine: DockerEngine, agent_port: int) -> Any:
    return exporter_daemon(
        {
            "docker": {"url": docker_engine.url},
            "agents": {"listed": [{"name": AGENT, "port": agent_port}], "timeout_seconds": 5},
            "jobs": only(agent_monitor={"max_restarts_per_hour": 1, "backoff_seconds": 0, "stop_timeout_seconds": 1}),
        }
    )


def restarts(daemon: ExporterDaemon) -> float:
    return float(daemon.metrics().value("sutazai_agent_restarts_total", agent=AGENT, result="recovered"))


def test_a_killed_agent_comes_back_by_its_event_and_beyond_its_budget_an_alert_fires_until_it_is_released(
    daemon: ExporterDaemon,
    docker_engine: DockerEngine,
    prometheus_factory: Callable[..., Prometheus],
    run_cli: Callable[..., Any],
    tmp_path: Path,
) -> None:
    prometheus = prometheus_factory(scraping({"sutazai": daemon.port}), rules=shortened_rules(tmp_path))
    prometheus.wait_up("sutazai")
    daemon.wait_metric("sutazai_docker_events_connected", {}, lambda value: value == 1)
    daemon.wait_metric("sutazai_agent_up", {"agent": AGENT}, lambda value: value == 1)

    # Within its budget a killed agent is brought back, without waiting for the schedule.
    # (Waiting ends long before the schedule's next look.)
    docker_engine.cli("kill", AGENT)
    daemon.wait_metric(*RECOVERED, lambda value: value == 1)
    assert docker_engine.state(AGENT)["Running"]
    daemon.wait_metric("sutazai_agent_up", {"agent": AGENT}, lambda value: value == 1)
    evidence = list((daemon.base_dir / "data" / "agent-monitor" / "evidence").glob(f"{AGENT}_*.json"))
    assert len(evidence) == 1

    # With the budget spent it stays down, and Prometheus says so.
    docker_engine.cli("kill", AGENT)
    daemon.wait_metric("sutazai_agent_quarantined", {"agent": AGENT}, lambda value: value == 1)
    down = prometheus.wait_alert("AgentDown")
    assert down["labels"]["agent"] == AGENT
    assert prometheus.wait_alert("AgentQuarantined")["labels"]["severity"] == "critical"
    assert not docker_engine.state(AGENT)["Running"]
    assert restarts(daemon) == 1

    # Released through the API it comes back, and the alerts resolve.
    token = run_cli("token", "create", "--name", "e2e", "--scope", "operate", base_dir=daemon.base_dir).stdout.strip()
    released = daemon.post(f"/api/v1/agents/{AGENT}/release", headers={"Authorization": f"Bearer {token}"})
    assert released.status_code == 202
    daemon.wait_metric("sutazai_agent_up", {"agent": AGENT}, lambda value: value == 1)
    daemon.wait_metric("sutazai_agent_quarantined", {"agent": AGENT}, lambda value: value == 0)
    assert docker_engine.state(AGENT)["Running"]
    prometheus.wait_no_alert("AgentDown")
    prometheus.wait_no_alert("AgentQuarantined")


def test_released_from_the_command_line_an_agent_comes_back_and_the_daemon_shows_it(
    daemon: ExporterDaemon, docker_engine: DockerEngine, run_cli: Callable[..., Any]
) -> None:
    daemon.wait_metric("sutazai_agent_up", {"agent": AGENT}, lambda value: value == 1)
    daemon.wait_metric("sutazai_docker_events_connected", {}, lambda value: value == 1)
    docker_engine.cli("kill", AGENT)
    daemon.wait_metric(*RECOVERED, lambda value: value == 1)
    docker_engine.cli("kill", AGENT)
    daemon.wait_metric("sutazai_agent_quarantined", {"agent": AGENT}, lambda value: value == 1)

    released = run_cli("agents", "release", AGENT, "--config.file", str(daemon.config_file), base_dir=daemon.base_dir)

    assert released.returncode == 0, released.stderr
    daemon.wait_metric("sutazai_agent_quarantined", {"agent": AGENT}, lambda value: value == 0)
    daemon.wait_metric("sutazai_agent_up", {"agent": AGENT}, lambda value: value == 1)


def test_an_agent_stopped_by_a_person_is_reported_and_left_alone(
    daemon: ExporterDaemon, docker_engine: DockerEngine
) -> None:
    daemon.wait_metric("sutazai_agent_up", {"agent": AGENT}, lambda value: value == 1)
    daemon.wait_metric("sutazai_docker_events_connected", {}, lambda value: value == 1)
    docker_engine.cli("stop", "-t", "1", AGENT)
    daemon.wait_metric("sutazai_agent_state", {"agent": AGENT, "state": "stopped"}, lambda value: value == 1)
    assert restarts(daemon) == 0
    assert not docker_engine.state(AGENT)["Running"]
