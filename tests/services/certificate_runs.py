"""Runs of certificate renewal in this process, on a base directory of the test's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.certificate_renewal import JOB, Settings
from jobs.clients import Clients
from jobs.clients.clock_marks import ClockMarks
from jobs.core.model import Request, Result
from jobs.core.settings import World
from tests.services.agent_runs import MovableClock
from tests.services.reporters import KeepingReporter


def _none() -> Any:
    raise AssertionError("certificate renewal asks for neither budgets nor history")


class AheadClock(MovableClock):
    """The real clocks, and the time that a test lets pass on both."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_seconds = 0.0

    def monotonic(self) -> float:
        """The time that nobody sets."""
        return super().monotonic() + self.passed_seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.passed_seconds += seconds
        super().advance(seconds)

    def set_wall(self, seconds: float) -> None:
        """Set the wall clock ahead; no time passes."""
        super().advance(seconds)


class CertificateRuns:
    """Certificate renewal on one base directory; `settings` are as in a configuration file.

    Each run has new clients, as a process of its own would have. The clock may be put ahead of the real one.
    """

    def __init__(self, base_dir: Path, *, docker_url: str | None = None, **settings: Any) -> None:
        self.base_dir, self.ssl = base_dir, base_dir / "ssl"
        self.cert, self.key = self.ssl / "cert.pem", self.ssl / "key.pem"
        self.clock, self.heard = AheadClock(), KeepingReporter()
        self.subject: dict[str, Any] = settings.pop("subject", {})
        self.settings: dict[str, Any] = {"key_type": "ecdsa", "reload_timeout_seconds": 30, **settings}
        self._docker = {"url": docker_url}

    def run(self, mode: str = "standard", *, dry_run: bool = False, **changes: Any) -> Result:
        """One run, with `changes` to the settings."""
        settings = Settings.model_validate_json(json.dumps({**self.settings, **changes}, default=str))
        world = World.model_validate({"base_dir": self.base_dir, "docker": self._docker, "certificate": self.subject})
        clients = Clients(world, self.clock, self.heard, _none, _none)
        clients.clock_marks = ClockMarks(self.base_dir, uptime=self.clock.monotonic)
        return JOB.run(settings, clients, Request(task=JOB.name, mode=mode, dry_run=dry_run))

    def state(self) -> Mapping[str, Any]:
        """The state file."""
        content: Mapping[str, Any] = json.loads(self._state.read_text())
        return content

    @property
    def _state(self) -> Path:
        return self.base_dir / "data" / "certificate-renewal" / "state.json"

    def backups(self) -> list[Path]:
        """The backups, oldest first."""
        return sorted((self.base_dir / "backups" / "certificates").glob("backup_*"))

    def versions(self) -> list[str]:
        """The names of the versions."""
        return sorted(path.name for path in (self.ssl / "versions").glob("version_*"))
