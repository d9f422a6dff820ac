"""The daemon ends between the tick and the run, or in mid-run: the day's run is made all the same, and once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from exporter.locks import FileLock, run_lock
from exporter.record import Record
from exporter.store import Store
from jobs.core.cadence import Cadence
from tests.services.exporter_daemon import ExporterDaemon, run_cli
from tests.services.trial_jobs import KEY, TASK, TrialPackage, wait_runs

DAILY = Cadence.parse(f"daily at {datetime.now() + timedelta(hours=12):%H}:00")  # noqa: DTZ005 (the daemon's zone)
"""Its day's slot began half a day ago, and the next one begins half a day from now: none while a test goes on."""
FIRST, LAST = "a-work", "z-work"
"""One run at a time: the first of these is begun before the task under test, and the last after it."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> TrialPackage:
    made = TrialPackage(tmp_path_factory.mktemp("package") / "package")
    made.add(FIRST, prefix="first")
    made.add(LAST, prefix="last")
    return made


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base directory where the day's slot is due, after one that was claimed the day before."""
    directory = tmp_path / "base"
    now = datetime.now().astimezone()
    with closing(store_of(directory)) as store:
        store.claim_slot(TASK, DAILY.key, DAILY.due_slot(now - timedelta(days=1)), now)
    return directory


def store_of(base: Path) -> Store:
    return Store(base / "data" / "sutazai.db")


def work(code: str = "", first: str = "", schedule: str = str(DAILY)) -> dict[str, object]:
    """The task has a slot each day; the others run whenever a daemon starts."""
    often = {"schedule": ["every 60 minutes"]}
    jobs = {KEY: {"code": code, "schedule": [schedule]}, "a_work": {"code": first, **often}, "z_work": often}
    return {"jobs": jobs, "runs": {"max_parallel": 1}}


def waiting_for(file: Path) -> str:
    return f"while not Path({str(file)!r}).exists(): time.sleep(0.02)"


def runs(base: Path, task: str = TASK) -> list[Record]:
    """What has run, oldest first."""
    with closing(store_of(base)) as store:
        return store.ledger(task)[::-1]


def claimed(base: Path) -> bool:
    now = datetime.now().astimezone()
    with closing(store_of(base)) as store:
        return store.is_claimed(TASK, DAILY.key, DAILY.due_slot(now))


def wait_all_had_their_turn(daemon: ExporterDaemon) -> None:
    labels = {"task": LAST, "outcome": "ok"}
    daemon.wait_metric("sutazai_task_runs_total", labels, lambda value: value >= 1)


@contextmanager
def held(base: Path) -> Iterator[None]:
    """Somebody else is at the task."""
    lock = FileLock(run_lock(base, TASK, ""), "somebody")
    try:
        yield
    finally:
        lock.release()


@pytest.mark.parametrize(
    ("what", "number"), [("its turn", signal.SIGKILL), ("its turn", signal.SIGTERM), ("the lock", signal.SIGKILL)]
)
def test_a_slot_that_waits_for_its_turn_or_the_lock_survives_the_daemon(
    package: TrialPackage,
    exporter_daemon: Callable[..., ExporterDaemon],
    base: Path,
    tmp_path: Path,
    what: str,
    number: signal.Signals,
) -> None:
    first = waiting_for(tmp_path / "gate") if what == "its turn" else ""
    with nullcontext() if first else held(base):
        daemon = exporter_daemon(work(first=first), environment=package.environment, base_dir=base)  # it has ticked
        if first:
            daemon.wait_metric("sutazai_task_running", {"task": FIRST}, lambda value: value == 1)
        else:
            labels = {"task": FIRST, "outcome": "ok"}
            daemon.wait_metric("sutazai_task_runs_total", labels, lambda value: value >= 1)
        daemon.process.send(number)
        daemon.process.popen.wait(30)
    assert not claimed(base)
    daemon.configure(work())
    daemon.start()
    wait_runs(daemon, "ok")
    wait_all_had_their_turn(daemon)
    done = [run for run in runs(base) if run.outcome != "skipped"]
    assert [run.outcome for run in done] == ["ok"]
    assert done[0].request.reason.startswith(f"{DAILY.key}, slot ")
    assert daemon.metrics().value("sutazai_task_missed_runs_total", task=TASK) == 0
    assert claimed(base)


def test_what_cron_did_while_it_waited_is_not_done_again(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], base: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    daemon = exporter_daemon(work(first=waiting_for(gate)), environment=package.environment, base_dir=base)
    daemon.wait_metric("sutazai_task_running", {"task": FIRST}, lambda value: value == 1)
    done = run_cli("run", TASK, "--scheduled", base_dir=base, config=work(), env=package.environment)
    assert done.returncode == 0, done.stderr
    gate.touch()
    wait_all_had_their_turn(daemon)
    daemon.wait_log("somebody else has run it meanwhile")
    assert [run.outcome for run in runs(base)] == ["ok"]


def test_what_ends_the_daemon_each_time_does_so_twice_and_not_for_ever(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], base: Path
) -> None:
    daemon = exporter_daemon(work("time.sleep(600)"), environment=package.environment, base_dir=base)
    for _ in range(2):
        daemon.wait_metric("sutazai_task_running", {"task": TASK}, lambda value: value == 1)
        daemon.kill()
        daemon.start()
    wait_all_had_their_turn(daemon)  # the lives before ended before its turn came
    assert [run.outcome for run in runs(base)] == ["error"] * 2
    assert len({run.request.reason for run in runs(base)}) == 1
    assert claimed(base)
    assert daemon.metrics().value("sutazai_task_missed_runs_total", task=TASK) == 0


@pytest.mark.parametrize(
    ("number", "outcome", "error"),
    [(signal.SIGKILL, "error", "cut off: "), (signal.SIGTERM, "stopped", "stopped with the exporter")],
)
def test_a_backup_of_the_night_that_was_cut_short_is_made_that_night(
    package: TrialPackage,
    exporter_daemon: Callable[..., ExporterDaemon],
    base: Path,
    number: signal.Signals,
    outcome: str,
    error: str,
) -> None:
    daemon = exporter_daemon(work("time.sleep(600)"), environment=package.environment, base_dir=base)
    daemon.wait_metric("sutazai_task_running", {"task": TASK}, lambda value: value == 1)
    daemon.process.send(number)
    daemon.process.popen.wait(30)
    daemon.configure(work())
    daemon.start()
    wait_runs(daemon, "ok")
    first, second = runs(base)
    assert first.outcome == outcome
    assert first.error.startswith(error)
    assert (second.outcome, second.request.trigger) == ("ok", "catch-up")
    assert first.request.reason == second.request.reason
