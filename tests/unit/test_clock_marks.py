"""A clock that was set is noticed by comparing it with the time since boot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.clients.clock_marks import ClockMarks
from jobs.core.clock_jump import clock_finding

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = 86400.0


def marks(base_dir: Path, uptime: float, boot: str = "first") -> ClockMarks:
    return ClockMarks(base_dir, uptime=lambda: uptime, boot_id=lambda: boot)


@pytest.mark.parametrize(
    ("wall_passed", "uptime_passed", "jump_seconds"),
    [
        (DAY, DAY, None),
        (DAY + 3500, DAY, None),
        (DAY + 3 * DAY, DAY, 3 * DAY),
        (DAY - 2 * 3600, DAY, -2 * 3600.0),
        (-30 * DAY, 60.0, -30 * DAY - 60),
    ],
)
def test_only_a_clock_that_was_set_by_more_than_an_hour_counts(
    tmp_path: Path, wall_passed: float, uptime_passed: float, jump_seconds: float | None
) -> None:
    marks(tmp_path, 1000).set("task", NOW)
    jump = marks(tmp_path, 1000 + uptime_passed).jump("task", NOW + timedelta(seconds=wall_passed))
    assert jump == (None if jump_seconds is None else timedelta(seconds=jump_seconds))


def test_a_machine_that_was_off_for_days_has_not_had_its_clock_set(tmp_path: Path) -> None:
    marks(tmp_path, 1000).set("task", NOW)
    after_reboot = marks(tmp_path, 5, "second")
    assert after_reboot.jump("task", NOW + timedelta(days=9)) is None
    assert after_reboot.jump("task", NOW - timedelta(days=1)) == timedelta(days=-1)


def test_each_task_has_its_own_mark_and_the_first_run_none(tmp_path: Path) -> None:
    marks(tmp_path, 1000).set("task", NOW)
    assert marks(tmp_path, 1000).jump("other", NOW + timedelta(days=9)) is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b"[" * 5000, b'{"wall": "x"}'])
def test_a_mark_that_cannot_be_understood_is_none(tmp_path: Path, content: bytes) -> None:
    marks(tmp_path, 1000).set("task", NOW)
    (tmp_path / "data" / "clock" / "task.json").write_bytes(content)
    assert marks(tmp_path, 1000).jump("task", NOW) is None


def test_the_real_clocks_agree(tmp_path: Path) -> None:
    real = ClockMarks(tmp_path)
    real.set("task", datetime.now(UTC))
    assert real.jump("task", datetime.now(UTC)) is None


def test_the_finding_says_which_way_and_what_is_left_undone() -> None:
    found = clock_finding(timedelta(days=-3), "no archive is deleted")
    assert found.message == "the clock was set back by 72.0 h since the last run: no archive is deleted in this run"
