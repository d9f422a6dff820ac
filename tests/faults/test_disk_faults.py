"""Disks that stop: read-only (fault 3), frozen (fault 9), full. The daemon goes on answering and says what is wrong."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.command_here import run_here
from tests.services.disks import ext4, frozen, make_read_only, tmpfs
from tests.services.exporter_daemon import ExporterDaemon, run_cli
from tests.services.trees import tree_digest
from tests.services.trial_jobs import TASK, TrialPackage, operator, start, wait_runs, work
from tests.services.wait import wait_for


@pytest.fixture
def disk() -> Iterator[Path]:
    with ext4() as mount:
        yield mount


def answers_at_once(daemon: ExporterDaemon) -> None:
    for path in ("/metrics", "/-/healthy", "/"):
        taken = [seconds_of(daemon, path) for _ in range(5)]
        assert statistics.median(taken) < 1, (path, taken)  # single ones are the machine's: it may have other work


def seconds_of(daemon: ExporterDaemon, path: str) -> float:
    began = time.monotonic()
    assert daemon.get(path, timeout=5).status_code == 200
    return time.monotonic() - began


def test_a_base_directory_that_becomes_read_only(package: TrialPackage, disk: Path) -> None:
    """Fault 3."""
    daemon = ExporterDaemon(work(), environment=package.environment, base_dir=disk / "base")
    try:
        headers = operator(daemon)
        start(daemon, headers)
        wait_runs(daemon, "ok")
        assert daemon.metrics().value("sutazai_store_up") == 1
        make_read_only(disk)
        start(daemon, headers)
        daemon.wait_metric("sutazai_store_up", {}, lambda value: value == 0)
        daemon.wait_log("sutazai.db: the store cannot be used: ")
        answers_at_once(daemon)
        # Nothing ran that could not be entered, what was known stays, and the API says what it can or why not.
        metrics = daemon.metrics()
        assert metrics.value("sutazai_task_runs_total", task=TASK, outcome="ok") == 1
        assert metrics.value("sutazai_task_running", task=TASK) == 0
        answer = daemon.get("/api/v1/runs")
        assert answer.status_code in (200, 503)
        if answer.status_code == 503:
            assert "sutazai.db" in answer.json()["detail"]
        daemon.wait_log("commands are not told what is wrong here")
        assert "Traceback" not in daemon.log()
    finally:
        daemon.close()


def test_a_start_on_a_read_only_file_system_is_one_line(package: TrialPackage, disk: Path) -> None:
    make_read_only(disk)
    daemon = ExporterDaemon(work(), environment=package.environment, base_dir=disk / "base", wait=False)
    try:
        assert daemon.process.popen.wait(30) == 69
        (line,) = daemon.log().splitlines()
        assert f"{disk}/base" in line
        assert "Read-only file system; set SUTAZAI_BASE_DIR" in line
    finally:
        daemon.close()


def test_a_base_directory_that_is_frozen(package: TrialPackage, disk: Path) -> None:
    """Fault 9, where the store itself is stuck."""
    daemon = ExporterDaemon(work(), environment=package.environment, base_dir=disk / "base")
    try:
        headers = operator(daemon)
        start(daemon, headers)
        wait_runs(daemon, "ok")
        with frozen(disk):
            start(daemon, headers)  # waits for its lock file
            start(daemon, headers)  # would be entered as skipped, and waits for the store
            answers_at_once(daemon)
            daemon.wait_metric("sutazai_store_up", {}, lambda value: value == 0, timeout_seconds=40)
            daemon.wait_log("the store does not answer: its disk is frozen or gone")
            answers_at_once(daemon)
        wait_runs(daemon, "ok", 2)
        daemon.wait_metric("sutazai_store_up", {}, lambda value: value == 1)
    finally:
        daemon.close()


def test_a_run_that_writes_to_a_frozen_disk_is_reported_as_stuck(package: TrialPackage, disk: Path) -> None:
    """Fault 9, where it is the job that is stuck: not even SIGKILL ends it."""
    code = f"Path({str(disk / 'file')!r}).write_text('x')"
    daemon = ExporterDaemon(work(code, task={"max_run_seconds": 1}), environment=package.environment)
    try:
        with frozen(disk):
            start(daemon)
            daemon.wait_metric("sutazai_task_running", {"task": TASK}, lambda value: value == 1)
            answers_at_once(daemon)
            wait_runs(daemon, "timeout", timeout_seconds=40)
            answers_at_once(daemon)
            error = daemon.get(f"/api/v1/runs?task={TASK}").json()["runs"][0]["error"]
            assert error.startswith("not done after 1 s; killed with all its children; pid ")
            assert "survived SIGKILL (state D, waiting in " in error
            # It still holds the task's lock: nobody else is sent after it onto the same disk.
            start(daemon)
        wait_runs(daemon, "ok", 1)
        assert (disk / "file").exists()
    finally:
        daemon.close()


def test_a_full_disk_is_an_error_that_says_so(package: TrialPackage, tmp_path: Path) -> None:
    with ext4(megabytes=8) as disk:
        daemon = ExporterDaemon(work(), environment=package.environment, base_dir=disk / "base")
        try:
            headers = operator(daemon)
            start(daemon, headers)
            wait_runs(daemon, "ok")
            _fill(disk / "filler")
            for _ in range(50):
                start(daemon, headers)
                if daemon.metrics().value("sutazai_store_up") == 0 or "No space left" in daemon.log():
                    break
            wait_for(lambda: "full" in daemon.log() or "No space left" in daemon.log(), 20, "the log names the cause")
            answers_at_once(daemon)
            (disk / "filler").unlink()
            wait_for(lambda: _works(daemon, headers), 30, "it works again", detail=daemon.log)
            assert daemon.metrics().value("sutazai_store_up") == 1
        finally:
            daemon.close()


def test_on_a_full_disk_the_remedy_is_room() -> None:
    with ext4(megabytes=8) as disk:
        (disk / "base").mkdir()
        _fill(disk / "filler")
        for command in (["serve"], ["token", "create", "--name", "x", "--scope", "read"], ["rules", "--output", "R"]):
            arguments = [str(disk / "base" / "r") if argument == "R" else argument for argument in command]
            done = run_cli(*arguments, base_dir=disk / "base")
            assert done.returncode == 69, done
            assert done.stderr.endswith(": No space left on device; make room\n"), done
            assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("inodes", [0, 3], ids=["no bytes left", "no inodes left"])
@pytest.mark.parametrize("command", ["alertmanager-config", "rules"])
def test_what_cannot_be_written_to_a_full_disk_leaves_no_directories_there(
    tmp_path: Path, command: str, inodes: int
) -> None:
    with tmpfs(1, inodes) as mount:
        if not inodes:
            (mount / "all of it").write_bytes(bytes(1 << 20))
        before = tree_digest(mount)
        done = run_here(command, "--output", str(mount / "one" / "two" / "three"), base_dir=tmp_path / "base")
        assert (done.returncode, done.stdout) == (69, "")
        assert done.stderr.splitlines()[-1].endswith("cannot be written: No space left on device; make room")
        assert tree_digest(mount) == before


def _fill(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(descriptor, b"x" * size)
    finally:
        os.close(descriptor)


def _works(daemon: ExporterDaemon, headers: dict[str, str]) -> bool:
    before = daemon.metrics().value("sutazai_task_runs_total", task=TASK, outcome="ok")
    start(daemon, headers)
    wait_for(lambda: daemon.metrics().value("sutazai_task_running", task=TASK) == 0, 60, "no run is under way")
    return daemon.metrics().value("sutazai_task_runs_total", task=TASK, outcome="ok") > before
