"""Everything that the dashboards show, for real: services, agents, eight jobs, alerts, and a Prometheus that scrapes it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.performance import series
from tests.services.dashboard_past import remember, stored_before
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.exporter_daemon import REPOSITORY, ExporterDaemon, run_cli
from tests.services.http_agent import HttpAgent
from tests.services.ollama_stub import OllamaStub
from tests.services.ports import free_port
from tests.services.postgres import PostgresServer
from tests.services.postgres_standby import PostgresStandby
from tests.services.process import private_directory, remove_directory
from tests.services.prometheus import Prometheus, scraping
from tests.services.redis import RedisServer
from tests.services.tls_server import TlsServer
from tests.services.trial_jobs import operator
from tests.services.trivy import RECORDED, make_database, program
from tests.services.wait import wait_for

WORKER, BROKEN, TELLING = "worker", "broken", "telling"
"""Agents: one that comes back, one that does not, and one that tells figures of its own."""
MODEL = "llama3:latest"
MODES = {
    "agent-monitor": "check", "backup-verification": "full", "certificate-renewal": "standard",
    "database-maintenance": "standard", "health-check": "full", "log-rotation": "force",
    "performance-report": "daily", "security-scan": "standard",
}  # fmt: skip
OWN_FIGURES = b'{"total_requests": %d, "avg_response_time": 0.2, "error_rate": 0.01}'


class DashboardWorld:
    """It is made in the order in which things happen; `prometheus` has seen from `since` on what happened last."""

    def __init__(self, engine: DockerEngine) -> None:
        self._engine, self._open = engine, ExitStack()
        self.directory = private_directory("dashboards")
        self._open.callback(remove_directory, self.directory)
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End everything."""
        self._open.close()

    def _make(self) -> None:
        self._services()
        self._agents()
        self._files()
        self.daemon = self._kept(ExporterDaemon(self._config(), base_dir=self.base_dir))
        self._headers = operator(self.daemon)
        self.run(*MODES)
        self._own.body = OWN_FIGURES % 900
        self.run("performance-report")
        self.prometheus = self._watching()
        self._happen()

    # What there is

    def _services(self) -> None:
        self.postgres = self._kept(
            PostgresServer(wal_level="replica", max_wal_senders=4, shared_preload_libraries="pg_stat_statements")
        )
        self.postgres.execute("CREATE EXTENSION pg_stat_statements")
        self.postgres.execute("CREATE TABLE people AS SELECT i AS id, md5(i::text) AS name FROM generate_series(1, 500) i")
        self.standby = self._kept(PostgresStandby(self.postgres))
        self.redis = self._kept(RedisServer(maxmemory="64mb", save="3600 1"))
        with self.redis.client() as client:
            client.set("key", "value", ex=3600)
        self.ollama = self._kept(OllamaStub())
        self.ollama.loaded, self.ollama.gpu_ratio, self.ollama.words = {MODEL}, {MODEL: 0.5}, ["one"] * 16
        self.ollama.expires_at = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
        self._own = self._kept(HttpAgent(body=OWN_FIGURES % 100))

    def _agents(self) -> None:
        self._engine.clean()
        self._open.callback(self._engine.clean)
        self._ports = {WORKER: free_port(), BROKEN: free_port()}
        for name, port in self._ports.items():
            self._engine.run(AGENT_IMAGE, name, port=port, mem_limit="256m")

    def _files(self) -> None:
        """A certificate that is served, a log to rotate, and a past of everything that is judged by one."""
        self.base_dir = self.directory / "base"
        done = run_cli("run", "certificate-renewal", base_dir=self.base_dir, config={"docker": self._docker()})
        ssl = self.base_dir / "ssl"
        assert (ssl / "cert.pem").exists(), done.stderr
        self._tls = self._open.enter_context(TlsServer(ssl / "cert.pem", ssl / "key.pem", self.directory))
        self.write_log()
        speed, gpu, first = series.MODEL_SPEED, series.MODEL_GPU, series.MODEL_FIRST_TOKEN
        usual = {speed.series(MODEL): (140.0, 140.0), gpu.series(MODEL): (0.5, 0.5), first.series(MODEL): (0.1, 0.1)}
        answers = {series.AGENT_RESPONSE.series(name): (0.02, 0.03) for name in (WORKER, BROKEN, TELLING)}
        remember(self.base_dir, 40, {**usual, **answers, "disk_used_bytes//": (1e6, 1e9)})

    def _docker(self) -> dict[str, Any]:
        return {"url": self._engine.url, "timeout_seconds": 30}

    def _config(self) -> dict[str, Any]:
        cache_dir = self.directory / "trivy-cache"
        make_database(cache_dir)
        images = {str(image.id): "without-packages" for image in self._engine.client.images.list()}
        listed = [{"name": name, "port": port} for name, port in {**self._ports, TELLING: self._own.port}.items()]
        standby = {"name": "standby", "dsn": self.standby.dsn}
        return {
            "docker": self._docker(),
            "agents": {"listed": listed, "timeout_seconds": 5},
            "postgres": {"dsn": self.postgres.dsn, "servers": [standby], "connect_timeout_seconds": 20},
            "redis": {"url": self.redis.url},
            "ollama": {"url": self.ollama.url, "canary_model": MODEL},
            "notifications": {"webhook": {"url": f"{self._own.url}/hook"}},
            "jobs": {
                "agent_monitor": {
                    "max_restarts_per_hour": 1, "backoff_seconds": 0, "stop_timeout_seconds": 1,
                    "recovery_timeout_seconds": 3,
                },
                "certificate_renewal": {"endpoints": [{"address": self._tls.address, "certificate": "ssl/cert.pem"}]},
                "log_rotation": {"max_log_size_mb": 1, "min_free_mb": 0},
                "database_maintenance": {"backup_min_free_mb": 1},
                "performance_report": {"model_probe_interval_seconds": 1},
                "security_scan": {
                    "disabled_scanners": ["semgrep", "services", "tls", "listening"],
                    "containers": {"trivy": {"program": program(RECORDED, self.directory, images), "cache_dir": cache_dir}},
                    "configuration": {"servers": False},
                    "filesystem": {"full_directories": [], "full_search_directories": [], "run_by_root": []},
                },
            },
        }  # fmt: skip

    # What happens

    def run(self, *tasks: str) -> None:
        """Run tasks side by side, each in the mode that shows most, and wait until they are through."""
        for task in tasks:
            self.start(task, mode=MODES[task])
        for task in tasks:
            self.wait_run(task, "ok")

    def start(self, task: str, **body: str) -> None:
        """Have the daemon start a task."""
        self._before = getattr(self, "_before", {}) | {task: self._ended(task)}
        answer = self.daemon.post(f"/api/v1/tasks/{task}/start", json=body, headers=self._headers)
        assert answer.status_code == 202, answer.text

    def wait_run(self, task: str, outcome: str) -> None:
        """Wait until the run of a task that `start` asked for has ended so."""

        def ended() -> list[dict[str, Any]]:
            return [one for one in self._ended(task) if one not in self._before[task]]

        found = wait_for(ended, 120, f"the run of {task} has ended", detail=self.daemon.log)
        assert [one["outcome"] for one in found] == [outcome], found

    def _ended(self, task: str) -> list[dict[str, Any]]:
        runs = self.daemon.get(f"/api/v1/runs?task={task}").json()["runs"]
        return [run for run in runs if run["request"]["trigger"] == "api" and run["outcome"]]

    def _watching(self) -> Prometheus:
        """A Prometheus with the bundled rules, which has seen the exporter a day and up to two weeks ago."""
        rules = sorted((REPOSITORY / "alert_rules").glob("*.rules.yml"))
        made = self._kept(Prometheus(scraping({"sutazai": self.daemon.port}), rules=rules))
        made.stop()
        labels = {"job": "sutazai", "instance": f"127.0.0.1:{self.daemon.port}"}
        past = [timedelta(days=days, minutes=minutes) for days in (1, 8) for minutes in (-1, 0, 1)]
        stored_before(made.directory / "data", self.daemon.get("/metrics").text, labels, past)
        self.since = time.time()
        made.start()
        made.wait_query('count_over_time(up{job="sutazai"}[1m])', lambda found: found and found[0][1] >= 3)
        return made

    def _happen(self) -> None:
        """While Prometheus looks: agents die, logs are rotated, a run fails, tasks run again."""
        self._engine.set_health(BROKEN, healthy=False)
        for name in (WORKER, BROKEN):
            self._engine.cli("kill", name)
        self.write_log()
        self.start("performance-report", target="a-thing")
        self.wait_run("performance-report", "error")
        self.run("log-rotation", "security-scan", "health-check")
        restarts = "sutazai_agent_restarts_total"
        self.daemon.wait_metric(restarts, {"agent": WORKER, "result": "recovered"}, lambda count: count == 1)
        self.daemon.wait_metric(restarts, {"agent": BROKEN, "result": "failed"}, lambda count: count == 1)
        self._engine.cli("kill", BROKEN)
        self.daemon.wait_metric("sutazai_agent_quarantined", {"agent": BROKEN}, lambda value: value == 1)
        self.prometheus.wait_alert("AgentQuarantined")

    def write_log(self) -> None:
        """A log beyond the limit."""
        log = self.base_dir / "logs" / "application.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("a line\n" * 300_000)

    def _kept(self, service: Any) -> Any:
        self._open.callback(service.close)
        return service


def dashboard_world(engine: DockerEngine) -> Iterator[DashboardWorld]:
    """For a fixture."""
    world = DashboardWorld(engine)
    yield world
    world.close()
