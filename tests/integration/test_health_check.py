"""The health check on real services: a whole stack that is well, then pieces of it that are not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.clients import Clients
from tests.health import check_health, clients_of, message, statuses, value, values
from tests.services.clocks import FakeClock
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.http_agent import HttpAgent
from tests.services.ollama_stub import OllamaStub
from tests.services.ports import free_port
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer
from tests.services.wait import wait_for


@pytest.fixture
def now() -> FakeClock:
    """A clock that shows the real date, as certificates are made for it, and is a little ahead of their making."""
    return FakeClock(datetime.now().astimezone() + timedelta(minutes=10))


def certificate(base_dir: Path, days: int) -> None:
    (base_dir / "ssl").mkdir()
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", str(days)]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(base_dir / "ssl" / "key.pem")]
    subprocess.run([*command, "-out", str(base_dir / "ssl" / "cert.pem")], check=True, capture_output=True)


def test_a_whole_stack_that_is_well(
    tmp_path: Path,
    now: FakeClock,
    postgres_server: PostgresServer,
    redis_server: RedisServer,
    ollama_stub: OllamaStub,
    docker_clean: DockerEngine,
    http_agent: Callable[..., HttpAgent],
) -> None:
    port = free_port()
    docker_clean.run(AGENT_IMAGE, "sutazai-orchestrator", port=port)
    certificate(tmp_path, days=90)
    (tmp_path / "logs").mkdir()
    backend = http_agent()
    clients = clients_of(
        tmp_path,
        now,
        docker={"url": docker_clean.url},
        postgres={"dsn": postgres_server.dsn},
        redis={"url": redis_server.url},
        ollama={"url": ollama_stub.url},
        agents={"listed": [{"name": "sutazai-orchestrator", "port": port}]},
        endpoints=[{"name": "backend", "url": f"{backend.url}/health"}],
    )
    result = check_health(clients, required_containers=["sutazai-orchestrator"])

    found = statuses(result)
    # How loaded and how full this machine is, is not ours to say.
    ours = {name: status for name, status in found.items() if not name.startswith(("load", "memory", "disk:"))}
    assert ours == dict.fromkeys(ours, "pass")
    assert {"docker", "containers", "postgres", "redis", "ollama", "endpoint:backend", "agents", "logs"} < set(ours)
    assert "certificate:ssl/cert.pem" in ours
    assert values(result, "sutazai_containers")["running",] == 1
    size = postgres_server.execute("SELECT pg_database_size('sutazai')")[0][0]
    assert value(result, "sutazai_postgres_database_size_bytes") == pytest.approx(size, rel=0.1)
    used = redis_server.client().info()["used_memory"]
    assert value(result, "sutazai_redis_memory_used_bytes") == pytest.approx(used, rel=0.5)
    assert value(result, "sutazai_ollama_models") == 2
    assert value(result, "sutazai_ollama_canary_seconds") > 0
    assert values(result, "sutazai_filesystem_size_bytes")["/",] > 0


def test_the_report_has_the_shape_of_the_scripts_it_replaces(tmp_path: Path, now: FakeClock) -> None:
    result = check_health(clients_of(tmp_path, now))
    assert result.report is not None
    report = json.loads(json.dumps(result.report))
    assert set(report) == {"timestamp", "hostname", "system_info", "checks", "summary"}
    assert set(report["system_info"]) == {"uptime", "load_average", "memory_usage", "disk_usage"}
    for check in report["checks"]:
        assert set(check) == {"name", "status", "message", "timestamp", "details"}
        assert check["status"] in ("PASS", "WARN", "FAIL", "UNKNOWN", "NOT_CONFIGURED")
        assert datetime.fromisoformat(check["timestamp"]).tzinfo
    summary = report["summary"]
    assert {"total_checks", "passed", "failed", "warnings", "status"} < set(summary)
    counted = [summary[key] for key in ("passed", "failed", "warnings", "unknown", "not_configured")]
    assert sum(counted) == summary["total_checks"] == len(report["checks"]) > 0
    assert (summary["status"], summary["score"]) == (result.status, result.score)


def test_configured_services_that_are_absent_are_down(tmp_path: Path, now: FakeClock) -> None:
    clients = clients_of(
        tmp_path,
        now,
        docker={"url": f"unix://{tmp_path}/docker.sock"},
        postgres={"dsn": f"postgresql://u@127.0.0.1:{free_port()}/x"},
        redis={"url": f"redis://127.0.0.1:{free_port()}/0"},
        ollama={"url": f"http://127.0.0.1:{free_port()}"},
        agents={"listed": [{"name": "a", "port": free_port()}]},
        endpoints=[{"name": "backend", "url": f"http://127.0.0.1:{free_port()}/"}],
    )
    result = check_health(clients, certificate_files=["ssl/mine.pem"])
    found = statuses(result)
    down = ("docker", "postgres", "redis", "ollama", "agents", "endpoint:backend", "certificate:ssl/mine.pem")
    assert {name: found[name] for name in down} == dict.fromkeys(down, "fail")
    assert found["containers"] == "unknown"
    assert (result.status, result.verdict, result.score) == ("CRITICAL", 3, 0)
    up = values(result, "sutazai_check_up")
    assert {name: up[name,] for name in down} == dict.fromkeys(down, 0)
    for family in ("postgres_database_size_bytes", "redis_memory_used_bytes", "ollama_models", "containers"):
        assert values(result, f"sutazai_{family}") == {}


def test_a_postgres_that_was_found_but_lets_nobody_in_is_unknown(
    tmp_path: Path, now: FakeClock, postgres_server: PostgresServer
) -> None:
    from jobs.clients.postgres import Postgres

    clients = clients_of(tmp_path, now)
    clients.postgres = Postgres(clients.world.postgres, socket_directory=tmp_path, port=postgres_server.port)
    result = check_health(clients)
    assert statuses(result)["postgres"] == "unknown"
    [finding] = [finding for finding in result.findings if finding.subject == "check/postgres"]
    assert "postgres.dsn" in finding.remedy
    assert result.verdict >= 1


def test_a_wrong_password_fails_and_stays_secret(
    tmp_path: Path, now: FakeClock, postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    canary = "canary-password"
    clients = clients_of(
        tmp_path,
        now,
        postgres={"dsn": postgres_server.dsn_of("sutazai", password=canary)},
        redis={"url": redis_server.url_without_password, "password": canary},
    )
    result = check_health(clients)
    assert (statuses(result)["postgres"], statuses(result)["redis"]) == ("fail", "fail")
    assert canary not in result.model_dump_json()


def test_paused_and_broken_containers_are_told(tmp_path: Path, now: FakeClock, docker_clean: DockerEngine) -> None:
    def checked(**settings: object) -> tuple[str, str]:
        result = check_health(clients_of(tmp_path, now, docker={"url": docker_clean.url}), **settings)
        return statuses(result)["containers"], "" if statuses(result)["containers"] == "pass" else message(
            result, "containers"
        )

    docker_clean.run(AGENT_IMAGE, "steady", port=free_port())
    assert checked() == ("pass", "")
    assert checked(required_containers=["database"]) == ("fail", "database does not run")

    docker_clean.run(AGENT_IMAGE, "frozen", port=free_port())
    docker_clean.client.containers.get("frozen").pause()
    assert checked() == ("warn", "frozen is paused")

    check = {"test": ["CMD", "false"], "interval": 10**9, "retries": 1}
    docker_clean.run(AGENT_IMAGE, "sick", port=free_port(), healthcheck=check)
    wait_for(lambda: docker_clean.state("sick")["Health"]["Status"] == "unhealthy", 30, "sick is unhealthy")
    assert checked() == ("fail", "sick is unhealthy; frozen is paused")


def test_a_certificate_near_its_end_warns_and_a_corrupt_one_fails(tmp_path: Path, now: FakeClock) -> None:
    certificate(tmp_path, days=10)
    clients = clients_of(tmp_path, now)
    result = check_health(clients)
    assert statuses(result)["certificate:ssl/cert.pem"] == "warn"
    (tmp_path / "ssl" / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\nnot really\n-----END CERTIFICATE-----\n")
    result = check_health(clients)
    assert statuses(result)["certificate:ssl/cert.pem"] == "fail"


def test_an_outgrown_log_warns(tmp_path: Path, now: FakeClock) -> None:
    (tmp_path / "logs").mkdir()
    with (tmp_path / "logs" / "big.log").open("wb") as log:
        log.truncate(3 * 2**20)
    clients: Clients = clients_of(tmp_path, now)
    assert statuses(check_health(clients, max_log_size_mb=3))["logs"] == "pass"
    result = check_health(clients, max_log_size_mb=2)
    assert statuses(result)["logs"] == "warn"
    assert value(result, "sutazai_log_files_oversize") == 1


def test_a_disk_without_inodes_fails_by_name(tmp_path: Path, now: FakeClock) -> None:
    from tests.services.binaries import need, need_root

    need_root("mounting")
    image, point = tmp_path / "image", tmp_path / "disk"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(16 * 2**20)
    subprocess.run([need("mkfs.ext4", package="e2fsprogs"), "-q", "-N", "32", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=True)
    try:
        with pytest.raises(OSError):
            for number in range(40):
                (point / str(number)).touch()
        result = check_health(clients_of(tmp_path, now))
    finally:
        subprocess.run(["umount", str(point)], check=True)
    assert statuses(result)[f"disk:{point}"] == "fail"
    assert "100.0 % of inodes" in message(result, f"disk:{point}")
    assert values(result, "sutazai_filesystem_inodes_used_ratio")[str(point),] == 1
    assert values(result, "sutazai_filesystem_used_ratio")[str(point),] < 0.5
