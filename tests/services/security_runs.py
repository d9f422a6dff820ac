"""Runs of the security scan in this process, with scanners that tell what a test wants."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jobs.clients import Clients
from jobs.clients.errors import Absent, ClientError
from jobs.core.model import Request, Result, Severity
from jobs.core.settings import World
from jobs.security.families import FAMILIES
from jobs.security.running import Run
from jobs.security.scanner import Area, Look, OutOfTime, Scanner, Weakness
from jobs.security.settings import STANDARD, Settings
from tests.services.reporters import KeepingReporter
from tests.services.trial_jobs import TrialPackage

START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)

UNKNOWN: dict[str, dict[str, Any]] = {
    "failed": {"raises": ClientError("trivy ended with 1: no such image")},
    "not installed": {"raises": Absent("trivy is not installed, or not in PATH")},
    "out of time": {"raises": OutOfTime("its time was over")},
    "saw nothing": {"scanned": 0},
    "faulty": {"raises": KeyError("hunter2")},
    "out of memory": {"raises": MemoryError()},
    "too deep": {"raises": RecursionError("deep")},
}
"""What makes a scanner unknown, as options of `scanner`."""


class SetClock:
    """A wall clock that stands where the test sets it, beside the real monotonic one."""

    def __init__(self) -> None:
        self.wall = START

    def now(self) -> datetime:
        """The wall time."""
        return self.wall

    def monotonic(self) -> float:
        """The time that nobody sets."""
        return time.monotonic()


class SecurityRuns:
    """Scans of one base directory, a day apart; each has new clients, as a process of its own would have."""

    def __init__(self, base_dir: Path, *scanners: Scanner, **settings: Any) -> None:
        self.base_dir, self.scanners, self.settings = base_dir, scanners, {"report_format": "json", **settings}
        self.clock, self.reporter = SetClock(), KeepingReporter()

    def scan(
        self, *scanners: Scanner, mode: str = STANDARD, dry_run: bool = False, days: float = 1, **changes: Any
    ) -> Result:
        """One scan by these scanners (else those of all runs); then `days` pass."""
        settings = Settings.model_validate({**self.settings, **changes})
        request = Request(task="security-scan", mode=mode, dry_run=dry_run)
        clients = Clients(World(base_dir=self.base_dir), self.clock, self.reporter, self._nothing, self._nothing)
        result = Run(settings, clients, request, scanners or self.scanners).result()
        families = {family.name: set(family.labels) for family in FAMILIES}
        assert all(set(one.labels) == families[one.family] for one in result.samples)
        self.clock.wall += timedelta(days=days)
        return result

    @property
    def memory(self) -> Path:
        """Where findings are remembered."""
        return self.base_dir / "data/security/findings.json"

    def _nothing(self) -> Any:
        raise AssertionError("a scan needs neither budgets nor history")


def weakness(rule: str = "weak", subject: str = "thing", severity: str = "high", **more: Any) -> Weakness:
    """Something weak."""
    return Weakness(rule, subject, Severity(severity), **{"message": "it is weak", **more})


def weaknesses(severity: str, count: int) -> list[Weakness]:
    """So many weaknesses of a severity."""
    return [weakness("weak", f"{severity}/{number}", severity) for number in range(count)]


def scanner(
    name: str = "trial",
    told: Iterable[Weakness] = (),
    *,
    area: Area = Area.FILESYSTEM,
    scanned: int = 1,
    missed: Sequence[tuple[str, ...]] = (),
    raises: Exception | None = None,
    then: Callable[[Look], None] | None = None,
    **more: Any,
) -> Scanner:
    """A scanner that has looked at `scanned` things and tells of weaknesses, then does what it is to do last."""
    weak = list(told)

    def scan(look: Look) -> None:
        look.scanned(scanned)
        for one in weak:
            look.found(one)
        for gap in missed:
            look.missed(*gap)
        if then:
            then(look)
        if raises:
            raise raises

    return Scanner(name, area, f"Looks at {name}", "things", scan, **more)


def values(result: Result, family: str) -> dict[tuple[str, ...], float]:
    """The series of a family by the values of their labels."""
    return {tuple(s.labels.values()): s.value for s in result.samples if s.family == f"sutazai_security_{family}"}


def deductions(result: Result) -> dict[str, float]:
    """What was taken off the score, by reason."""
    return {one.reason: one.points for one in result.deductions}


def kinds(result: Result) -> set[tuple[str, str]]:
    """Kind and subject of each finding."""
    return {(one.kind, one.subject) for one in result.findings}


def reported(result: Result) -> dict[str, dict[str, Any]]:
    """The findings of the report by their rule and subject (`weak thing`)."""
    assert result.report is not None
    found = [one for area in result.report["results"].values() for one in area["findings"]]
    return {f"{one['rule']} {one['subject']}": one for one in found}


def standings(result: Result) -> dict[str, str]:
    """Which finding is new, known or unseen."""
    return {name.removeprefix("weak "): one["standing"] for name, one in reported(result).items()}


def fixed(result: Result) -> list[str]:
    """The subjects of what was found gone."""
    assert result.report is not None
    return [one["subject"] for one in result.report["fixed"]]


def planted(package: TrialPackage, source: str) -> None:
    """Have the runs of a trial checkout (with real jobs) use the scanners that this source of scanners.py lists."""
    link = package.directory / "jobs" / "security"
    real = link.resolve()
    link.unlink()
    link.mkdir()
    for file in real.iterdir():
        if file.name != "__pycache__":
            (link / file.name).symlink_to(file)
    (link / "scanners.py").unlink()
    (link / "scanners.py").write_text(source)
