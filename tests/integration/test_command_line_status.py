"""What `status`, `findings`, `agents` and `config show` tell, and with which exit code."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.services.disks import tmpfs
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.http_agent import HttpAgent
from tests.services.trial_jobs import TASK, TrialPackage, work
from tests.services.wait import wait_for

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def trial(package: TrialPackage, run_here: Run) -> Iterator[Run]:
    """`run_here` where there is the trial task and no other."""
    with package.in_process():
        yield partial(run_here, env=package.environment)


def found(severity: str) -> str:
    finding = f"Finding(kind='k', subject='s/t', severity={severity!r}, message='look here', remedy='mend it')"
    return f"result = Result(status='X', findings=({finding},))"


@pytest.mark.parametrize(
    ("code", "verdict", "exit_code"),
    [("", "good", 0), (found("low"), "good", 0), (found("high"), "attention", 1), (found("critical"), "critical", 2)],
    ids=["good", "low", "high", "critical"],
)
def test_the_verdict_is_the_exit_code(trial: Run, code: str, verdict: str, exit_code: int) -> None:
    config = work(code, task={"schedule": ["every 60 minutes"]})
    trial("run", TASK, "--scheduled", config=config)
    told = trial("status", "--json", config=config)
    document = json.loads(told.stdout)
    assert (document["verdict"], told.returncode, document["serving"]) == (verdict, exit_code, False)
    shown = trial("status", config=config)
    assert shown.returncode == exit_code
    assert shown.stdout.splitlines()[0] == f"{verdict.upper()}  {document['answer']}"
    if exit_code:
        assert "→ mend it" in shown.stdout


def test_before_anything_has_run_it_is_unknown(run_here: Run, tmp_path: Path) -> None:
    told = run_here("status")
    assert (told.returncode, told.stdout.split()[0]) == (3, "UNKNOWN")
    found = run_here("findings", "--task", "security-scan")
    assert found.stdout.startswith("Nothing was found, but not everything was looked at: security-scan")
    assert list(tmp_path.iterdir()) == []


def test_a_base_directory_that_is_a_file_is_said_to_be_one(run_here: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for command in (["status"], ["run", "health-check"]):
        told = run_here(*command, base_dir=tmp_path / "file")
        assert (told.returncode, "file: is no directory; set base_dir" in told.stderr) == (69, True)


def test_a_full_disk_is_named(run_cli: Run) -> None:
    with tmpfs(2) as disk:
        run_cli("run", "health-check", base_dir=disk / "base")
        with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(1024))
        told = run_cli("run", "health-check", base_dir=disk / "base")
    assert (told.returncode, "its disk is full; make room" in told.stderr) == (69, True)


def test_findings_by_task_and_severity(trial: Run) -> None:
    trial("run", TASK, config=work(found("medium")))

    def told(*arguments: str) -> list[str]:
        done = trial("findings", "--json", *arguments)
        return [entry["severity"] for entry in json.loads(done.stdout)]

    assert told() == told("--severity", "medium") == told("--task", TASK) == ["medium"]
    assert told("--severity", "high") == []
    assert "Nothing was found." in trial("findings", "--severity", "high").stdout


def test_the_command_tells_what_the_daemon_does(
    exporter_daemon: Callable[..., ExporterDaemon], run_cli: Run, package: TrialPackage
) -> None:
    daemon = exporter_daemon(work(), environment=package.environment)
    options = {"base_dir": daemon.base_dir, "env": package.environment}
    run_cli("run", TASK, config=work(), **options)
    (row,) = json.loads(run_cli("tasks", "--json", config=work(), **options).stdout)
    daemon.wait_metric("sutazai_task_runs_total", {"task": TASK, "outcome": "ok"}, lambda count: count == 1)
    (answered,) = daemon.get("/api/v1/tasks").json()
    assert row == answered
    assert json.loads(run_cli("status", "--json", config=work(), **options).stdout)["serving"] is True


def test_the_command_knows_what_the_daemon_says_is_wrong_with_itself(
    exporter_daemon: Callable[..., ExporterDaemon], trial: Run, package: TrialPackage
) -> None:
    daemon = exporter_daemon(work(), environment=package.environment)

    def wrong() -> list[str]:
        done = trial("status", "--json", config=work(), base_dir=daemon.base_dir)
        return [entry["subject"] for entry in json.loads(done.stdout)["to_do"] if entry["kind"] == "daemon"]

    assert wrong() == []
    daemon.configure({"no_such_setting": 1})
    daemon.hangup()
    daemon.wait_metric("sutazai_config_last_reload_successful", {}, lambda value: value == 0)
    wait_for(lambda: wrong() == ["reload"], 30, "the command knows of the reload")
    daemon.kill()
    assert "reload" not in wrong()


def test_agents_are_listed_looked_at_and_offered(run_cli: Run, http_agent: Callable[..., HttpAgent]) -> None:
    agent = http_agent()
    listed = [{"name": "agent-one", "port": agent.port}]
    config = {"agents": {"listed": listed, "discover": False}}
    run_cli("run", "agent-monitor", config=config)
    (entry,) = json.loads(run_cli("agents", "list", "--json", config=config).stdout)
    assert (entry["agent"], entry["state"], entry["healthy"]) == ("agent-one", "healthy", True)
    assert "agent-one" in run_cli("agents", "list", config=config).stdout
    words = {"COMP_WORDS": "sutazai-exporter agents release ", "COMP_CWORD": "3"}
    asked = run_cli(config=config, env={"_SUTAZAI_EXPORTER_COMPLETE": "bash_complete", **words})
    assert asked.stdout.split() == ["plain,agent-one"]
    plan = run_cli("agents", "restart", "agent-one", "--dry-run", "--json", config=config)
    assert json.loads(plan.stdout)["request"]["mode"] == "restart"
    unknown = run_cli("agents", "release", "agent-oen", config=config)
    assert (unknown.returncode, "agent-one" in unknown.stderr) == (4, True)


def test_a_setting_tells_where_it_comes_from_and_a_secret_is_masked(run_here: Run, tmp_path: Path) -> None:
    config = {"redis": {"url": "redis://:swallow-of-mine@127.0.0.1:6379"}, "agents": {"discover": False}}
    env = {"SUTAZAI_MAX_DISK_USAGE": "70", "SUTAZAI_POSTGRES__PASSWORD": "swallow-of-theirs"}
    done = run_here("config", "show", "--changed", "--json", config=config, env=env)
    rows = {row["setting"]: (row["value"], row["origin"]) for row in json.loads(done.stdout)}
    assert rows["thresholds.max_disk_percent"] == (70, "SUTAZAI_MAX_DISK_USAGE")
    assert rows["agents.discover"] == (False, str(tmp_path / "exporter.yml"))
    assert rows["postgres.password"] == ("***", "SUTAZAI_POSTGRES__PASSWORD")
    whole = run_here("config", "show", config=config, env=env)
    assert "swallow" not in whole.stdout + done.stdout
    assert len(whole.stdout.splitlines()) > 200
    part = run_here("config", "show", "thresholds", "agents.discover", config=config, env=env).stdout.splitlines()
    assert {line.split(".")[0] for line in part[1:]} == {"thresholds", "agents"}
    assert "discover" in part[-1] or any("agents.discover " in line for line in part)
