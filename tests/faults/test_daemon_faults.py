"""The daemon is stopped, killed and started twice, with runs under way."""

from __future__ import annotations

import contextlib
import re
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.services.exporter_daemon import NO_JOBS, ExporterDaemon, command_line, environment_of, write_config
from tests.services.ports import free_port
from tests.services.prometheus import Prometheus, scraping
from tests.services.short_rules import shortened_rules
from tests.services.trees import tree_digest
from tests.services.trial_jobs import TASK, TrialPackage, operator, start, wait_runs, work
from tests.services.wait import wait_for

LONG = """
Path(PLACE, "child").write_text(str(subprocess.Popen(["sleep", "600"]).pid))
Path(PLACE, "run").write_text(str(os.getpid()))
time.sleep(600)
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where a run leaves its process id and its child's; both are ended afterwards."""
    directory = tmp_path / "place"
    directory.mkdir()
    yield directory
    for file in directory.iterdir():
        with contextlib.suppress(psutil.Error, ValueError):
            process = psutil.Process(int(file.read_text()))
            if "sleep" in process.cmdline() or "exporter.runs.child" in process.cmdline():
                process.kill()


def under_way(place: Path) -> list[int]:
    """The process ids of a run that has begun."""
    wait_for(lambda: (place / "run").exists() and (place / "run").read_text(), 30, "the run has begun")
    return [int((place / name).read_text()) for name in ("run", "child")]


def wait_gone(*pids: int) -> None:
    def alive() -> list[int]:
        return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]

    wait_for(lambda: not alive(), 60, "the run and its children are gone", ignoring=(psutil.NoSuchProcess,))


def long_run(place: Path, before: str = "") -> str:
    return f"PLACE = {str(place)!r}\n{before}\n{LONG}"


# SIGTERM: fault 37


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_mid_run_ends_the_run_and_enters_it_as_stopped(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], place: Path, number: signal.Signals
) -> None:
    config = work(long_run(place), runs={"stop_grace_seconds": 600})  # which nobody needs
    daemon = exporter_daemon(config, environment=package.environment)
    start(daemon)
    pids = under_way(place)
    daemon.process.send(number)
    assert daemon.process.popen.wait(60) == 0
    wait_gone(*pids)
    assert daemon.log().splitlines()[-1].endswith("msg=stopped")
    daemon.start()
    wait_runs(daemon, "stopped")
    (run,) = daemon.get("/api/v1/runs").json()["runs"]
    assert (run["outcome"], run["error"]) == ("stopped", "stopped with the exporter")


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ([signal.SIGTERM], "stopping: runs have their grace to end"),
        ([signal.SIGINT], "stopping: runs have their grace to end"),
        ([signal.SIGHUP, signal.SIGTERM], "configuration reloaded"),
    ],
)
def test_a_daemon_heeds_signals_from_the_line_on_that_it_serves(
    tmp_path: Path, numbers: list[signal.Signals], says: str
) -> None:
    """Read from a pipe, whose reader wakes up at the line: the daemon loads what serves only after it."""
    config = write_config(tmp_path / "exporter.yml", {**NO_JOBS, "web": {"listen_address": f"127.0.0.1:{free_port()}"}})
    daemon = subprocess.Popen(
        command_line("serve", "--config.file", str(config)),
        env=environment_of(tmp_path / "base"),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert daemon.stderr
        next(line for line in daemon.stderr if "msg=serving" in line)
        for number in numbers:
            daemon.send_signal(number)
        _, log = daemon.communicate(timeout=30)
    finally:
        daemon.kill()
        daemon.wait()
    assert daemon.returncode == 0
    assert says in log
    assert log.splitlines()[-1].endswith("msg=stopped")


def test_while_runs_have_their_grace_metrics_are_answered_and_nothing_new_begins(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], place: Path
) -> None:
    code = long_run(place, "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    daemon = exporter_daemon(work(code, runs={"stop_grace_seconds": 10}), environment=package.environment)
    headers = operator(daemon)
    start(daemon, headers)
    pids = under_way(place)
    daemon.process.send(signal.SIGTERM)
    wait_for(lambda: daemon.get("/-/ready").status_code == 503, 60, "it is no longer ready")
    assert daemon.get("/-/healthy").status_code == 200
    assert daemon.metrics().value("sutazai_task_running", task=TASK) == 1
    answer = daemon.post(f"/api/v1/tasks/{TASK}/start", json={}, headers=headers)
    assert answer.status_code == 503
    assert "stopping" in answer.json()["detail"]
    assert daemon.process.popen.wait(60) == 0
    wait_gone(*pids)
    assert "Traceback" not in daemon.log()
    daemon.start()
    assert [run["outcome"] for run in daemon.get("/api/v1/runs").json()["runs"]] == ["stopped"]


def test_a_stop_does_not_wait_for_clients(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon]
) -> None:
    import socket

    daemon = exporter_daemon(work(), environment=package.environment)
    idle = [socket.create_connection(("127.0.0.1", daemon.port)) for _ in range(3)]
    idle[1].sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    idle[2].sendall(b"GET /metrics HTTP/1.1\r\nHo")
    assert daemon.stop() == 0  # it is killed after half a minute, before any of them is ended for its slowness
    for one in idle:
        one.close()


# SIGKILL


def test_a_daemon_that_is_killed_takes_its_runs_with_it_and_the_next_closes_them(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], place: Path
) -> None:
    daemon = exporter_daemon(work(long_run(place)), environment=package.environment)
    start(daemon)
    pids = under_way(place)
    killed = daemon.pid
    daemon.kill()
    wait_gone(*pids)
    daemon.configure(work())
    daemon.start()
    wait_runs(daemon, "error")
    (run,) = daemon.get("/api/v1/runs").json()["runs"]
    assert run["error"] == f"cut off: the process that ran it (pid {killed}) ended before it did"
    start(daemon)
    wait_runs(daemon, "ok")
    assert daemon.metrics().value("sutazai_task_runs_total", task=TASK, outcome="error") == 1


def test_what_the_ledger_knows_is_shown_again_after_a_kill(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon]
) -> None:
    samples = """
result = Result(status="X", score=75, samples=(
    Sample(family="sutazai_trial_value", value=5, labels={"thing": "a"}),
    Sample(family="sutazai_trial_things_total", value=3, labels={"thing": "a"}),
    Sample(family="sutazai_trial_score", value=75)))
"""
    daemon = exporter_daemon(work(samples), environment=package.environment)
    headers = operator(daemon)
    for count in (1, 2):
        start(daemon, headers)
        wait_runs(daemon, "ok", count)
    daemon.kill()
    daemon.start()
    metrics = daemon.metrics()
    assert metrics.value("sutazai_trial_value", thing="a") == 5
    assert metrics.value("sutazai_trial_things_total", thing="a") == 6
    assert metrics.value("sutazai_trial_score") == 75
    assert metrics.value("sutazai_task_runs_total", task=TASK, outcome="ok") == 2
    assert metrics.value("sutazai_task_duration_seconds_count", task=TASK) == 2


# Twice: fault 37


def test_a_second_daemon_on_a_base_directory_refuses_and_names_the_first(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon]
) -> None:
    first = exporter_daemon(work(), environment=package.environment)
    first.process.pause()  # it writes as well, of its own accord
    before = tree_digest(first.base_dir)
    second = exporter_daemon(work(), environment=package.environment, base_dir=first.base_dir, wait=False)
    assert second.process.popen.wait(30) == 69
    (line,) = second.log().splitlines()
    assert f"another daemon (pid {first.pid}; at {first.url}) already serves this base directory" in line
    assert "set SUTAZAI_BASE_DIR" in line
    assert tree_digest(first.base_dir) == before
    first.kill()
    second.start()
    assert second.metrics().value("sutazai_store_up") == 1


def test_a_daemon_that_refuses_and_one_that_was_stopped_in_mid_run_are_told_by_an_alert(
    package: TrialPackage,
    exporter_daemon: Callable[..., ExporterDaemon],
    prometheus_factory: Callable[..., Prometheus],
    place: Path,
    tmp_path: Path,
) -> None:
    first = exporter_daemon(work(long_run(place)), environment=package.environment)
    start(first)
    pids = under_way(place)
    second = exporter_daemon(work(), environment=package.environment, base_dir=first.base_dir, wait=False)
    assert second.process.popen.wait(30) == 69

    prometheus = prometheus_factory(scraping({"sutazai": [first.port, second.port]}), rules=shortened_rules(tmp_path))

    def firing() -> set[str]:
        return {alert["labels"].get("instance", "") for alert in prometheus.alerts("ExporterDown", "firing")}

    addresses = {daemon: f"127.0.0.1:{daemon.port}" for daemon in (first, second)}
    wait_for(lambda: firing() == {addresses[second]}, 60, "the one that refused is told of, and no other")
    prometheus.wait_query(f'sutazai_task_running{{instance="{addresses[first]}", task="{TASK}"}} == 1')

    assert first.stop() == 0
    wait_gone(*pids)
    wait_for(lambda: firing() == set(addresses.values()), 60, "the one that was stopped is told of")
    second.start()
    stopped = f'sutazai_task_runs_total{{instance="{addresses[second]}", task="{TASK}", outcome="stopped"}} == 1'
    prometheus.wait_query(stopped)
    wait_for(lambda: firing() == {addresses[first]}, 60, "the one that serves now is no longer told of")


def test_a_port_that_is_taken_is_one_line_and_leaves_the_base_directory_free(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon]
) -> None:
    first = exporter_daemon(work(), environment=package.environment)
    second = exporter_daemon(work(), environment=package.environment, port=first.port, wait=False)
    assert second.process.popen.wait(30) == 69
    (line,) = second.log().splitlines()
    assert f"127.0.0.1:{first.port}: cannot be listened on: Address already in use; choose another" in line
    assert not (second.base_dir / "data" / "sutazai.db").exists()


# A run that floods: fault 12


def test_a_run_that_prints_without_end_does_not_grow_the_daemon(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon]
) -> None:
    code = "subprocess.Popen(['yes', 'y' * 4000])\nsubprocess.run(['yes', 'x' * 4000])"
    daemon = exporter_daemon(work(code, task={"max_run_seconds": 2}), environment=package.environment)
    before = daemon.metrics().value("process_resident_memory_bytes")
    Path(f"/proc/{daemon.pid}/clear_refs").write_text("5")  # its peak begins anew (proc_pid_clear_refs(5))
    start(daemon)
    taken: list[float] = []

    def is_over() -> bool:
        began = time.monotonic()
        timeouts = daemon.metrics().value("sutazai_task_runs_total", task=TASK, outcome="timeout")
        taken.append(time.monotonic() - began)
        assert daemon.process.running
        return timeouts > 0

    wait_for(is_over, 60, "the run was ended at its limit")
    assert statistics.median(taken) < 1, taken
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    (peak_kilobytes,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert int(peak_kilobytes) * 1024 - before < 24 << 20
    assert len(daemon.log()) < 100_000
