"""What one part of the maintenance (a PostgreSQL server, Redis, the backups) came to, and what all amount to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.core.model import Action, Finding, Observation, Sample, Severity
from jobs.core.ports import Reporter

STANDARD, FULL, STATISTICS = "standard", "full", "statistics"
"""What a part may do: what is due is done, everything is done, nothing is changed."""
BACKUP, VACUUM = "backup", "vacuum"
"""Modes of the job in which one sort of part does what is due, and the others only take their statistics."""
MODES = (STANDARD, FULL, STATISTICS, BACKUP, VACUUM)

BACKUPS, POSTGRES, REDIS = "backup", "postgresql", "redis"
"""The sorts of parts, as their sections of the report are called."""
_ALONE = {BACKUP: BACKUPS, VACUUM: POSTGRES}

_SHARES = 1000


@dataclass(frozen=True)
class Part:
    """What one part found and did.

    `name` is stable (`redis`, `backups`, `postgres/main`). `samples` were measured in this very run. `lasting` are
    gauges of a maintenance: they are remembered, and exported again by the runs that only take statistics, which leave
    it empty. `failed`: it did not do its work, whatever else it found. `absent`: it is neither configured nor there.
    """

    name: str
    report: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    actions: tuple[Action, ...] = ()
    samples: tuple[Sample, ...] = ()
    lasting: tuple[Sample, ...] = ()
    observations: tuple[Observation, ...] = ()
    failed: bool = False
    absent: bool = False


@dataclass
class Gathered:
    """What a part is made of, while it is at work."""

    report: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    lasting: list[Sample] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    failed: bool = False

    def fail(self, kind: str, subject: str, message: str, severity: Severity = Severity.HIGH, remedy: str = "") -> None:
        """Note that something was not done, and why."""
        self.failed = True
        self.note(kind, subject, message, severity, remedy)

    def note(self, kind: str, subject: str, message: str, severity: Severity, remedy: str = "") -> None:
        """Note something that a person should know."""
        line = " ".join(message.split())
        self.findings.append(Finding(kind=kind, subject=subject, severity=severity, message=line, remedy=remedy))

    def part(self, name: str) -> Part:
        """All of it as a part of the maintenance."""
        return Part(
            name,
            self.report,
            tuple(self.findings),
            tuple(self.actions),
            tuple(self.samples),
            tuple(self.lasting),
            tuple(self.observations),
            self.failed,
        )


@dataclass(frozen=True)
class Share:
    """A Reporter for one of several parts: its progress is a share of the whole's."""

    whole: Reporter
    place: int
    of: int

    def progress(self, done: int, total: int, message: str) -> None:
        """`done` of `total` steps of this part."""
        within = min(1.0, done / total) if total > 0 else 0.0
        self.whole.progress(round((self.place + within) * _SHARES), self.of * _SHARES, message)

    def log(self, level: str, message: str) -> None:
        """One line for the run's log."""
        self.whole.log(level, message)


def mode_of(section: str, mode: str) -> str:
    """Given a sort of part and a mode of the job, return what such a part does: standard, full or statistics."""
    if mode not in _ALONE:
        return mode
    return STANDARD if section == _ALONE[mode] else STATISTICS


def overall(parts: Sequence[Part], findings: Sequence[Finding]) -> tuple[str, int]:
    """The status that all parts and findings amount to, and its exit code."""
    worst = {finding.severity for finding in findings}
    if Severity.CRITICAL in worst:
        return "CRITICAL", 3
    if Severity.HIGH in worst or any(part.failed for part in parts):
        return "DEGRADED", 2
    if Severity.MEDIUM in worst:
        return "WARNING", 1
    return ("NOT_CONFIGURED" if all(part.absent for part in parts) else "HEALTHY"), 0
