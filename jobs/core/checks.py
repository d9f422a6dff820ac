"""What a check is, and what many checks amount to: a status, a score, findings and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from jobs.core.model import Deduction, Family, Finding, Observation, Sample, Severity

SERVICE_POINTS = 20.0
OTHER_POINTS = 10.0
_DOUBT_POINTS = 5.0

CHECK_UP = Family(
    name="sutazai_check_up",
    help="1 if the checked thing works (with or without a warning), 0 if it failed; absent if nobody could tell.",
    labels=("check",),
)
CHECK_STATUS = Family(
    name="sutazai_check_status", help="1 for the status that a check came to, 0 for others.", labels=("check", "status")
)
CHECK_DURATION = Family(
    name="sutazai_check_duration_seconds", help="How long a check took, if it ended in time.", labels=("check",)
)
FAMILIES = (CHECK_UP, CHECK_STATUS, CHECK_DURATION)


class Status(StrEnum):
    """What a check came to. Unknown: it could not be made. Not configured: there is nothing to check."""

    PASS = "pass"  # noqa: S105  # not a password
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"
    NOT_CONFIGURED = "not_configured"


@dataclass(frozen=True)
class Answer:
    """A judgement on what was read; `details` are for the report, `samples` and `observations` to be kept."""

    status: Status
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    samples: tuple[Sample, ...] = ()
    observations: tuple[Observation, ...] = ()


@dataclass(frozen=True)
class Planned:
    """A check to be made: `read` may take its time on any thread, `judge` is quick and given what was read.

    `configured` says that somebody wants the thing to be there. `failed_read` is the status of a reading that the
    service did not give: the service's own check has failed, one that looks at something through it is unknown.
    `remedy` helps where nothing could be read.
    """

    name: str
    read: Callable[[], Any]
    judge: Callable[[Any], Answer]
    configured: bool = False
    failure_points: float = OTHER_POINTS
    failed_read: Status = Status.FAIL
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """A check that was made, or given up at the deadline: then `seconds` is None."""

    planned: Planned
    answer: Answer
    at: datetime
    seconds: float | None

    @property
    def name(self) -> str:
        """The check's name."""
        return self.planned.name

    @property
    def status(self) -> Status:
        """What it came to."""
        return self.answer.status


def counted(checks: Sequence[Check], status: Status) -> int:
    """How many checks came to `status`."""
    return sum(check.status is status for check in checks)


def overall(checks: Sequence[Check], critical_failed_checks: int) -> tuple[str, int]:
    """The system's status and its exit code."""
    failed = counted(checks, Status.FAIL)
    if failed >= critical_failed_checks:
        return "CRITICAL", 3
    if failed:
        return "DEGRADED", 2
    if counted(checks, Status.WARN) or counted(checks, Status.UNKNOWN):
        return "WARNING", 1
    return "HEALTHY", 0


def deductions(checks: Sequence[Check]) -> list[Deduction]:
    """What each check takes off the score: a failure its own points, a warning or the unknown five."""
    points = {Status.WARN: _DOUBT_POINTS, Status.UNKNOWN: _DOUBT_POINTS}
    return [
        Deduction(points=points.get(check.status, check.planned.failure_points), reason=f"{check.name}_{check.status}")
        for check in checks
        if check.status not in (Status.PASS, Status.NOT_CONFIGURED)
    ]


def findings(checks: Sequence[Check]) -> list[Finding]:
    """One finding for each check that did not pass."""
    return [
        Finding(
            kind=check.status,
            subject=f"check/{check.name}",
            severity=_severity(check),
            message=check.answer.message,
            remedy=check.answer.remedy,
        )
        for check in checks
        if check.status is not Status.PASS
    ]


def samples(checks: Sequence[Check]) -> list[Sample]:
    """The metrics that every check has, and those of its own."""
    return [sample for check in checks for sample in (*_common_samples(check), *check.answer.samples)]


def sample(family: Family, value: float, **labels: str) -> Sample:
    """One value of `family`."""
    return Sample(family=family.name, value=value, labels=labels)


def listed(texts: Sequence[str]) -> str:
    """The first few of many texts, and how many more there are."""
    shown = "; ".join(texts[:5])
    return f"{shown}; and {len(texts) - 5} more" if len(texts) > 5 else shown


def _common_samples(check: Check) -> list[Sample]:
    found = [sample(CHECK_STATUS, status is check.status, check=check.name, status=status) for status in Status]
    if check.status in (Status.PASS, Status.WARN, Status.FAIL):
        found.append(sample(CHECK_UP, check.status is not Status.FAIL, check=check.name))
    if check.seconds is not None:
        found.append(sample(CHECK_DURATION, check.seconds, check=check.name))
    return found


def _severity(check: Check) -> Severity:
    if check.status is Status.FAIL:
        return Severity.CRITICAL if check.planned.failure_points >= SERVICE_POINTS else Severity.HIGH
    return Severity.INFO if check.status is Status.NOT_CONFIGURED else Severity.MEDIUM
