"""What the daemon does not load, and that whoever wants it still gets the real thing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from exporter.memory import without

_DAEMON = (
    "import sys, exporter.cli, exporter.app, exporter.daemon, exporter.daemon.docker_watch, exporter.dashboard.file\n"
    "import exporter.bridge.remediation.engine, exporter.bridge.outgoing.postman\n"
    "from exporter.config import load\n"
    "load(environment={'SUTAZAI_BASE_DIR': '/nonexistent'})\n"
    "from exporter.web.connections.uvicorn_parts import Config, Server\n"
    "import exporter.web.api.application, exporter.web.metrics_app, exporter.web.connections.protocol\n"
)
_UNWANTED = {
    "prometheus_client", "importlib.metadata", "zipfile", "difflib", "logging.config", "configparser",
    "multiprocessing", "uvicorn.main", "uvicorn.supervisors", "jinja2", "jobs.agents.running", "jobs.clients.docker",
}  # fmt: skip


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    return done.stdout


def test_the_daemon_loads_nothing_for_nothing() -> None:
    loaded = set(run(_DAEMON + "print(*sys.modules)").split())
    assert loaded & _UNWANTED == set()


def test_whoever_wants_them_gets_the_real_modules_afterwards() -> None:
    code = (
        _DAEMON + "import logging.config, configparser\nprint(logging.config.dictConfig, configparser.RawConfigParser)"
    )
    assert "dictConfig" in run(code)


def test_what_is_loaded_already_stays_itself() -> None:
    with without(json=("JSONDecoder",)):
        import json

        assert json.loads("1") == 1
    assert sys.modules["json"] is json


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_zones_are_found(zone: str) -> None:
    assert zone in run(f"import exporter\nfrom zoneinfo import ZoneInfo\nprint(ZoneInfo({zone!r}))")
