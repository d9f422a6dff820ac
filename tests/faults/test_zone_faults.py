"""A person's shell has another time zone than the daemon, or than cron: all is told and done as the schedule has it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from exporter.record import EXIT_SKIPPED
from exporter.store import Store
from jobs.core.model import Trigger
from tests.services.clocks import Faketime
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.metrics import value_in
from tests.services.trial_jobs import TASK, TrialPackage, wait_runs, work
from tests.services.wait import wait_for

Run = Callable[..., subprocess.CompletedProcess[str]]
KATHMANDU, ANGELES = "Asia/Kathmandu", "America/Los_Angeles"
DAILY = "daily at 06:00"
CONFIG = work(task={"schedule": [DAILY]})


@pytest.fixture
def tonight(faketime: Faketime) -> Callable[[int, int, int], None]:
    """`tonight(1, 6, 1)` sets the clock to a minute past six (UTC), a day after the first one."""
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)

    def move(day: int, hour: int, minute: int) -> None:
        at = midnight + timedelta(days=day, hours=hour, minutes=minute)
        faketime.move(int(at.timestamp() - time.time()) + 1)

    return move


@pytest.fixture
def there(run_cli: Run, package: TrialPackage, faketime: Faketime, tmp_path: Path) -> Callable[..., Any]:
    """`there(zone, "status")`: the command in a shell with that zone; its exit code, and the document it prints."""

    figures = {"SUTAZAI_TEXTFILE__DIRECTORY": str(tmp_path)}

    def run(zone: str, *arguments: str, **options: Any) -> tuple[int, Any]:
        environment = {**package.environment, **faketime.environment, **figures, "TZ": zone}
        done = run_cli(*arguments, "--json", config=CONFIG, env=environment, **options)
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout or "null")

    return run


def runs(base_dir: Path) -> list[tuple[str, str]]:
    """(trigger, slot) of what the schedule has run, oldest first."""
    with closing(Store(base_dir / "data" / "sutazai.db", read_only=True)) as store:
        done = [record.request for record in store.ledger(TASK) if record.request.trigger is not Trigger.COMMAND]
    return [(request.trigger, request.reason.rpartition(" ")[2]) for request in done[::-1]]


def mark(base_dir: Path) -> str | None:
    with closing(Store(base_dir / "data" / "sutazai.db", read_only=True)) as store:
        return store.newest_slot(TASK, DAILY)


def test_beside_a_daemon_a_day_is_due_when_it_is_for_the_daemon(
    exporter_daemon: Callable[..., ExporterDaemon],
    package: TrialPackage,
    faketime: Faketime,
    tonight: Callable[[int, int, int], None],
    there: Callable[..., Any],
) -> None:
    tonight(0, 1, 0)  # 06:45 in Kathmandu, and yesterday evening in Los Angeles
    environment = {**package.environment, **faketime.environment, "TZ": "UTC"}
    daemon = exporter_daemon(CONFIG, environment=environment)
    wait_for(lambda: mark(daemon.base_dir), 20, "the daemon counts from yesterday's slot", detail=daemon.log)
    at = partial(there, base_dir=daemon.base_dir)
    assert at("UTC", "run", TASK)[0] == 0

    due = []
    for zone in (KATHMANDU, ANGELES):
        code, told = at(zone, "status")
        assert (code, told["verdict"], told["to_do"]) == (0, "good", [])
        due.append(datetime.fromisoformat(told["tasks"][0]["next_run"]))
        assert at(zone, "run", TASK, "--scheduled")[0] == EXIT_SKIPPED
    assert due == [datetime.fromisoformat(daemon.get("/api/v1/tasks").json()[0]["next_run"])] * 2
    assert due[0].utcoffset() == timedelta(hours=5, minutes=45), "it is told in the zone of who looks"
    assert runs(daemon.base_dir) == []

    tonight(0, 6, 0)
    wait_for(lambda: runs(daemon.base_dir), 30, "the daemon has made the day's run", detail=daemon.log)
    wait_runs(daemon, "ok", 2)
    ((trigger, _),) = runs(daemon.base_dir)
    assert trigger == Trigger.SCHEDULE
    tonight(0, 15, 0)  # six has been everywhere
    for zone in (KATHMANDU, ANGELES):
        assert at(zone, "run", TASK, "--scheduled")[0] == EXIT_SKIPPED
    assert len(runs(daemon.base_dir)) == 1

    daemon.stop()
    tonight(1, 5, 59)
    assert at(KATHMANDU, "status")[0] == 0, "the daemon is gone, and nothing was due since"
    tonight(1, 6, 3)
    for zone in (KATHMANDU, ANGELES):
        code, told = at(zone, "status")
        assert (code, [one["subject"] for one in told["to_do"]]) == (2, ["schedule"])
        began = datetime.fromisoformat(told["to_do"][0]["since"]).astimezone(UTC)
        assert (began.hour, began.minute) == (6, 0)


def test_beside_cron_a_day_is_due_when_it_is_for_cron(
    tonight: Callable[[int, int, int], None], there: Callable[..., Any], tmp_path: Path
) -> None:
    tonight(0, 6, 0)
    assert there("UTC", "run", TASK, "--scheduled")[0] == 0
    tonight(1, 1, 0)
    code, told = there(KATHMANDU, "status")
    assert (code, told["verdict"], told["to_do"]) == (0, "good", [])
    due = datetime.fromisoformat(told["tasks"][0]["next_run"]).astimezone(UTC)
    assert (due.hour, due.minute) == (6, 0)
    assert there(KATHMANDU, "run", TASK)[0] == 0
    (written,) = tmp_path.glob("*.prom")
    shown = value_in(written.read_text(), "sutazai_task_next_run_timestamp_seconds", task=TASK)
    assert shown == due.timestamp(), "and the textfile that a run by hand writes says the same"
    tonight(1, 6, 3)
    assert there(ANGELES, "status")[0] == 2
    assert [trigger for trigger, _ in runs(tmp_path / "base")] == [Trigger.SCHEDULE]
