"""What a run says: findings, samples, observations and the report."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.clients.open_files import OpenFiles
from jobs.core.clock_jump import clock_finding
from jobs.core.forecast import seconds_to_full
from jobs.core.model import Action, Finding, Observation, Result, Sample
from jobs.logs import figures, judge
from jobs.logs.archives import Archive
from jobs.logs.containers import ContainerLogs
from jobs.logs.scan import Found, Log, Skip
from jobs.logs.settings import Settings
from jobs.logs.work import Rotated

if TYPE_CHECKING:
    from jobs.clients import Clients

_STATUS = ("OK", "WARNING", "DEGRADED")
_MB = 1 << 20


@dataclass
class Outcome:
    """What a run did, or in a dry run would do; `rotates` is false for one that only looks."""

    rotates: bool
    enforces_cap: bool
    dry_run: bool
    cap_bytes: int
    actions: list[Action] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    rotated: list[Rotated] = field(default_factory=list)
    deleted: Counter[str] = field(default_factory=Counter)
    recovered: str = ""
    clock_jump: timedelta | None = None


@dataclass(frozen=True)
class Seen:
    """What was found before, and `logs` and `archives` as they are now. `labels` are of directories looked at."""

    found: Found
    containers: ContainerLogs
    logs: Sequence[Log]
    labels: Sequence[str]
    open_files: OpenFiles
    archives: Sequence[Archive]


@dataclass(frozen=True)
class Telling:
    """All that one run knows. `skipped` counts what the last rotation left, by reason; None before the first."""

    settings: Settings
    clients: Clients
    mode: str
    seen: Seen
    outcome: Outcome
    sizes: Mapping[str, int]
    growth: Mapping[str, float]
    skipped: Mapping[str, int] | None

    @property
    def log_bytes(self) -> int:
        """Size of all live logs."""
        return sum(self.sizes.values())

    @property
    def archive_bytes(self) -> int:
        """Size of all archives."""
        return sum(archive.bytes for archive in self.seen.archives)

    def result(self, directories: Sequence[Path], next_cleanup: datetime) -> Result:
        """The result of the run."""
        disks, observations = self._disks([*directories, self.clients.base_dir])
        findings = [*self._findings(), *disks]
        unknown = bool(self.seen.found.skips) or bool(self.seen.containers.error)
        verdict = judge.verdict(findings, self.outcome.skips, unknown)
        reports = self.outcome.rotates and not self.outcome.dry_run
        return Result(
            status=_STATUS[verdict],
            verdict=verdict,
            summary=self._summary(),
            findings=tuple(findings),
            actions=tuple(self.outcome.actions),
            samples=tuple(self._samples()),
            observations=tuple(observations),
            report=self._report(directories, findings, next_cleanup) if reports else None,
        )

    def _findings(self) -> list[Finding]:
        seen, outcome, limit = self.seen, self.outcome, self.settings.max_deleted_open_mb * _MB
        skips = outcome.skips if outcome.rotates else [*seen.found.skips, *seen.containers.skips]
        return [
            *judge.of_recovery(outcome.recovered),
            *judge.of_skips(skips),
            *judge.of_containers(seen.containers),
            *judge.of_open_files(seen.open_files, limit),
            *judge.of_growth(self.growth, self.settings),
            *judge.of_total(self.log_bytes, self.archive_bytes, outcome.cap_bytes, enforced=outcome.enforces_cap),
            *([clock_finding(outcome.clock_jump, "no archive is deleted")] if outcome.clock_jump else []),
        ]

    def _samples(self) -> list[Sample]:
        seen, outcome = self.seen, self.outcome
        of_labels = Counter(log.source.label for log in seen.logs)
        made = [
            figures.sample(figures.ARCHIVE_BYTES, self.archive_bytes),
            figures.sample(figures.ARCHIVE_FILES, len(seen.archives)),
            figures.sample(figures.TOTAL_LIMIT, outcome.cap_bytes),
            figures.sample(figures.GROWTH_LIMIT, judge.growth_limit(self.settings)),
            figures.sample(figures.DELETED_OPEN_LIMIT, self.settings.max_deleted_open_mb * _MB),
            *(figures.sample(figures.SIZE, size, directory=label) for label, size in self.sizes.items()),
            *(figures.sample(figures.FILES, of_labels[label], directory=label) for label in self.sizes),
            *(figures.sample(figures.GROWTH, rate, directory=label) for label, rate in self.growth.items()),
        ]
        if self.skipped is not None:
            made += figures.skipped_samples(self.skipped)
        if not seen.open_files.unseen:
            made.append(figures.sample(figures.DELETED_OPEN, judge.deleted_bytes(seen.open_files)))
        if seen.containers.asked:
            made.append(figures.sample(figures.UNLIMITED, len(seen.containers.unlimited)))
        rotated = Counter(one.how.value for one in outcome.rotated)
        moved_bytes = sum(one.written.packed.content_bytes for one in outcome.rotated)
        return made + figures.counter_samples(rotated, moved_bytes, outcome.deleted)

    def _disks(self, paths: Sequence[Path]) -> tuple[list[Finding], list[Observation]]:
        """A forecast for each file system that logs or archives are on, and what is to be remembered for the next."""
        findings: list[Finding] = []
        observations: list[Observation] = []
        now, seen = self.clients.clock.now(), set()
        since = now - timedelta(hours=self.settings.forecast_window_hours)
        for path in paths:
            with contextlib.suppress(OSError):  # a directory that is not there is told elsewhere
                device, room = path.stat().st_dev, os.statvfs(path)
                if device in seen:
                    continue
                seen.add(device)
                used, free = (room.f_blocks - room.f_bfree) * room.f_frsize, room.f_bavail * room.f_frsize
                observations.append(Observation(series=f"log_disk_used/{path}", value=used))
                points = [*self.clients.history.points(f"log_disk_used/{path}", since), (now.timestamp(), used)]
                findings += judge.of_disk(str(path), seconds_to_full(points, free), self.settings.min_hours_to_full)
        return findings, observations

    def _summary(self) -> str:
        outcome = self.outcome
        sizes = f"logs {self.log_bytes / _MB:.0f} MB, archives {self.archive_bytes / _MB:.0f} MB"
        if not outcome.rotates:
            return sizes
        if outcome.dry_run:
            return f"{len(outcome.actions)} changes planned; {sizes}"
        moved = len({one.log.path for one in outcome.rotated})
        return f"{moved} rotated, {outcome.deleted.total()} archives deleted, {len(outcome.skips)} left; {sizes}"

    def _report(
        self, directories: Sequence[Path], findings: Sequence[Finding], next_cleanup: datetime
    ) -> dict[str, Any]:
        """The report, in the shape of the script that this job replaces."""
        settings, outcome = self.settings, self.outcome
        return {
            "timestamp": self.clients.clock.now().isoformat(timespec="seconds"),
            "cleanup_type": self.mode,
            "configuration": {
                "max_log_size_mb": settings.max_log_size_mb,
                "max_log_age_days": settings.max_log_age_days,
                "delete_archives_days": settings.delete_archives_days,
                "max_total_log_size_gb": settings.max_total_log_size_gb,
                "max_container_log_size_mb": settings.max_container_log_size_mb,
                "enforce_total_cap": outcome.enforces_cap,
                "directories": [str(directory) for directory in directories],
            },
            "results": {
                "current_log_size_mb": round(self.log_bytes / _MB, 2),
                "archive_size_mb": round(self.archive_bytes / _MB, 2),
                "total_size_mb": round((self.log_bytes + self.archive_bytes) / _MB, 2),
                "rotated": [_described(one) for one in outcome.rotated],
                "archives_deleted": dict(outcome.deleted),
                "left": [{"path": str(s.subject), "reason": s.reason, "message": s.message} for s in outcome.skips],
            },
            "findings": [finding.model_dump(mode="json") for finding in findings],
            "next_cleanup": next_cleanup.isoformat(timespec="seconds"),
        }


def _described(one: Rotated) -> dict[str, Any]:
    packed = one.written.packed
    return {
        "path": str(one.log.path),
        "method": one.how.value,
        "archive": one.written.name,
        "bytes": packed.content_bytes,
        "archive_bytes": packed.bytes,
        "sha256": packed.sha256,
        "ends_at_a_line_end": one.whole_lines,
    }
