"""What is told when the clock was set and a run therefore deletes and renews nothing."""

from __future__ import annotations

from datetime import timedelta

from jobs.core.model import Finding, Severity


def clock_finding(jump: timedelta, left_undone: str) -> Finding:
    """That the clock was set by `jump`, and what this run therefore leaves for the next (`no archive is deleted`)."""
    hours = jump.total_seconds() / 3600
    direction = "forward" if hours > 0 else "back"
    return Finding(
        kind="clock_set",
        subject="host/clock",
        severity=Severity.HIGH,
        message=f"the clock was set {direction} by {abs(hours):.1f} h since the last run: {left_undone} in this run",
        remedy="see whether the date is right (timedatectl); the next run goes by it",
    )
