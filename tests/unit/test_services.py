"""The private services do what tests of the exporter rely on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest
import redis

from tests.services.alertmanager import Alertmanager, amtool, promtool, to_webhook
from tests.services.clocks import Faketime
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE, NOSHELL_IMAGE
from tests.services.exporter_daemon import REPOSITORY
from tests.services.http_agent import HttpAgent
from tests.services.local_http import ask, get_json
from tests.services.node_exporter import NodeExporter
from tests.services.ollama_stub import Mode, OllamaStub
from tests.services.ports import free_port
from tests.services.postgres import PostgresServer
from tests.services.prometheus import Prometheus, scraping
from tests.services.redis import RedisServer
from tests.services.trees import tree_digest
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

    assert wait_for(loading, 60, "Redis says LOADING", ignoring=(redis.ConnectionError,))


def test_an_agent_becomes_unhealthy_and_stops_quickly(docker_clean: DockerEngine) -> None:
    port = free_port()
    docker_clean.run(AGENT_IMAGE, "agent", port=port)
    assert ask("GET", f"http://127.0.0.1:{port}/health").status_code == 200
    docker_clean.set_health("agent", healthy=False)
    assert ask("GET", f"http://127.0.0.1:{port}/health").status_code == 404
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


_RULE = """
groups:
  - name: test
    rules:
      - alert: TargetDown
        expr: up == 0
        labels: {severity: critical}
"""


def test_a_dead_target_becomes_an_alert_that_reaches_the_webhook_and_resolves(
    tmp_path: Path,
    http_agent: Callable[..., HttpAgent],
    node_exporter: Callable[..., NodeExporter],
    alertmanager_factory: Callable[..., Alertmanager],
    prometheus_factory: Callable[..., Prometheus],
) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(_RULE)
    assert promtool("check", "rules", str(rules)).returncode == 0
    (tmp_path / "one.prom").write_text("sutazai_test 7\n")
    exporter, webhook = node_exporter(tmp_path), http_agent()
    assert exporter.metrics().value("sutazai_test") == 7
    assert exporter.metrics().value("node_textfile_scrape_error") == 0

    manager = alertmanager_factory(to_webhook(f"{webhook.url}/hook"))
    prometheus = prometheus_factory(scraping({"node": exporter.port}, alertmanager_port=manager.port), [rules])
    prometheus.wait_up("node")
    assert prometheus.query("sutazai_test + 1")[0][1] == 8
    exporter.stop()
    assert prometheus.wait_alert("TargetDown")["labels"]["severity"] == "critical"
    manager.wait_alert("TargetDown")
    wait_for(lambda: webhook.requests, 30, "the webhook is told")
    assert b"TargetDown" in webhook.requests[0][2]
    exporter.start()
    prometheus.wait_no_alert("TargetDown")


def test_amtool_finds_a_receiver_that_is_not_there(tmp_path: Path) -> None:
    config = tmp_path / "alertmanager.yml"
    config.write_text("route: {receiver: nobody}\nreceivers: []\n")
    checked = amtool("check-config", str(config))
    assert checked.returncode != 0
    assert "nobody" in checked.stdout + checked.stderr


def test_faketime_moves_the_wall_clock_of_a_running_process_only(faketime: Faketime) -> None:
    program = "import sys, time\nfor _ in sys.stdin: print(time.time(), time.monotonic(), flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, **faketime.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def offset() -> float:
        assert process.stdin and process.stdout
        process.stdin.write("\n")
        process.stdin.flush()
        wall, monotonic = map(float, process.stdout.readline().split())
        assert abs(monotonic - time.monotonic()) < 5
        return wall - time.time()

    try:
        assert abs(offset()) < 5
        for seconds in (3 * 86400, -7200):
            faketime.move(seconds)
            assert abs(offset() - seconds) < 5
    finally:
        process.kill()
        process.communicate()


def test_the_ollama_stub_lists_while_its_generation_is_dead(ollama_stub: OllamaStub) -> None:
    asked = {"model": "tinyllama", "prompt": "Hi", "stream": False}
    assert ask("POST", f"{ollama_stub.url}/api/generate", json=asked).json()["done"]
    ollama_stub.generation = Mode.DEAD
    assert ask("POST", f"{ollama_stub.url}/api/generate", json=asked).status_code == 500
    assert [m["name"] for m in get_json(f"{ollama_stub.url}/api/tags")["models"]] == sorted(ollama_stub.models)
    assert [m["name"] for m in get_json(f"{ollama_stub.url}/api/ps")["models"]] == ["tinyllama:latest"]


def test_a_digest_sees_a_change_of_content_mode_and_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    before = tree_digest(tmp_path)
    assert tree_digest(tmp_path) == before
    (tmp_path / "a").write_text("b")
    changed = tree_digest(tmp_path)
    (tmp_path / "a").chmod(0o600)
    tightened = tree_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({str(d) for d in (before, changed, tightened, tree_digest(tmp_path))}) == 4


_SKIPPING = """
import pytest
def test_in_body(): pytest.skip("no service")
@pytest.mark.skip(reason="marked")
def test_marked(): pass
@pytest.mark.xfail
def test_wrong(): assert False
"""


_SKIPPED_WHOLE = "import pytest; pytest.importorskip('no_such_library')"


@pytest.mark.parametrize(
    ("ci", "expected"),
    [
        ("true", ["1 failed, 1 xfailed, 2 errors", "ERROR at setup of test_marked", "ERROR collecting test_whole.py"]),
        ("", ["3 skipped, 1 xfailed"]),
    ],
)
def test_with_ci_what_is_skipped_has_failed(tmp_path: Path, ci: str, expected: list[str]) -> None:
    (tmp_path / "test_one.py").write_text(_SKIPPING)
    (tmp_path / "test_whole.py").write_text(_SKIPPED_WHOLE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "--import-mode=importlib",
            "--continue-on-collection-errors", str(tmp_path),
        ],
        cwd=tmp_path,
        # Other plug-ins have no part in it, and take as long again to load.
        env={**os.environ, "CI": ci, "PYTHONPATH": str(REPOSITORY), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip
    assert [line for line in expected if line not in done.stdout] == [], done.stdout + done.stderr
    assert (done.returncode != 0) == bool(ci)
