"""Runs that are killed, that never end, that print without end: what is recorded, and that nothing is left over."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from exporter.clock import SystemClock
from exporter.processes.reader import MAX_ANSWER_BYTES
from exporter.record import Record
from exporter.runs.answer import Watcher
from exporter.runs.runner import Runner
from exporter.store import Store
from jobs.core.model import Outcome, Request
from tests.services.binaries import need_root
from tests.services.trial_jobs import TASK, TrialPackage, configuration_of, work
from tests.services.wait import wait_for

FAMILY = """
def note(name, pid):
    (PLACE / f".{name}").write_text(str(pid))
    (PLACE / f".{name}").rename(PLACE / name)
def nap(name):
    note(name, os.getpid())
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
    time.sleep(600)
def leave(name):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: nap(name)
        os._exit(0)
    os.wait()
note("run", os.getpid())
child = subprocess.Popen(["sleep", "600"]); note("child", child.pid)
apart = subprocess.Popen(["setsid", "sleep", "600"]); note("apart", apart.pid)
if os.fork() == 0: nap("stubborn")
leave("daemon")
while len(list(PLACE.glob("[a-z]*"))) < 5: time.sleep(0.01)
"""
NAMES = {"run", "child", "apart", "stubborn", "daemon"}


@pytest.fixture(autouse=True)
def trial(tmp_path: Path) -> Iterator[TrialPackage]:
    package = TrialPackage(tmp_path / "package")
    with package.in_process():
        yield package


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where members of a run's family leave their process ids; who is still there afterwards is ended."""
    directory = tmp_path / "place"
    directory.mkdir()
    yield directory
    # Process ids that a test has left to us: those that are still what they were are ended.
    for file in directory.iterdir():
        with contextlib.suppress(psutil.Error, ValueError):
            process = psutil.Process(int(file.read_text()))
            if "sleep" in process.name() or "python" in process.name():
                process.kill()


def runner_of(tmp_path: Path, code: str, **settings: Any) -> Runner:
    base = tmp_path / "base"
    configuration = configuration_of(base, work(code, task=settings, runs={"stop_grace_seconds": 1}))
    return Runner(configuration, Store(base / "data" / "sutazai.db"), SystemClock())


def run(tmp_path: Path, code: str, **settings: Any) -> Record:
    return runner_of(tmp_path, code, **settings).run(Request(task=TASK))


def family(place: Path) -> str:
    return f"PLACE = Path({str(place)!r})\n" + FAMILY


def assert_gone(place: Path) -> None:
    pids = {file.name: int(file.read_text()) for file in place.iterdir()}
    assert set(pids) == NAMES

    def alive() -> list[str]:
        return [name for name, pid in pids.items() if psutil.pid_exists(pid) and not _is_zombie(pid)]

    wait_for(lambda: not alive(), 60, "the whole family is gone", detail=lambda: f"alive: {alive()}")


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# Fault 13


def test_a_run_that_never_ends_is_killed_with_all_its_children(tmp_path: Path, place: Path) -> None:
    record = run(tmp_path, family(place) + "time.sleep(600)", max_run_seconds=2)
    assert record.outcome is Outcome.TIMEOUT
    assert record.error == "not done after 2 s; killed with all its children"
    assert 2 <= record.duration_seconds < 10
    assert_gone(place)


def test_a_run_that_will_not_hear_is_killed_all_the_same(tmp_path: Path) -> None:
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(600)"
    stop = threading.Event()
    runner = runner_of(tmp_path, code)
    runner.stop = stop
    began = time.monotonic()
    watcher = Watcher(started=lambda request, at: stop.set())
    record = runner.run(Request(task=TASK), watcher)
    assert record.outcome is Outcome.STOPPED
    assert record.error == "stopped with the exporter"
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("end", "outcome"),
    [("pass", Outcome.OK), ("raise JobError('no')", Outcome.ERROR), ("os.kill(os.getpid(), 9)", Outcome.ERROR)],
)
def test_nothing_outlives_a_run_however_it_ends(tmp_path: Path, place: Path, end: str, outcome: Outcome) -> None:
    assert run(tmp_path, family(place) + end).outcome is outcome
    assert_gone(place)


def test_a_child_that_keeps_the_pipes_open_keeps_nobody_waiting(tmp_path: Path, place: Path) -> None:
    """Who leaves the group and drops the environment as well is not found, and not waited for either."""
    child = "subprocess.Popen(['sleep', '600'], env={}, start_new_session=True)"
    record = run(tmp_path, f"Path({str(place / 'child')!r}).write_text(str({child}.pid))")
    assert record.outcome is Outcome.OK
    assert record.duration_seconds < 10


# Fault 12


@pytest.mark.parametrize(
    "code",
    [
        "subprocess.run(['yes', 'x' * 1000])",
        "subprocess.run(['sh', '-c', 'yes 1>&2'])",
        "subprocess.run(['cat', '/dev/zero'])",
        "subprocess.Popen(['yes']); time.sleep(600)",
    ],
)
def test_output_without_end_is_drained_and_not_kept(tmp_path: Path, code: str) -> None:
    before = psutil.Process().memory_info().rss
    record = run(tmp_path, code, max_run_seconds=1)
    assert record.outcome is Outcome.TIMEOUT
    assert psutil.Process().memory_info().rss - before < 32 << 20


def test_output_without_end_from_a_child_that_is_left_behind(tmp_path: Path) -> None:
    record = run(tmp_path, "subprocess.Popen(['setsid', 'yes', 'x' * 1000])")
    assert record.outcome is Outcome.OK
    assert record.duration_seconds < 10


@pytest.mark.parametrize(
    "piece", ["b'x' * 65536", '(b\'{"log": {"level": "debug", "message": "\' + b\'x\' * 60000 + b\'"}}\\n\')']
)
def test_an_answer_without_end_is_ended(tmp_path: Path, piece: str) -> None:
    code = f"""
descriptor = int(Path("/proc/self/cmdline").read_text().split("\\0")[-2])
piece = {piece}
while True: os.write(descriptor, piece)
"""
    record = run(tmp_path, code, max_run_seconds=60)
    assert record.outcome is Outcome.ERROR
    assert record.error == f"answered more than {MAX_ANSWER_BYTES >> 20} MiB; killed"


# Fault 11


def test_a_run_that_reaches_its_own_limit_of_memory_says_so(tmp_path: Path) -> None:
    record = run(tmp_path, "x = bytearray(1 << 33)", max_memory_mb=256)
    assert record.outcome is Outcome.ERROR
    assert record.error.startswith("out of memory: the run reached jobs.*.max_memory_mb")


def test_a_child_of_a_run_has_the_same_limit_of_memory(tmp_path: Path) -> None:
    code = """
done = subprocess.run([sys.executable, "-c", "bytearray(1 << 33)"], capture_output=True, text=True)
raise JobError(done.stderr.splitlines()[-1])
"""
    assert run(tmp_path, code, max_memory_mb=256).error == "MemoryError"


def test_a_run_that_the_kernel_kills_for_memory_is_recorded_as_such(tmp_path: Path) -> None:
    with _memory_group(48 << 20) as group:
        code = f"""
Path({str(group / "cgroup.procs")!r}).write_text(str(os.getpid()))
kept = []
while True: kept.append(b"x" * (1 << 20))
"""
        record = run(tmp_path, code, max_run_seconds=60)
    assert record.outcome is Outcome.ERROR
    assert record.error == "killed by the kernel: out of memory; give the host or the run more"


def test_a_run_that_somebody_kills_is_not_taken_for_one_out_of_memory(tmp_path: Path) -> None:
    assert "killed by signal 9" in run(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)").error


@contextlib.contextmanager
def _memory_group(limit_bytes: int) -> Iterator[Path]:
    """A control group with a limit of memory, of whichever version this machine has."""
    need_root("a memory control group")
    root = Path("/sys/fs/cgroup")
    first = (root / "memory").is_dir()
    group = (root / "memory" if first else root) / f"sutazai-test-{secrets.token_hex(4)}"
    group.mkdir()
    try:
        (group / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(limit_bytes))
        yield group
    finally:
        wait_for(lambda: _removed(group), 60, f"{group} is empty and removed")


def _removed(group: Path) -> bool:
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


# What a run may not do to us


def test_a_run_leaves_no_core_file(tmp_path: Path) -> None:
    code = "import resource; result = Result(status=str(resource.getrlimit(resource.RLIMIT_CORE)))"
    record = run(tmp_path, code)
    assert record.result
    assert record.result.status == "(0, 0)"


@pytest.mark.parametrize("free", range(1, 12))
def test_without_free_descriptors_the_run_is_an_error_that_says_so(tmp_path: Path, free: int) -> None:
    runner = runner_of(tmp_path, "time.sleep(600)", max_run_seconds=1)
    gc.collect()  # sockets that other tests have left must not go in between
    before, children = sorted(os.listdir("/proc/self/fd")), psutil.Process().children()  # noqa: PTH208
    spare = [os.dup(0) for _ in range(64)]  # no gap below the limit
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare[-1] + 1, hard))
        for descriptor in spare[len(spare) - free :]:
            os.close(descriptor)
        record = runner.run(Request(task=TASK))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in spare[: len(spare) - free]:
            os.close(descriptor)
    assert "Too many open files" in record.error or record.outcome is Outcome.TIMEOUT
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    wait_for(lambda: psutil.Process().children() == children, 60, "no process is left")
