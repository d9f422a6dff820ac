"""Everything that dashboards show, for real: services, agents, eight jobs, alerts, and a Prometheus that scrapes it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

from exporter.bridge.remediation.bundled import rules_of
from exporter.config import load
from jobs.performance import series
from tests.services.alertmanager import Alertmanager, to_webhook
from tests.services.dashboard_past import remember, stored_before
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE, HEALTH_FILE
from tests.services.exporter_daemon import ExporterDaemon, run_cli
from tests.services.http_agent import HttpAgent
from tests.services.ollama_stub import OllamaStub
from tests.services.ports import free_port
from tests.services.postgres import PostgresServer
from tests.services.postgres_standby import PostgresStandby
from tests.services.process import private_directory, remove_directory
from tests.services.prometheus import Prometheus, scraping
from tests.services.redis import RedisServer
from tests.services.short_rules import shortened_rules
from tests.services.tls_server import TlsServer
from tests.services.trial_jobs import operator, start
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
(_RESTART,) = (rule for rule in rules_of(load(environment={}).settings) if rule.name == "restart-agent")
RESTART = {**_RESTART.model_dump(mode="json"), "labels": {"agent": WORKER}}
"""The bundled remediation, for one agent alone: the other one must be given up, however often it is down."""
FAILING = ("database-maintenance", "log-rotation", "performance-report", "security-scan")
"""Tasks that take no target: a run with one ends in an error."""
OWN_FIGURES = b'{"total_requests": %d, "avg_response_time": 0.2, "error_rate": 0.01}'


class DashboardWorld:
    """It is made in the order in which things happen. They began at `since` (Unix seconds)."""

    def __init__(self, engine: DockerEngine) -> None:
        self._engine, self._open, self.since = engine, ExitStack(), time.time()
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
        self.run(*(task for task in MODES if task != "backup-verification"))
        self.run("backup-verification")
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
        self.postgres.execute(
            "CREATE TABLE people AS SELECT i AS id, md5(i::text) AS name FROM generate_series(1, 500) i"
        )
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
        self._engine.run(AGENT_IMAGE, BROKEN, port=self._ports[BROKEN], mem_limit="256m")
        heals = ["/bin/sh", "-c", f"touch {HEALTH_FILE}; . /serve"]
        self._engine.run(AGENT_IMAGE, WORKER, port=self._ports[WORKER], mem_limit="256m", command=heals)

    def _files(self) -> None:
        """A certificate that is served, a log to rotate, and a past of everything that is judged by one."""
        self.base_dir = self.directory / "base"
        done = run_cli("run", "certificate-renewal", base_dir=self.base_dir, config={"docker": self._docker()})
        ssl = self.base_dir / "ssl"
        assert (ssl / "cert.pem").exists(), done.stderr
        self._tls = self._open.enter_context(TlsServer(ssl / "cert.pem", ssl / "key.pem", self.directory))
        run_cli("run", "log-rotation", "--mode", "watch", base_dir=self.base_dir)
        self._age_sizes_of_logs(600)
        self.write_log()
        speed, gpu, first = series.MODEL_SPEED, series.MODEL_GPU, series.MODEL_FIRST_TOKEN
        usual = {speed.series(MODEL): (140.0, 140.0), gpu.series(MODEL): (0.5, 0.5), first.series(MODEL): (0.1, 0.1)}
        answers = {series.AGENT_RESPONSE.series(name): (0.02, 0.03) for name in (WORKER, BROKEN, TELLING)}
        remember(self.base_dir, 40, {**usual, **answers, "disk_used_bytes//": (1e6, 1e9)})

    def _age_sizes_of_logs(self, seconds: float) -> None:
        """Growth is measured over a minute at least."""
        file = self.base_dir / "data" / "log-rotation" / "state.json"
        state = json.loads(file.read_text())
        state["sizes_at"]["since_boot_seconds"] -= seconds
        file.write_text(json.dumps(state))

    def _docker(self) -> dict[str, Any]:
        return {"url": self._engine.url, "timeout_seconds": 30}

    def _config(self) -> dict[str, Any]:
        cache_dir = self.directory / "trivy-cache"
        make_database(cache_dir)
        images = {str(image.id): "without-packages" for image in self._engine.client.images.list()}
        trivy = {"program": program(RECORDED, self.directory, images), "cache_dir": cache_dir}
        listed = [{"name": name, "port": port} for name, port in {**self._ports, TELLING: self._own.port}.items()]
        standby = {"name": "standby", "dsn": self.standby.dsn}
        return {
            "docker": self._docker(),
            "agents": {"listed": listed, "timeout_seconds": 5},
            "postgres": {"dsn": self.postgres.dsn, "servers": [standby], "connect_timeout_seconds": 20},
            "redis": {"url": self.redis.url},
            "ollama": {"url": self.ollama.url, "canary_model": MODEL},
            "remediation": {"mode": "auto", "rules": [RESTART]},
            "notifications": {"webhook": {"url": f"{self._own.url}/hook"}},
            "jobs": {
                "agent_monitor": {
                    "max_restarts_per_hour": 2, "backoff_seconds": 0, "stop_timeout_seconds": 1,
                    "recovery_timeout_seconds": 3,
                },
                "certificate_renewal": {"endpoints": [{"address": self._tls.address, "certificate": "ssl/cert.pem"}]},
                "log_rotation": {"max_log_size_mb": 1, "min_free_mb": 0},
                "database_maintenance": {"backup_min_free_mb": 1},
                "performance_report": {"model_probe_interval_seconds": 1},
                "security_scan": {
                    "disabled_scanners": ["semgrep", "services", "tls", "listening"],
                    "containers": {"trivy": trivy},
                    "configuration": {"servers": False},
                    "filesystem": {"full_directories": [], "full_search_directories": [], "run_by_root": []},
                },
            },
        }  # fmt: skip

    # What happens

    def run(self, *tasks: str) -> None:
        """Run tasks side by side, each in the mode that shows most, and wait until they are through."""
        self._run({task: {"mode": MODES[task]} for task in tasks}, "ok")

    def _run(self, asked: Mapping[str, Mapping[str, str]], outcome: str) -> None:
        """Run tasks side by side, and wait until each has ended as it should."""
        before = {task: self._start(task, body) for task, body in asked.items()}
        for task, body in asked.items():
            # The schedule asked for the same task at this moment: its run may still be under way.
            while (ended := self._wait(task, before[task])) == "skipped":
                before[task] = self._start(task, body)
            assert ended == outcome, (task, ended, self.daemon.log())

    def _start(self, task: str, body: Mapping[str, str]) -> set[int]:
        """Have the daemon start a task; return which runs of it that it was asked for had ended by then."""
        before = set(self._ended(task))
        start(self.daemon, self._headers, task=task, **body)
        return before

    def _wait(self, task: str, before: set[int]) -> str:
        """How the run ended that was not among those before."""

        def ended() -> list[str]:
            return [outcome for run, outcome in self._ended(task).items() if run not in before]

        return wait_for(ended, 120, f"the run of {task} has ended", detail=self.daemon.log)[0]

    def _ended(self, task: str) -> dict[int, str]:
        runs = self.daemon.get(f"/api/v1/runs?task={task}").json()["runs"]
        return {run["run_id"]: run["outcome"] for run in runs if run["trigger"] == "api" and run["outcome"]}

    def _watching(self) -> Prometheus:
        """A Prometheus that has seen the exporter a day and a week ago, and whose alerts come back to the exporter."""
        secret = operator(self.daemon, "alert")["Authorization"].removeprefix("Bearer ")
        manager = self._kept(Alertmanager(to_webhook(f"{self.daemon.url}/api/v1/alerts", token=secret)))
        config = scraping({"sutazai": self.daemon.port}, alertmanager_port=manager.port)
        made = self._kept(Prometheus(config, rules=shortened_rules(self.directory)))
        made.stop()
        labels = {"job": "sutazai", "instance": f"127.0.0.1:{self.daemon.port}"}
        past = [timedelta(days=days, minutes=minutes) for days in (8, 1) for minutes in (1, 0, -1)]
        stored_before(made.directory / "data", self.daemon.get("/metrics").text, labels, past)
        made.start()
        made.wait_query('count_over_time(up{job="sutazai"}[1m])', lambda found: found and found[0][1] >= 3)
        return made

    def _happen(self) -> None:
        """While Prometheus looks: agents die, logs are rotated, tasks run and fail, and an alert is answered."""
        self._engine.cli("kill", WORKER)
        self._give_up(BROKEN)
        self.write_log()
        self._run({task: {"target": "a-thing"} for task in FAILING}, "error")
        self.run("log-rotation", "health-check")
        self._wait_restarts(WORKER, "recovered", 1)
        self._remedy(WORKER)
        sent = {"channel": "webhook", "result": "sent"}
        self.daemon.wait_metric("sutazai_notifications_total", sent, lambda count: count >= 1, 60)
        self.daemon.post("/api/v1/alerts", data=b"no alerts", headers=operator(self.daemon, "alert"))

    def _give_up(self, agent: str) -> None:
        """Have an agent be restarted in vain until it is left alone.

        It is down already where the schedule has come in between, and has had the next restart made.
        """
        self._engine.set_health(agent, healthy=False)
        for count in (1, 2):
            self._engine.cli("kill", agent, check=False)
            self._wait_restarts(agent, "failed", count)
        self._engine.cli("kill", agent, check=False)
        self.daemon.wait_metric("sutazai_agent_quarantined", {"agent": agent}, lambda value: value == 1)

    def _wait_restarts(self, agent: str, result: str, count: int) -> None:
        labels = {"agent": agent, "result": result}
        self.daemon.wait_metric("sutazai_agent_restarts_total", labels, lambda value: value >= count, 60)

    def _remedy(self, agent: str) -> None:
        """Have an agent be ill, for too short a time for the monitor to act, until its alert has it restarted."""
        self._engine.set_health(agent, healthy=False)
        self.run("agent-monitor")
        done = {"remediation": "restart-agent", "state": "verified"}
        self.daemon.wait_metric("sutazai_remediations_total", done, lambda count: count >= 1, 90)

    def write_log(self) -> None:
        """A log beyond the limit."""
        log = self.base_dir / "logs" / "application.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("a line\n" * 300_000)

    def _kept(self, service: Any) -> Any:
        self._open.callback(service.close)
        return service
