"""Nothing that the exporter keeps is taken for too old by a clock that was just set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exporter.retention import may_remove
from exporter.runs.runner import Runner
from exporter.store import Store
from jobs.clients.host import Host
from jobs.core.model import Request
from tests.services.agent_runs import MovableClock
from tests.services.trial_jobs import TASK, TrialPackage, configuration_of, work

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
YEAR = timedelta(days=365)


class Uptime:
    """Seconds since the machine was started, moved by hand: nothing else can set that clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        monkeypatch.setattr(Host, "uptime_seconds", lambda _: self.seconds)


@pytest.fixture
def uptime(monkeypatch: pytest.MonkeyPatch) -> Uptime:
    return Uptime(monkeypatch)


def test_time_that_has_passed_is_no_jump(tmp_path: Path, uptime: Uptime) -> None:
    assert may_remove(tmp_path, "ledger", NOON)
    uptime.seconds += YEAR.total_seconds()
    assert may_remove(tmp_path, "ledger", NOON + YEAR)


@pytest.mark.parametrize("jump", [YEAR, -YEAR, timedelta(hours=2)], ids=["forward", "back", "two hours"])
def test_after_a_jump_one_occasion_passes(tmp_path: Path, uptime: Uptime, jump: timedelta) -> None:
    assert may_remove(tmp_path, "ledger", NOON)
    assert not may_remove(tmp_path, "ledger", NOON + jump)
    assert may_remove(tmp_path, "ledger", NOON + jump), "from then on the new time counts"


def test_a_jump_takes_no_report(tmp_path: Path, uptime: Uptime) -> None:
    package = TrialPackage(tmp_path / "package")
    with package.in_process():
        base = tmp_path / "base"
        clock = MovableClock()
        code = 'result = Result(status="OK", report={"a": 1})'
        runner = Runner(configuration_of(base, work(code)), Store(base / "data" / "sutazai.db"), clock)

        def reports() -> int:
            runner.run(Request(task=TASK))
            return len([file for file in (base / "reports").rglob("*.json") if not file.is_symlink()])

        assert reports() == 1
        clock.advance(60)
        uptime.seconds += 60
        assert reports() == 2
        clock.advance(YEAR.total_seconds())
        assert reports() == 3, "a year that never was has made nothing old"
        clock.advance(YEAR.total_seconds())
        uptime.seconds += YEAR.total_seconds()
        assert reports() == 1, "a year later all but the newest go"
