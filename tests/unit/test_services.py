"""The private services do what tests of the exporter rely on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest
import redis
import requests

from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE, NOSHELL_IMAGE
from tests.services.ports import free_port
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer
from tests.services.wait import wait_for


def test_postgres_wants_the_password(postgres_server: PostgresServer) -> None:
    assert postgres_server.execute("SELECT current_database()") == [("sutazai",)]
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(postgres_server.dsn_of("sutazai", password="wrong"))


def test_postgres_can_be_paused_killed_and_started_again(postgres_factory: Callable[..., PostgresServer]) -> None:
    server = postgres_factory(max_connections=7)
    server.execute("CREATE TABLE kept AS SELECT 1 AS one")
    server.pause()
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(server.dsn, connect_timeout=2)
    server.resume()
    server.kill()
    server.start()
    assert server.execute("SELECT one FROM kept") == [(1,)]
    assert server.execute("SHOW max_connections") == [("7",)]


def test_redis_wants_the_password(redis_server: RedisServer) -> None:
    assert redis_server.client().ping()
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(redis_server.url_without_password).ping()


def test_redis_can_be_caught_loading(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory()
    client = server.client()
    client.mset({f"key{i}": "value" for i in range(2000)})
    client.save()
    server.stop()
    server.start(wait=False, key_load_delay=5000, loading_process_events_interval_bytes=1024)

    def loading() -> bool:
        try:
            return not server.client().ping()
        except redis.BusyLoadingError:
            return True

    assert wait_for(loading, 10, "Redis says LOADING", ignoring=(redis.ConnectionError,))


def test_an_agent_becomes_unhealthy_and_stops_quickly(docker_clean: DockerEngine) -> None:
    port = free_port()
    docker_clean.run(AGENT_IMAGE, "agent", port=port)
    assert requests.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200
    docker_clean.set_health("agent", healthy=False)
    assert requests.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 404
    docker_clean.cli("stop", "agent")
    assert docker_clean.state("agent")["ExitCode"] == 0, "stopped by SIGTERM, not killed after ten seconds"


def test_a_check_runs_in_an_image_with_a_shell_and_fails_in_one_without(docker_clean: DockerEngine) -> None:
    second = 1_000_000_000
    check = {"test": ["CMD-SHELL", "test -f /www/health"], "interval": second, "timeout": 5 * second, "retries": 1}

    def health(name: str) -> str:
        status: str = docker_clean.state(name)["Health"]["Status"]
        return "" if status == "starting" else status

    docker_clean.run(AGENT_IMAGE, "with", port=free_port(), healthcheck=check)
    docker_clean.run(NOSHELL_IMAGE, "without", port=free_port(), healthcheck=check)
    assert wait_for(lambda: health("with"), 30, "a verdict") == "healthy"
    assert wait_for(lambda: health("without"), 30, "a verdict") == "unhealthy"


def test_an_engine_leaves_nothing_behind() -> None:
    before = Path("/var/run/docker.sock").exists()
    engine = DockerEngine()
    engine.run(AGENT_IMAGE, "left-running", port=free_port())
    engine.cli("pause", "left-running")
    engine.close()
    name = engine.directory.name
    assert not engine.directory.exists()
    assert name not in Path("/proc/self/mounts").read_text()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{name}"))
    assert Path("/var/run/docker.sock").exists() == before
