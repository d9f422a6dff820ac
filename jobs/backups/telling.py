"""What is told of the backups: findings, actions, figures and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs.backups.retention import Removal
from jobs.backups.space import room_at
from jobs.backups.writing import Made
from jobs.core.backups import Backup, Kind
from jobs.core.checks import sample
from jobs.core.model import Action, Family, Finding, MetricType, Sample, Severity

MAX_SOURCES = 1000
"""Sources beyond these get no series of their own; reports and findings name them all."""
_OF_SOURCE = ("kind", "source")

LAST_SUCCESS = Family(
    name="sutazai_backup_last_success_timestamp_seconds",
    help="When the newest backup of the source was made.",
    labels=_OF_SOURCE,
)
FAILED = Family(
    name="sutazai_backup_failed",
    help="1 if the last run could not make a backup of the source, else 0.",
    labels=_OF_SOURCE,
)
BYTES = Family(name="sutazai_backup_bytes", help="Size of the newest backup of the source.", labels=_OF_SOURCE)
DURATION = Family(
    name="sutazai_backup_duration_seconds",
    help="How long making the backup of the source took in the last run.",
    labels=_OF_SOURCE,
)
COUNT = Family(name="sutazai_backups", help="Backups that are there.", labels=("kind",))
STORED = Family(name="sutazai_backups_stored_bytes", help="What the backups take up.", labels=("kind",))
FREE = Family(
    name="sutazai_backup_storage_free_bytes", help="Space that is left on the file system that backups are written to."
)
MADE = Family(
    name="sutazai_backups_made_total",
    help="Backups that were to be made, by what came of it (ok, failed).",
    labels=("kind", "result"),
    type=MetricType.COUNTER,
)
REMOVED = Family(
    name="sutazai_backups_removed_total",
    help="Backups that were removed because they were too old.",
    labels=("kind",),
    type=MetricType.COUNTER,
)
FAMILIES = (LAST_SUCCESS, FAILED, BYTES, DURATION, COUNT, STORED, FREE, MADE, REMOVED)


@dataclass(frozen=True)
class Outcome:
    """What came of a target: `made`, or why not. Of a plan it has neither, and `path` is where it would be."""

    kind: Kind
    source: str
    path: Path | None = None
    parts: str = ""
    made: Made | None = None
    error: str = ""
    remedy: str = ""

    def findings(self) -> Iterator[Finding]:
        """That it failed, or what the backup lacks."""
        if self.error:
            yield Finding(
                kind="backup_failed",
                subject=f"backup/{self.source}",
                severity=Severity.HIGH,
                message=f"there is no new backup of {self.source}: {self.error}",
                remedy=self.remedy,
            )
        if self.made:
            yield from self.made.facts.findings

    def action(self) -> Action | None:
        """That it was made, or would be."""
        if self.path is None:
            return None
        detail = f"{self.path.parent.name}/{self.path.name}{f' of {self.parts}' if self.parts else ''}"
        return Action(verb="back up", subject=self.source, detail=detail, done=self.made is not None)


def removal_action(removal: Removal, *, done: bool) -> Action:
    """That a file was removed, or would be."""
    subject = f"{removal.path.parent.name}/{removal.path.name}"
    return Action(verb="remove", subject=subject, detail=removal.why, done=done)


def removal_finding(removal: Removal, error: OSError) -> Finding:
    """That a file could not be removed."""
    return Finding(
        kind="backup_not_removed",
        subject=f"backups/{removal.path.parent.name}/{removal.path.name}",
        severity=Severity.MEDIUM,
        message=f"{removal.path} cannot be removed ({removal.why}): {error.strerror or error}",
        remedy="look at its permissions and attributes (lsattr), and at the file system",
    )


def statistics(backups: Sequence[Backup], directory: Path) -> Iterator[Sample]:
    """What is there now."""
    counts = Counter(backup.kind for backup in backups)
    sizes = Counter({kind: sum(backup.bytes for backup in backups if backup.kind is kind) for kind in Kind})
    for kind in Kind:
        yield sample(COUNT, counts[kind], kind=kind)
        yield sample(STORED, sizes[kind], kind=kind)
    yield sample(FREE, room_at(directory).free_bytes)


def counters(outcomes: Sequence[Outcome], removed: Sequence[Removal]) -> Iterator[Sample]:
    """How often what came of it in this run; 0 makes a series exist."""
    for kind in Kind:
        results = Counter("failed" if outcome.error else "ok" for outcome in outcomes if outcome.kind is kind)
        for result in ("ok", "failed"):
            yield sample(MADE, results[result], kind=kind, result=result)
        yield sample(REMOVED, sum(removal.kind is kind for removal in removed), kind=kind)


def of_sources(outcomes: Sequence[Outcome], backups: Sequence[Backup]) -> Iterator[Sample]:
    """The figures of each source, until the next run makes new ones."""
    newest: dict[tuple[Kind, str], Backup] = {}
    for backup in sorted((backup for backup in backups if backup.manifest), key=lambda backup: backup.created):
        newest[backup.kind, backup.source] = backup
    for outcome in outcomes[:MAX_SOURCES]:
        labels = {"kind": outcome.kind, "source": outcome.source}
        yield sample(FAILED, bool(outcome.error), **labels)
        if outcome.made:
            yield sample(DURATION, outcome.made.seconds, **labels)
        if last := newest.get((outcome.kind, outcome.source)):
            yield sample(LAST_SUCCESS, last.created.timestamp(), **labels)
            yield sample(BYTES, last.bytes, **labels)


def report(
    outcomes: Sequence[Outcome],
    removed: Sequence[Removal],
    backups: Sequence[Backup],
    retention_days: int,
    now: datetime,
) -> Mapping[str, Any]:
    """The section of the report."""
    made = [outcome.made for outcome in outcomes if outcome.made]
    return {
        "enabled": True,
        "timestamp": now.isoformat(timespec="seconds"),
        "made": [_told(one) for one in made],
        "failed": [{"kind": o.kind, "source": o.source, "reason": o.error} for o in outcomes if o.error],
        "removed": [f"{removal.path.parent.name}/{removal.path.name}" for removal in removed],
        "retention_days": retention_days,
        "kept": {kind: sum(backup.kind is kind for backup in backups) for kind in Kind},
        "kept_bytes": sum(backup.bytes for backup in backups),
    }


def _told(made: Made) -> Mapping[str, Any]:
    manifest = made.manifest
    told = manifest.model_dump(mode="json", include={"kind", "source", "file", "bytes", "sha256", "server_version"})
    counts = manifest.row_counts
    return {**told, "seconds": round(made.seconds, 3), "tables": len(counts), "rows": sum(counts.values())}
