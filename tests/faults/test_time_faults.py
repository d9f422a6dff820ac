"""The clock is set while the real daemon runs: faults 29 and 30."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.store import Store
from jobs.core.model import Trigger
from tests.services.clocks import Faketime
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.trial_jobs import KEY, TASK, TrialPackage, wait_runs
from tests.services.wait import wait_for

DAY, HOUR = 86400, 3600
STEP = "the clock was set: schedule made anew"


@pytest.fixture
def package(tmp_path: Path) -> TrialPackage:
    package = TrialPackage(tmp_path / "package")
    package.add("often-work", prefix="often")
    return package


def daemon_of(
    exporter_daemon: Callable[..., ExporterDaemon], package: TrialPackage, faketime: Faketime, at: str
) -> ExporterDaemon:
    """A daemon with a daily task, due at a time of day, and one that goes by intervals."""
    jobs = {KEY: {"schedule": [f"daily at {at}"]}, "often_work": {"schedule": ["every 10 minutes"]}}
    environment = {**package.environment, **faketime.environment, "TZ": "UTC"}
    return exporter_daemon({"jobs": jobs}, environment=environment)


def runs(daemon: ExporterDaemon, task: str = TASK) -> list[tuple[str, str]]:
    """(trigger, slot) of what has run, oldest first."""
    store = Store(daemon.base_dir / "data" / "sutazai.db", read_only=True)
    done = [record.request for record in store.ledger(task) if record.outcome == "ok"]
    store.close()
    return [(request.trigger, request.reason.rpartition(" ")[2]) for request in done[::-1]]


def seconds_to(now: int, hour: int, minute: int) -> int:
    """From now (Unix time) to the next time of day, UTC."""
    return (hour * HOUR + minute * 60 - now) % DAY


def test_back_two_hours_runs_no_day_twice_and_keeps_intervals_at_their_pace(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], faketime: Faketime
) -> None:
    """Fault 29."""
    shift = seconds_to(int(time.time()), 12, 1)
    faketime.move(shift)
    daemon = daemon_of(exporter_daemon, package, faketime, "12:00")
    wait_runs(daemon, "ok")  # seen as it begins
    (first,) = runs(daemon)
    assert first[0] == Trigger.SCHEDULE
    wait_for(lambda: len(runs(daemon, "often-work")) == 1, 60, "the interval task has run")

    def move(seconds: int) -> None:
        """Set the clock, and wait until the daemon has noticed: of two steps between its looks it sees the sum."""
        before = daemon.log().count(STEP)
        faketime.move(seconds)
        wait_for(lambda: daemon.log().count(STEP) > before, 60, "the step is noticed", detail=daemon.log)

    def wait_interval_runs(count: int) -> None:
        wait_for(lambda: len(runs(daemon, "often-work")) == count, 60, f"{count} intervals", detail=daemon.log)

    move(shift - 2 * HOUR)
    wait_interval_runs(2)  # of 10:00, which had not been
    for count, minutes in ((3, 11), (4, 21)):
        move(shift - 2 * HOUR + minutes * 60)
        wait_interval_runs(count)
    move(shift + 60)  # past noon once more
    before = len(runs(daemon, "often-work"))
    move(shift + 11 * 60)
    wait_for(lambda: len(runs(daemon, "often-work")) > before, 60, "intervals go on", detail=daemon.log)
    assert runs(daemon) == [first]


def test_forward_three_days_is_one_catch_up(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], faketime: Faketime
) -> None:
    """Fault 30."""
    shift = seconds_to(int(time.time()), 18, 0)
    faketime.move(shift)
    daemon = daemon_of(exporter_daemon, package, faketime, "12:00")
    wait_for(lambda: len(runs(daemon, "often-work")) == 1, 60, "the interval task has run")
    assert runs(daemon) == []  # a new installation does not catch up on this noon

    faketime.move(shift + 3 * DAY)
    wait_runs(daemon, "ok")
    daemon.wait_metric("sutazai_task_missed_runs_total", {"task": TASK}, lambda value: value == 2)
    ((trigger, slot),) = runs(daemon)
    assert trigger == Trigger.CATCH_UP
    wait_for(lambda: len(runs(daemon, "often-work")) == 2, 60, "one interval run, not hundreds", detail=daemon.log)
    labels = {"task": "often-work"}
    daemon.wait_metric("sutazai_task_missed_runs_total", labels, lambda value: value == 3 * 144 - 1)

    faketime.move(shift)  # and back: what was done stays done
    daemon.wait_log(f"step_seconds=-{3 * DAY}")
    faketime.move(shift + 3 * DAY)
    daemon.wait_log(f"step_seconds={3 * DAY}")
    daemon.get("/-/ready").raise_for_status()
    assert [slot for _, slot in runs(daemon)].count(slot) == 1


def test_downtime_of_three_days_is_one_catch_up(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], faketime: Faketime
) -> None:
    shift = seconds_to(int(time.time()), 18, 0)
    faketime.move(shift)
    daemon = daemon_of(exporter_daemon, package, faketime, "12:00")
    daemon.stop()
    faketime.move(shift + 3 * DAY)
    daemon.start()
    wait_runs(daemon, "ok")
    assert [trigger for trigger, _ in runs(daemon)] == [Trigger.CATCH_UP]
    assert daemon.metrics().value("sutazai_task_missed_runs_total", task=TASK) == 2
    daemon.stop()
    daemon.start()
    assert len(runs(daemon)) == 1


def test_a_run_lasts_as_long_as_it_lasts_whatever_the_clock_says(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], faketime: Faketime, tmp_path: Path
) -> None:
    environment, gate = {**package.environment, **faketime.environment}, tmp_path / "gate"
    # (libfaketime breaks sleep().)
    code = f"import threading\nwhile not Path({str(gate)!r}).exists(): threading.Event().wait(0.02)"
    jobs = {KEY: {"code": code, "schedule": ["every 60 minutes"], "max_run_seconds": 30}}
    daemon = exporter_daemon({"jobs": jobs}, environment=environment)
    daemon.wait_metric("sutazai_task_running", {"task": TASK}, lambda value: value == 1)
    faketime.move(DAY)
    daemon.wait_log(STEP)
    gate.touch()
    labels = {"task": TASK, "outcome": "ok"}
    daemon.wait_metric("sutazai_task_runs_total", labels, lambda count: count >= 1)  # that of the new hour follows it
    assert daemon.metrics().value("sutazai_task_runs_total", task=TASK, outcome="timeout") == 0
    assert daemon.metrics().value("sutazai_task_duration_seconds_sum", task=TASK) < 30
