"""What a command asks the daemon beside it: whether it answers, whoever it lets in, and how far its runs are."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.commandline import beside
from exporter.locks import FileLock
from jobs.clients.http import Reply
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.ports import free_port
from tests.services.secure_daemon import SecureDaemon
from tests.services.trial_jobs import TASK, TrialPackage, start, wait_runs, work
from tests.services.web_pki import WebPki, tls, users

Run = Callable[..., subprocess.CompletedProcess[str]]
VERIFY = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "ca.pem"}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> TrialPackage:
    return TrialPackage(tmp_path_factory.mktemp("package") / "package")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, package: TrialPackage) -> Iterator[SecureDaemon]:
    running = SecureDaemon(WebPki(tmp_path_factory.mktemp("pki")), package, tls())
    yield running
    running.close()


@pytest.mark.parametrize(
    "config",
    [tls(), {}, users("alice"), tls() | users("alice"), tls(**VERIFY), {"rate_limit": {"interval": "1h", "burst": 1}}],
    ids=["TLS", "nothing", "users", "TLS and users", "client certificates", "a rate limit"],
)
def test_a_daemon_answers_whatever_its_web_configuration_has_become(
    server: SecureDaemon, run_here: Run, config: dict[str, Any]
) -> None:
    server.use({**config, "http_server_config": {"headers": {"X-Frame-Options": "deny"}}})
    for _ in range(2):
        told = run_here("ping", base_dir=server.daemon.base_dir)
        assert (told.returncode, told.stderr) == (0, "")
        assert (
            told.stdout == f"The daemon (pid {server.daemon.pid}) answers at https://127.0.0.1:{server.daemon.port}.\n"
        )


def test_a_daemon_that_hangs_or_is_gone_does_not_answer(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], run_here: Run
) -> None:
    daemon = exporter_daemon(work(), environment=package.environment)
    assert run_here("ping", base_dir=daemon.base_dir).returncode == 0
    daemon.process.send(signal.SIGSTOP)
    told = run_here("ping", "--timeout", "0.4", base_dir=daemon.base_dir)
    daemon.process.send(signal.SIGCONT)
    assert told.returncode == 1
    assert f"{daemon.url}: no answer of the daemon (pid {daemon.pid}): " in told.stderr
    daemon.kill()
    told = run_here("ping", base_dir=daemon.base_dir)
    assert told.returncode == 1
    assert "no daemon serves it; start one: sutazai-exporter serve" in told.stderr


def test_a_daemon_that_does_not_listen_yet_is_not_asked(tmp_path: Path, run_here: Run) -> None:
    lock = FileLock(tmp_path / "base" / "data" / "daemon.lock", "pid 4711")
    told = run_here("ping")
    lock.release()
    assert told.returncode == 1
    assert "the daemon (pid 4711) does not listen yet" in told.stderr


# How far its runs are


@pytest.fixture(scope="module")
def daemon(package: TrialPackage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExporterDaemon]:
    """With a run under way that is at the third of ten steps, until all tests are done."""
    gate = tmp_path_factory.mktemp("gate") / "gate"
    step = "clients.report.progress(3, 10, 'dump shop')"
    code = f"{step}\nwhile not Path({str(gate)!r}).exists(): time.sleep(0.02)"
    running = ExporterDaemon(work(code), environment=package.environment)
    start(running)
    running.wait_metric("sutazai_task_progress_ratio", {"task": TASK}, lambda value: value == 0.3)
    yield running
    gate.touch()
    wait_runs(running, "ok")
    running.close()


def test_how_far_a_run_of_the_daemon_is_stands_in_status_and_tasks(
    daemon: ExporterDaemon, package: TrialPackage, run_here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "_PROGRESS_SECONDS", 30.0)  # a busy machine takes its time
    (wanted,) = [task["running"] for task in daemon.get("/api/v1/tasks").json() if task["task"] == TASK]
    with package.in_process():
        for command in (["status", "--json"], ["tasks", "--json"]):
            told = json.loads(run_here(*command, base_dir=daemon.base_dir, env=package.environment).stdout)
            (row,) = told["tasks"] if isinstance(told, dict) else told
            assert row["running"] == wanted
            assert (wanted["done"], wanted["total"], wanted["message"]) == (3, 10, "dump shop")
        screen = run_here("status", base_dir=daemon.base_dir, env=package.environment).stdout
    assert f"{TASK} 3 of 10: dump shop (since " in screen


def test_without_an_answer_it_is_told_as_under_way_and_no_more(
    daemon: ExporterDaemon, package: TrialPackage, run_here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def running() -> dict[str, Any]:
        told = run_here("tasks", "--json", base_dir=daemon.base_dir, env=package.environment)
        assert (told.returncode, told.stderr) == (0, "")
        (row,) = json.loads(told.stdout)
        assert isinstance(row["running"], dict)
        return row["running"]

    lock = daemon.base_dir / "data" / "daemon.lock"
    said = lock.read_text()
    monkeypatch.setattr(beside, "_PROGRESS_SECONDS", 30.0)
    with package.in_process():
        known = running()
        monkeypatch.setattr(beside, "_PROGRESS_SECONDS", 0.3)
        daemon.process.send(signal.SIGSTOP)
        silent = running()
        daemon.process.send(signal.SIGCONT)
        lock.write_text(f"pid {daemon.pid}; at http://127.0.0.1:{free_port()}")
        nobody = running()
        lock.write_text(said)
    assert silent == nobody == known | {"done": 0, "total": 0, "ratio": None, "message": "", "ours": False}


def test_of_an_answer_only_what_is_about_the_same_run_is_taken(
    daemon: ExporterDaemon, package: TrialPackage, run_here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (known,) = [task["running"] for task in daemon.get("/api/v1/tasks").json() if task["task"] == TASK]
    entry = {"task": TASK, "running": known | {"message": "theirs"}}

    def shown(document: object) -> bool:
        monkeypatch.setattr(beside, "ask", lambda *_: Reply(200, json.dumps(document).encode(), 0.1))
        told = run_here("tasks", "--json", base_dir=daemon.base_dir, env=package.environment)
        assert (told.returncode, told.stderr) == (0, "")
        return bool(json.loads(told.stdout)[0]["running"]["message"] == "theirs")

    with package.in_process():
        assert shown([entry, {"task": "another", "running": None}])
        for since in ("2026-03-02T12:00:00+00:00", "2026-03-02T12:00:00", "0001-01-01T00:00:00", "soon", 5, None):
            assert not shown([{"task": TASK, "running": entry["running"] | {"since": since}}])
        for nonsense in ({}, [1], None, [{"task": TASK}], [entry | {"running": {"ours": True}}]):
            assert not shown(nonsense)
