"""The API: health paths, tasks, runs, starting a run, and who may do what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.services.exporter_daemon import ExporterDaemon
from tests.services.trial_jobs import TASK, TrialPackage, operator, start, wait_runs, work

JSON = "application/json"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExporterDaemon]:
    package = TrialPackage(tmp_path_factory.mktemp("package") / "package", real_jobs=True)
    off = {"enabled": False}
    config: dict[str, Any] = work(
        "result = Result(status=request.mode, verdict=1)", task={"schedule": ["monthly on 28 at 06:00"]}
    )
    config["jobs"] |= {"agent_monitor": off, "health_check": off}
    running = ExporterDaemon(config, environment=package.environment)
    yield running
    running.close()


@pytest.fixture
def headers(daemon: ExporterDaemon) -> dict[str, str]:
    return operator(daemon)


def problem(answer: requests.Response, status: int) -> str:
    """The detail of a problem document (RFC 9457)."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    return str(body["detail"])


@pytest.mark.parametrize("path", ["/-/healthy", "/-/ready", "/"])
def test_what_is_open_to_everybody(daemon: ExporterDaemon, path: str) -> None:
    assert daemon.get(path, headers={"Host": "somewhere.example"}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/-/healthy", "/api/v1/tasks", "/api/v1/runs", "/api/v1/tasks/x/start", "/nothing"]
)
def test_every_answer_forbids_what_a_browser_should_not_do(daemon: ExporterDaemon, path: str) -> None:
    headers = daemon.get(path).headers
    if path != "/nothing":
        assert "default-src 'none'" in headers["content-security-policy"]
        # The page itself holds nothing that may not be kept.
        assert headers["cache-control"] == ("no-cache" if path == "/" else "no-store")
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers
    assert "set-cookie" not in headers
    assert "access-control-allow-origin" not in headers


def test_tasks(daemon: ExporterDaemon) -> None:
    (row,) = [row for row in daemon.get("/api/v1/tasks").json() if row["task"] == TASK]
    assert row["summary"] == "Does what a test wants."
    assert row["modes"] == ["full", "light"]
    assert row["cadences"] == ["monthly on 28 at 06:00"]
    assert row["running"] is None


def test_a_started_run_is_in_the_ledger(daemon: ExporterDaemon, headers: dict[str, str]) -> None:
    before = daemon.metrics().value("sutazai_task_runs_total", task=TASK, outcome="ok")
    start(daemon, headers, mode="light", target="one")
    wait_runs(daemon, "ok", before + 1)
    (listed,) = daemon.get(f"/api/v1/runs?task={TASK}&limit=1").json()["runs"]
    run = daemon.get(f"/api/v1/runs/{listed['run_id']}").json()
    asked = run["request"]
    assert re.fullmatch(r"asked for by token:test-[0-9a-f]{8}", asked.pop("reason"))
    assert asked == {"task": TASK, "mode": "light", "target": "one", "trigger": "api", "dry_run": False}
    assert (run["outcome"], run["result"]["status"]) == ("ok", "light")
    (row,) = [row for row in daemon.get("/api/v1/tasks").json() if row["task"] == TASK]
    assert row["last_run"]["run_id"] == run["run_id"]


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "", "1.5", "٣", "9" * 5000, "1&limit=0"])
def test_a_wrong_limit_is_400(daemon: ExporterDaemon, limit: str) -> None:
    assert "limit must be a whole number from 1 to 1000" in problem(daemon.get(f"/api/v1/runs?limit={limit}"), 400)


def test_an_unknown_task_is_404_and_named(daemon: ExporterDaemon, headers: dict[str, str]) -> None:
    assert "no task is called 'zzz'; there are" in problem(daemon.get("/api/v1/runs?task=zzz"), 404)
    answer = daemon.post("/api/v1/tasks/trial-wrok/start", json={}, headers=headers)
    assert "no task is called 'trial-wrok'; did you mean 'trial-work'?" in problem(answer, 404)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"mode": "fast"}, "trial-work has no mode 'fast'; it has full, light"),
        ({"target": "../../etc"}, "'../../etc' cannot be a target"),
        ({"target": "-rf"}, "cannot be a target"),
        ({"target": "a\u0000b"}, "cannot be a target"),
        ({"target": "\ud800"}, "cannot be a target"),
    ],
)
def test_a_wrong_mode_or_target_is_404_and_named(
    daemon: ExporterDaemon, headers: dict[str, str], body: dict[str, str], says: str
) -> None:
    assert says in problem(daemon.post(f"/api/v1/tasks/{TASK}/start", json=body, headers=headers), 404)


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"1", b'{"mode": 1}', b'{"command": "rm"}', b'"x"', b"\xff", b"[" * 100_000, b'{"mode": NaN}']
)
def test_a_wrong_body_is_400(daemon: ExporterDaemon, headers: dict[str, str], body: bytes) -> None:
    answer = daemon.post(f"/api/v1/tasks/{TASK}/start", data=body, headers={**headers, "Content-Type": JSON})
    assert "the body" in problem(answer, 400)


def test_an_empty_body_is_all_defaults(daemon: ExporterDaemon, headers: dict[str, str]) -> None:
    answer = daemon.post(f"/api/v1/tasks/{TASK}/start", headers={**headers, "Content-Type": JSON})
    assert answer.status_code == 202
    assert answer.json()["accepted"]["mode"] == ""


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_405(daemon: ExporterDaemon, method: str) -> None:
    answer = requests.request(method, f"{daemon.url}/api/v1/tasks/{TASK}/start", timeout=10)
    problem(answer, 405)
    assert answer.headers["allow"] == "POST"


def test_a_broken_token_file_opens_nothing_and_is_503(daemon: ExporterDaemon, headers: dict[str, str]) -> None:
    file = daemon.base_dir / "secrets_secure" / "tokens.json"
    before = file.read_bytes()
    try:
        file.write_text("{")
        answer = daemon.post(f"/api/v1/tasks/{TASK}/start", json={}, headers=headers)
        assert "tokens.json: is not a token file" in problem(answer, 503)
        assert daemon.get("/metrics").status_code == 200
    finally:
        file.write_bytes(before)
    assert daemon.post(f"/api/v1/tasks/{TASK}/start", json={}, headers=headers).status_code == 202


def test_ipv6(tmp_path: Path) -> None:
    package = TrialPackage(tmp_path / "package")
    from tests.services.ports import free_port

    port = free_port()
    daemon = ExporterDaemon(
        work(), environment=package.environment, arguments=["--web.listen-address", f"[::1]:{port}"], wait=False
    )
    try:
        daemon.wait_log("msg=serving")
        answer = requests.get(f"http://[::1]:{port}/api/v1/tasks", timeout=10)
        assert answer.status_code == 200
    finally:
        daemon.close()
