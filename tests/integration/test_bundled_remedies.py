"""The bundled remediations, each with the real jobs and a real fault: webhook in, fault mended, seen by a new look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.services.certificates import make
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.maintenance import DIRTY, postgres_of
from tests.services.ports import free_port
from tests.services.postgres import PostgresServer
from tests.services.sent_alerts import post, sent
from tests.services.trial_jobs import operator, start
from tests.services.wait import wait_for

DATABASE = "remedied"
OFF: dict[str, Any] = {"schedule": []}
UNSCHEDULED = (
    *("health_check", "log_rotation", "database_maintenance", "certificate_renewal", "performance_report"),
    *("security_scan", "backup_verification"),
)


def jobs(**given: dict[str, Any]) -> dict[str, Any]:
    """The section of the jobs: none runs by itself but the agent monitor."""
    return {**dict.fromkeys(UNSCHEDULED, OFF), **given}


def fire(daemon: ExporterDaemon, name: str, **labels: str) -> None:
    """Send an alert as Alertmanager does."""
    told = sent(labels={"alertname": name, "severity": "critical", **labels})
    answer = post(daemon, operator(daemon, "alert"), told)
    assert answer.status_code == 200, answer.text


def wait_over(daemon: ExporterDaemon) -> dict[str, Any]:
    """Wait until the remediation is verified, or has failed an attempt, and return it."""

    def over() -> list[dict[str, Any]]:
        found = daemon.get("/api/v1/remediations").json()["remediations"]
        begun = [entry for entry in found if entry["attempts"] or entry["state"] == "refused"]
        return [entry for entry in begun if entry["state"] not in ("running", "verifying")]

    return wait_for(over, 120, "the remediation is over", detail=daemon.log)[0]


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "discovered"])
def test_an_agent_that_is_down_is_restarted_though_the_monitor_may_not(
    docker_clean: DockerEngine, exporter_daemon: Callable[..., ExporterDaemon], listed: bool
) -> None:
    port = free_port()
    labels = {} if listed else {"sutazai.agent": "true"}
    docker_clean.run(AGENT_IMAGE, "agent-a", port=port, labels=labels)
    agents = [{"name": "agent-a", "port": port}] if listed else []
    daemon = exporter_daemon(
        {
            "docker": {"url": docker_clean.url},
            "agents": {"listed": agents, "timeout_seconds": 5},
            "remediation": {"mode": "auto"},
            "jobs": jobs(agent_monitor={"auto_restart": False}),
        }
    )
    daemon.wait_metric("sutazai_agent_up", {"agent": "agent-a"}, lambda value: value == 1)
    docker_clean.cli("kill", "agent-a")
    daemon.wait_metric("sutazai_agent_up", {"agent": "agent-a"}, lambda value: value == 0)
    fire(daemon, "AgentDown", agent="agent-a")
    entry = wait_over(daemon)
    assert (entry["state"], entry["task"], entry["target"]) == ("verified", "agent-monitor", "agent-a"), entry
    assert docker_clean.state("agent-a")["Running"]


@pytest.mark.parametrize("alert", ["CertificateExpiring", "CertificateExpiryImminent", "CertificateInvalid"])
def test_a_certificate_that_is_not_there_is_made(exporter_daemon: Callable[..., ExporterDaemon], alert: str) -> None:
    daemon = exporter_daemon(
        {"remediation": {"mode": "auto"}, "jobs": jobs(agent_monitor=OFF), "agents": {"listed": []}}
    )
    fire(daemon, alert, certificate="ssl/cert.pem")
    assert wait_over(daemon)["state"] == "verified"
    assert (daemon.base_dir / "ssl" / "cert.pem").exists()


def test_a_certificate_that_cannot_be_used_is_made_anew(exporter_daemon: Callable[..., ExporterDaemon]) -> None:
    daemon = exporter_daemon(
        {"remediation": {"mode": "auto"}, "jobs": jobs(agent_monitor=OFF), "agents": {"listed": []}}
    )
    pair, unusable = daemon.base_dir / "ssl", {"certificate": "ssl/cert.pem"}
    start(daemon, task="certificate-renewal")
    daemon.wait_metric("sutazai_certificate_valid", unusable, lambda value: value == 1)
    before = (pair / "cert.pem").read_bytes()
    (pair / "key.pem").write_bytes(make().key_pem)
    fire(daemon, "CertificateInvalid", **unusable)
    assert wait_over(daemon)["state"] == "verified", daemon.log()
    assert (pair / "cert.pem").read_bytes() != before


@pytest.mark.parametrize(
    ("alert", "percent", "state"),
    [("DiskUsageHigh", 100, "verified"), ("DiskUsageHigh", 0.001, "due"), ("DiskFullSoon", 100, "verified")],
)
def test_a_full_disk_is_judged_by_a_new_look_at_it(
    exporter_daemon: Callable[..., ExporterDaemon], alert: str, percent: float, state: str
) -> None:
    daemon = exporter_daemon(
        {
            "remediation": {"mode": "auto"},
            "thresholds": {"max_disk_percent": percent, "critical_disk_percent": 100},
            "jobs": jobs(agent_monitor=OFF),
            "agents": {"listed": []},
        }
    )
    fire(daemon, alert, mountpoint="/")
    entry = wait_over(daemon)
    assert (entry["state"], entry["task"]) == (state, "log-rotation"), entry


def test_a_disk_that_is_not_there_is_not_taken_for_one_that_does_not_fill(
    exporter_daemon: Callable[..., ExporterDaemon],
) -> None:
    daemon = exporter_daemon(
        {"remediation": {"mode": "auto"}, "jobs": jobs(agent_monitor=OFF), "agents": {"listed": []}}
    )
    fire(daemon, "DiskFullSoon", mountpoint="/nowhere")
    entry = wait_over(daemon)
    assert entry["state"] == "due"
    assert "was not seen by health-check" in entry["detail"]


@pytest.fixture
def dirty(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server with a database of which half the rows are dead."""
    postgres_server.create_database(DATABASE)
    for statement in DIRTY.format(name="words", rows=20000).split(";"):
        postgres_server.execute(statement, database=DATABASE)
    postgres_server.execute("SELECT pg_stat_force_next_flush()", database=DATABASE)
    yield postgres_server
    postgres_server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)", database="postgres")


@pytest.fixture
def databases(dirty: PostgresServer, exporter_daemon: Callable[..., ExporterDaemon]) -> ExporterDaemon:
    """A daemon that looks after that database."""
    return exporter_daemon(
        {
            "remediation": {"mode": "auto"},
            "postgres": postgres_of(dirty, DATABASE),
            "agents": {"listed": []},
            "jobs": jobs(agent_monitor=OFF),
        }
    )


def test_dead_rows_are_cleaned_away(databases: ExporterDaemon) -> None:
    fire(databases, "PostgresDeadRows", server="main", database=DATABASE)
    assert wait_over(databases)["state"] == "verified", databases.log()
    runs = databases.get("/api/v1/runs").json()["runs"]
    (cleaned,) = [run["run_id"] for run in runs if run["mode"] == "vacuum"]
    assert "words" in str(databases.get(f"/api/v1/runs/{cleaned}").json()["result"]["actions"])
    assert not (databases.base_dir / "backups" / "postgres").exists()


def test_a_backup_is_made_and_verified(databases: ExporterDaemon) -> None:
    fire(databases, "BackupTooOld", kind="database", source=f"main/{DATABASE}")
    entry = wait_over(databases)
    assert entry["state"] == "verified", entry
    assert list((databases.base_dir / "backups").rglob("*.manifest.json"))
