"""Runs from the schedule, the API and the command line beside a daemon: each once, and each told by all."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.services.exporter_daemon import ExporterDaemon, command_line, environment_of
from tests.services.trial_jobs import TASK, TrialPackage, operator, start, wait_runs, work
from tests.services.wait import wait_for

CANARIES = {
    "postgres.dsn": "postgresql://user:canaryDsn77@127.0.0.1:1/db",
    "postgres.password": "canaryPostgres77",
    "redis.password": "canary Redis  77 with blanks",
    "redis.url": "redis://:canaryRedisUrl77@127.0.0.1:1/0",
    "jobs.trial_work.password": "canary\"Job'77\\é",
}


@pytest.fixture
def daemon(package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], gate: Path) -> ExporterDaemon:
    """A daemon whose task runs until its gate is open."""
    return exporter_daemon(work(waiting_for(gate)), environment=package.environment)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "gate"
    yield file
    file.touch()


def waiting_for(gate: Path) -> str:
    return f"while not Path({str(gate)!r}).exists(): time.sleep(0.02)"


def ledger(daemon: ExporterDaemon) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = daemon.get("/api/v1/runs").json()["runs"]
    return runs


# One-shot beside the daemon


def test_what_the_daemon_is_at_a_command_skips_with_75_and_names_it(
    package: TrialPackage, daemon: ExporterDaemon, gate: Path, run_cli: Callable[..., Any]
) -> None:
    start(daemon)
    daemon.wait_metric("sutazai_task_running", {"task": TASK}, lambda value: value == 1)
    done = run_cli("run", TASK, "--wait", "0", base_dir=daemon.base_dir, config=work(), env=package.environment)
    assert done.returncode == 75
    assert f"trial-work is running already: pid {daemon.pid} since " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    gate.touch()
    wait_runs(daemon, "ok")
    wait_runs(daemon, "skipped")  # the command's record, which the daemon takes up
    assert [run["trigger"] for run in ledger(daemon)] == ["api", "command"]


def test_what_a_command_is_at_the_daemon_waits_for(
    package: TrialPackage, daemon: ExporterDaemon, gate: Path, tmp_path: Path
) -> None:
    (tmp_path / "beside.yml").write_text(json.dumps(work(waiting_for(gate))))
    environment = environment_of(daemon.base_dir, package.environment)
    beside = subprocess.Popen(
        command_line("run", TASK, "--config.file", str(tmp_path / "beside.yml")), env=environment, cwd=tmp_path
    )
    try:
        lock = daemon.base_dir / "data" / "locks" / f"{TASK}.lock"
        wait_for(lambda: lock.exists() and f"pid {beside.pid}" in lock.read_text(), 20, "the command is at it")
        start(daemon)
        gate.touch()
        assert beside.wait(30) == 0
        wait_runs(daemon, "ok", 2)
    finally:
        beside.kill()
        beside.wait()
    assert sorted(run["trigger"] for run in ledger(daemon)) == ["api", "command"]


def test_the_daemons_metrics_take_up_a_commands_record(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], run_cli: Callable[..., Any]
) -> None:
    code = """
result = Result(status="X", score=70, samples=(
    Sample(family="sutazai_trial_value", value=3, labels={"thing": "a"}),
    Sample(family="sutazai_trial_things_total", value=2, labels={"thing": "a"}),
    Sample(family="sutazai_trial_score", value=70)))
"""
    daemon = exporter_daemon(work(), environment=package.environment)
    for _ in range(2):
        done = run_cli("run", TASK, base_dir=daemon.base_dir, config=work(code), env=package.environment)
        assert done.returncode == 0
    wait_runs(daemon, "ok", 2)
    metrics = daemon.metrics()
    assert metrics.value("sutazai_trial_value", thing="a") == 3
    assert metrics.value("sutazai_trial_things_total", thing="a") == 4
    assert metrics.value("sutazai_trial_score") == 70
    assert metrics.value("sutazai_task_last_success_timestamp_seconds", task=TASK) > 0
    assert metrics.value("sutazai_task_duration_seconds_count", task=TASK) == 2
    # And a failed one takes its gauges back.
    run_cli("run", TASK, base_dir=daemon.base_dir, config=work("os._exit(1)"), env=package.environment)
    daemon.wait_no_metric("sutazai_trial_value")


def test_a_slot_is_run_by_one_of_daemon_and_cron(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], run_cli: Callable[..., Any]
) -> None:
    config = work(task={"schedule": ["every 60 minutes"]})
    daemon = exporter_daemon(config, environment=package.environment)
    wait_runs(daemon, "ok")
    done = run_cli("run", TASK, "--scheduled", base_dir=daemon.base_dir, config=config, env=package.environment)
    assert done.returncode in (0, 75)  # 0 only if the hour has turned meanwhile
    whole = [daemon.get(f"/api/v1/runs/{run['run_id']}").json() for run in ledger(daemon)]
    slots = [run["request"]["reason"] for run in whole]
    assert len(slots) == len(set(slots))


def test_a_slot_that_another_run_outlasts_is_left_to_whoever_comes_next(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], run_cli: Callable[..., Any], gate: Path
) -> None:
    config = work(waiting_for(gate))
    daemon = exporter_daemon(config, environment=package.environment)
    start(daemon)
    daemon.wait_metric("sutazai_task_running", {"task": TASK}, lambda value: value == 1)
    slots = {"base_dir": daemon.base_dir, "env": package.environment}
    hourly = work(task={"schedule": ["every 60 minutes"]})
    late = run_cli("run", TASK, "--scheduled", "--wait", "0", config=hourly, **slots)
    assert late.returncode == 75
    assert "is running already" in late.stderr
    gate.touch()
    wait_runs(daemon, "ok")
    done = [run_cli("run", TASK, "--scheduled", "--json", config=hourly, **slots) for _ in range(2)]
    # 0 twice only if the hour has just turned.
    assert [one.returncode for one in done] in ([0, 75], [0, 0]), [one.stderr for one in done]
    assert json.loads(done[0].stdout)["request"]["trigger"] == "schedule"


def test_of_a_run_that_is_killed_as_it_begins_the_slot_is_told_of_or_free(
    package: TrialPackage, run_cli: Callable[..., Any], tmp_path: Path
) -> None:
    config = work(task={"schedule": ["every 60 minutes"]})
    places = {"base_dir": tmp_path / "base", "config": config, "env": package.environment}
    assert run_cli("run", TASK, **places).returncode == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "base" / "data" / "sutazai.db")) as db:
        # As a kill between the claim and the entry: whatever ends it there leaves neither of them.
        db.execute("CREATE TRIGGER cut BEFORE INSERT ON runs BEGIN SELECT RAISE(ROLLBACK, 'killed'); END")
        db.commit()
        assert run_cli("run", TASK, "--scheduled", **places).returncode not in (0, 75)
        assert db.execute("SELECT count(*) FROM slots").fetchone() == (0,)
        db.execute("DROP TRIGGER cut")
        db.commit()
    assert run_cli("run", TASK, "--scheduled", **places).returncode == 0


def test_a_daemon_that_starts_beside_a_command_leaves_its_run_alone(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], gate: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    (tmp_path / "beside.yml").write_text(json.dumps(work(waiting_for(gate))))
    beside = subprocess.Popen(
        command_line("run", TASK, "--config.file", str(tmp_path / "beside.yml")),
        env=environment_of(base, package.environment),
        cwd=tmp_path,
    )
    try:
        lock = base / "data" / "locks" / f"{TASK}.lock"
        wait_for(lambda: lock.exists() and f"pid {beside.pid}" in lock.read_text(), 20, "the command is at it")
        wait_for(lambda: psutil.Process(beside.pid).children(), 20, "its run has begun")
        daemon = exporter_daemon(work(), environment=package.environment, base_dir=base)
        assert ledger(daemon) == []
        gate.touch()
        assert beside.wait(30) == 0
        wait_runs(daemon, "ok")
        assert [run["outcome"] for run in ledger(daemon)] == ["ok"]
        assert daemon.metrics().value("sutazai_task_runs_total", task=TASK, outcome="error") == 0
    finally:
        beside.kill()
        beside.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_interrupted_ends_its_run_and_enters_it(
    package: TrialPackage, gate: Path, tmp_path: Path, run_cli: Callable[..., Any], number: signal.Signals
) -> None:
    base = tmp_path / "base"
    (tmp_path / "long.yml").write_text(json.dumps(work(waiting_for(gate))))
    process = subprocess.Popen(
        command_line("run", TASK, "--config.file", str(tmp_path / "long.yml")),
        env=environment_of(base, package.environment),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        children = wait_for(lambda: psutil.Process(process.pid).children(), 20, "its run has begun")
        process.send_signal(number)
        _, error = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 4, signal.SIGHUP: 4}[number]
    assert "trial-work: stopped after " in error
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    told = json.loads(run_cli("history", "--json", env=package.environment).stdout)
    assert [run["outcome"] for run in told["runs"]] == ["stopped"]


def test_a_command_closes_what_was_cut_off_before_it(
    package: TrialPackage, gate: Path, tmp_path: Path, run_cli: Callable[..., Any]
) -> None:
    """Where cron runs everything there is no daemon that would."""
    (tmp_path / "long.yml").write_text(json.dumps(work(waiting_for(gate))))
    killed = subprocess.Popen(
        command_line("run", TASK, "--config.file", str(tmp_path / "long.yml")),
        env=environment_of(tmp_path / "base", package.environment),
        cwd=tmp_path,
    )
    try:
        children = wait_for(lambda: psutil.Process(killed.pid).children(), 20, "its run has begun")
        wait_for(lambda: os.getsid(children[0].pid) == children[0].pid, 20, "it is a session of its own")
    finally:
        killed.kill()
        killed.wait()
    psutil.wait_procs(children, timeout=20)
    assert run_cli("run", TASK, env=package.environment).returncode == 0
    told = json.loads(run_cli("history", "--json", env=package.environment).stdout)
    assert [(run["outcome"], run["error"]) for run in told["runs"]] == [
        ("ok", ""),
        ("error", f"cut off: the process that ran it (pid {killed.pid}) ended before it did"),
    ]


# Secrets


def test_no_secret_gets_out_of_a_run(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], tmp_path: Path, gate: Path
) -> None:
    """Every way out is tried by a job that was given the secrets; the canaries must be found nowhere."""
    code = f"""
from urllib.parse import quote
world, n = clients.world, 0
found = [world.postgres.dsn, world.postgres.password, world.redis.password, world.redis.url, settings.password]
texts = [secret.get_secret_value() for secret in found]
texts += ["canaryDsn77", "canaryRedisUrl77", quote(texts[2], safe="")]
assert len(texts) == 8
for text in texts:
    print(text, flush=True)
    clients.report.log("error", f"cannot connect: {{text}}!")
    clients.report.progress(1, 2, text)
everything = " ".join(texts)
if request.mode == "light":
    print(everything, file=sys.stderr, flush=True)
    raise RuntimeError(everything)
if request.target == "dies":
    print(everything, file=sys.stderr, flush=True)
    os._exit(1)
Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
while not Path({str(gate)!r}).exists(): time.sleep(0.02)
result = Result(
    status=texts[0], summary=everything, report={{text: [text, {{"deep": text}}] for text in texts}},
    findings=tuple(Finding(kind="k", subject=t, severity="low", message=t, remedy=t) for t in texts),
    actions=(Action(verb="v", subject=everything, detail=everything, done=True),),
    deductions=(Deduction(points=1, reason=everything),),
    samples=tuple(Sample(family="sutazai_trial_value", value=n, labels={{"thing": t}}) for n, t in enumerate(texts)),
    observations=(Observation(series=everything, value=1),))
"""
    secrets = {f"SUTAZAI_{name.upper().replace('.', '__')}": text for name, text in CANARIES.items()}
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name in ("SUTAZAI_REDIS__PASSWORD", "SUTAZAI_JOBS__TRIAL_WORK__PASSWORD"):  # by another of the ways in
        (credentials / name.removeprefix("SUTAZAI_").lower()).write_text(secrets.pop(name) + "\n")
    environment = {**package.environment, **secrets, "CREDENTIALS_DIRECTORY": str(credentials)}
    textfiles = tmp_path / "textfiles"
    daemon = exporter_daemon(work(code, textfile={"directory": str(textfiles)}), environment=environment)
    headers = operator(daemon)

    start(daemon, headers)
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), 20, "the run has begun")
    run = psutil.Process(int((tmp_path / "pid").read_text()))
    seen = {"argv of the run": " ".join(run.cmdline()), "environ of the run": repr(run.environ())}
    seen["argv of the daemon"] = " ".join(psutil.Process(daemon.pid).cmdline())
    seen["tasks with progress"] = daemon.get("/api/v1/tasks").text
    gate.touch()
    wait_runs(daemon, "ok")
    start(daemon, headers, mode="light")
    start(daemon, headers, target="dies")
    wait_runs(daemon, "error", 2)
    seen["log"] = daemon.log()
    seen["metrics"] = daemon.get("/metrics").text
    seen["openmetrics"] = daemon.get("/metrics", headers={"Accept": "application/openmetrics-text"}).text
    seen["runs"] = json.dumps(daemon.get("/api/v1/runs").json(), ensure_ascii=False)
    daemon.stop()
    for file in [*daemon.base_dir.rglob("*"), *textfiles.iterdir()]:
        if file.is_file():
            seen[str(file)] = file.read_bytes().decode("utf-8", "replace")
    assert any("sutazai.db" in name for name in seen)
    assert any("trial_report" in name for name in seen)
    assert any(name.endswith(".log") for name in seen)
    assert any("sutazai.prom" in name for name in seen)
    assert "***" in seen["runs"]
    assert "***" in seen["log"]
    hits = [(name, canary) for name, text in seen.items() for canary in _forms() if canary in text]
    assert hits == []


def _forms() -> list[str]:
    """What must not be found: each secret, as it is and as JSON, logfmt and URLs write it, and its telling part."""
    forms = [
        form
        for text in CANARIES.values()
        for form in (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    ]
    return [
        *forms,
        "canaryDsn",
        "canaryPostgres",
        "canary Redis",
        "canary%20Redis",
        "canaryRedisUrl",
        'canary"Job',
        "Job'77",
    ]


def test_a_command_shows_no_secret_either(package: TrialPackage, run_cli: Callable[..., Any]) -> None:
    code = "text = settings.password.get_secret_value(); clients.report.log('error', text); raise JobError(text)"
    env = {**package.environment, "SUTAZAI_JOBS__TRIAL_WORK__PASSWORD": "canaryJob77"}
    for arguments in ([], ["-v"], ["--json"], ["--dry-run"]):
        done = run_cli("run", TASK, *arguments, config=work(code), env=env)
        assert done.returncode == 4
        assert "canary" not in done.stdout + done.stderr
        assert "***" in done.stdout + done.stderr
