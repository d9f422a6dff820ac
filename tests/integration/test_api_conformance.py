"""The API answers as its OpenAPI document says: schemathesis asks for whatever that allows, and what it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.services.exporter_daemon import REPOSITORY, ExporterDaemon
from tests.services.trial_jobs import TrialPackage, operator, work

LISTENING = "/api/v1/events"
"""An answer without end is not for schemathesis."""
EXPECTED = """
[checks.positive_data_acceptance]
# 413: whatever fits the schema may still be too long. 422: a key is for one request.
expected-statuses = ["2xx", "401", "403", "404", "409", "413", "422", "429", "5xx"]
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExporterDaemon]:
    package = TrialPackage(tmp_path_factory.mktemp("package") / "package", real_jobs=True)
    config: dict[str, Any] = work()
    for file in (REPOSITORY / "jobs").glob("*.py"):
        if file.stem != "__init__":
            config["jobs"][file.stem] = {"enabled": False}
    running = ExporterDaemon({**config, "agents": {"listed": []}}, environment=package.environment)
    yield running
    running.close()


@pytest.fixture(scope="module")
def document(daemon: ExporterDaemon) -> dict[str, Any]:
    found: dict[str, Any] = daemon.get("/api/v1/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_whatever_is_asked_the_answer_is_as_the_document_says(
    daemon: ExporterDaemon, document: dict[str, Any], tmp_path: Path
) -> None:
    for _, _, operation in operations(document):
        if "security" in operation:
            operation["security"] = [{"token": []}]  # nobody is on this machine here
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "schemathesis.toml").write_text(EXPECTED)
    asked = subprocess.run(
        [Path(sys.executable).with_name("schemathesis"), "run", tmp_path / "openapi.json", "--url", daemon.url,
         "--checks", "all", "--max-examples", "6", "--generation-deterministic", "--no-color", "--warnings", "off",
         "--phases", "examples,coverage,fuzzing", "--exclude-path", LISTENING, "--continue-on-failure"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "SCHEMATHESIS_HOOKS": "tests.services.askers",
            "AUTHORIZATION": operator(daemon)["Authorization"],
        },
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert asked.returncode == 0, asked.stdout[-20_000:] + asked.stderr
    assert "Traceback" not in daemon.log()


def test_every_operation_but_the_open_ones_takes_a_token_from_elsewhere(
    daemon: ExporterDaemon, document: dict[str, Any]
) -> None:
    open_to_all = {"/-/healthy", "/-/ready"}
    seen = 0
    for number, (method, path, operation) in enumerate(operations(document)):
        url = daemon.url + path.replace("{id}", "1").replace("{task}", "trial-work").replace("{agent}", "a")
        answer = requests.request(method, url, headers={"X-Forwarded-For": f"192.0.2.{number + 1}"}, timeout=20)
        if path in open_to_all:
            assert answer.status_code == 200
            continue
        assert answer.status_code == 401, (method, path)
        assert answer.headers["content-type"] == "application/problem+json"
        assert operation["security"]
        seen += 1
    assert seen > 25


def test_the_document_tells_of_every_path_that_there_is(document: dict[str, Any]) -> None:
    """By what people are told elsewhere: the table of the documentation has the same paths."""
    told = (REPOSITORY / "docs" / "api.md").read_text()
    missing = [path for path in document["paths"] if path.replace("{", "").replace("}", "") not in _plain(told)]
    assert missing == []


def _plain(text: str) -> str:
    for name, value in (("TASK", "task"), ("AGENT", "agent"), ("ID", "id")):
        text = text.replace(f"/{name}", f"/{value}")
    return text
