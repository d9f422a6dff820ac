"""What every test can ask for: private instances of the real services, started when the first test needs them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.services.alertmanager import Alertmanager
from tests.services.clocks import FakeClock, Faketime
from tests.services.command_here import run_here
from tests.services.docker_engine import DockerEngine
from tests.services.exporter_daemon import ExporterDaemon, run_cli
from tests.services.http_agent import HttpAgent
from tests.services.node_exporter import NodeExporter
from tests.services.ollama_stub import OllamaStub
from tests.services.postgres import PostgresServer
from tests.services.prometheus import Prometheus
from tests.services.redis import RedisServer
from tests.services.semgrep import semgrep_program
from tests.services.smtp_sink import SmtpSink
from tests.services.trial_jobs import TrialPackage
from tests.services.web_pki import WebPki
from tests.services.webhook_sink import WebhookSink

# Settings of whoever runs the tests are not theirs: a base directory of theirs least of all.
for _name in [name for name in os.environ if name.startswith(("SUTAZAI_", "DOCKER_"))]:
    del os.environ[_name]

# A shell without job control has what it starts in the background ignore Ctrl-C, and so would all that is started here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("any pace", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("any pace")

_NOTHING_MAY_BE_SKIPPED = os.environ.get("CI", "").lower() in ("1", "true")


def _skip_is_failure(report: pytest.TestReport | pytest.CollectReport) -> None:
    if _NOTHING_MAY_BE_SKIPPED and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"with CI=true nothing may be skipped. {reason}"


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their argument: they may hold the time (gzip does), and all processes must find the same names."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Any:
    report = yield
    _skip_is_failure(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Any:
    report = yield
    _skip_is_failure(report)
    return report


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests: make databases in it, leave it running."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def newest_postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL of the newest major version for all tests."""
    server = PostgresServer(newest=True)
    yield server
    server.close()


@pytest.fixture
def postgres_factory() -> Iterator[Callable[..., PostgresServer]]:
    """PostgreSQL servers of the test's own, to be stopped, paused and killed."""
    yield from _closing(PostgresServer)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One Redis with a password for all tests."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def redis_factory() -> Iterator[Callable[..., RedisServer]]:
    """Redis servers of the test's own, with settings of its own."""
    yield from _closing(RedisServer)


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerEngine]:
    """One Docker engine for all tests; tests that start containers ask for `docker_clean`."""
    engine = DockerEngine()
    yield engine
    engine.close()


@pytest.fixture
def docker_clean(docker_engine: DockerEngine) -> Iterator[DockerEngine]:
    """The Docker engine without containers, and without those of this test afterwards."""
    docker_engine.clean()
    yield docker_engine
    docker_engine.clean()


@pytest.fixture(scope="session")
def semgrep() -> str:
    """The path of Semgrep's program, in an environment of its own."""
    return semgrep_program()


@pytest.fixture
def prometheus_factory() -> Iterator[Callable[..., Prometheus]]:
    """Prometheus servers: `prometheus_factory(scraping({"exporter": port}), rules=[path])`."""
    yield from _closing(Prometheus)


@pytest.fixture
def alertmanager_factory() -> Iterator[Callable[..., Alertmanager]]:
    """Alertmanagers: `alertmanager_factory(to_webhook(url))`."""
    yield from _closing(Alertmanager)


@pytest.fixture
def node_exporter() -> Iterator[Callable[..., NodeExporter]]:
    """node_exporters: `node_exporter(textfile_dir).metrics()`."""
    yield from _closing(NodeExporter)


@pytest.fixture
def exporter_daemon() -> Iterator[Callable[..., ExporterDaemon]]:
    """Daemons: `exporter_daemon({"redis": {"url": ...}})`, running and ready."""
    yield from _closing(ExporterDaemon)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> TrialPackage:
    """A checkout whose one job is a trial, for all tests of a file."""
    return TrialPackage(tmp_path_factory.mktemp("package") / "package")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> WebPki:
    """Certificates of a web server and its clients, for all tests of a file."""
    return WebPki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(name="run_cli")
def run_cli_fixture(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`run_cli("check-config", config={...}, env={...})`, on the base directory `tmp_path/base` unless told."""

    def run(*arguments: str, base_dir: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        return run_cli(*arguments, base_dir=base_dir or tmp_path / "base", **options)

    return run


@pytest.fixture(name="run_here")
def run_here_fixture(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`run_cli` without a process of its own, for what only reads, writes and prints (see `command_here`)."""
    return partial(run_here, base_dir=tmp_path / "base")


@pytest.fixture
def ollama_stub() -> Iterator[OllamaStub]:
    """A stand-in for Ollama whose parts can be made to fail."""
    stub = OllamaStub()
    yield stub
    stub.close()


@pytest.fixture
def http_agent() -> Iterator[Callable[..., HttpAgent]]:
    """HTTP endpoints: `http_agent(status=500)`, to be switched by its attributes."""
    yield from _closing(HttpAgent)


@pytest.fixture
def hook() -> Iterator[WebhookSink]:
    """A webhook's other side, which takes everything until it is told otherwise."""
    sink = WebhookSink()
    yield sink
    sink.close()


@pytest.fixture
def post_office() -> Iterator[SmtpSink]:
    """A mail server that takes everything, without encryption."""
    sink = SmtpSink()
    yield sink
    sink.close()


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that stands at noon UTC of 2 March 2026 until it is moved."""
    return FakeClock()


@pytest.fixture
def faketime(tmp_path: Path) -> Faketime:
    """Moves the wall clock of processes that get its `environment`."""
    return Faketime(tmp_path)


def _closing(make: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """A factory whose products are closed after the test, the last first."""
    made: list[Any] = []

    def factory(*args: Any, **kwargs: Any) -> Any:
        made.append(make(*args, **kwargs))
        return made[-1]

    yield factory
    for product in reversed(made):
        product.close()
