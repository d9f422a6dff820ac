"""Whether the wall clock was set between two moments, and what is told of a run that therefore changes nothing.

By a wrong date what is young would be deleted as old, and what is valid renewed as expired.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from jobs.core.model import Finding, FiniteFloat, Severity, Value

TOLERANCE = timedelta(hours=1)


class ClockMark(Value):
    """The wall clock beside the time since boot, which nobody sets, at one moment of one boot."""

    wall: datetime
    since_boot_seconds: FiniteFloat
    boot_id: str

    def seconds_since(self, earlier: ClockMark) -> float:
        """How long ago the other one was, by the clock that nobody sets where both are of one boot."""
        if self.boot_id == earlier.boot_id:
            return self.since_boot_seconds - earlier.since_boot_seconds
        return (self.wall - earlier.wall).total_seconds()

    def jump(self, later: ClockMark) -> timedelta | None:
        """By how much the clock was set between this mark and a later one, where that is more than an hour; else None.

        Across a reboot nobody knows how long the machine was off: only a clock that went backwards is noticed.
        """
        passed = timedelta(seconds=later.seconds_since(self))
        if self.boot_id != later.boot_id:
            passed = max(timedelta(0), passed)
        jump = later.wall - self.wall - passed
        return jump if abs(jump) > TOLERANCE else None


def clock_finding(jump: timedelta, left_undone: str) -> Finding:
    """That the clock was set by `jump`, and what this run therefore leaves for the next (`no archive is deleted`)."""
    hours = jump.total_seconds() / 3600
    direction = "forward" if hours > 0 else "back"
    return Finding(
        kind="clock_set",
        subject="host/clock",
        severity=Severity.MEDIUM,
        message=f"the clock was set {direction} by {abs(hours):.1f} h since the last run: {left_undone} in this run",
        remedy="see whether the date is right (timedatectl); the next run goes by it",
    )
