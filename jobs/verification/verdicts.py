"""What is to be told of a verification: findings, the verdict, and the report in the shape of the script before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobs.core.drills import Drill, DrillState
from jobs.core.model import Finding, Severity
from jobs.verification.coverage import Wanted
from jobs.verification.drills import Evidence
from jobs.verification.integrity import Checked, State
from jobs.verification.items import KINDS

GOOD, INCOMPLETE, FAILED = 0, 1, 2
WORDS = ("VERIFIED", "INCOMPLETE", "FAILED")
_MAX_NAMED = 5
_REMEDIES = {
    "backup_damaged": "make a new backup now (run database-maintenance) and look at the disk it stands on",
    "drill_failed": "make a new backup now (run database-maintenance), and look at the evidence of the drill",
}


@dataclass
class Round:
    """Everything that one run found."""

    checked: Sequence[Checked] = ()
    drills: Sequence[Evidence] = ()
    last_drills: Mapping[str, Drill] = field(default_factory=dict)
    missing: Sequence[Wanted] = ()
    old: Sequence[tuple[str, datetime]] = ()
    unasked: Sequence[str] = ()
    storage: float | None = None
    storage_warn_percent: float = 80
    storage_max_percent: float = 90
    max_age_days: float = 7
    other: list[Finding] = field(default_factory=list)

    def counted(self, state: State) -> int:
        """How many files were found to be so."""
        return sum(one.state is state for one in self.checked)

    def failed_drills(self) -> list[Evidence]:
        """The drills of this run that showed a backup to be bad."""
        return [one for one in self.drills if one.drill.state is DrillState.FAILED]

    def unknown_drills(self) -> list[Evidence]:
        """The drills that could not be made."""
        return [one for one in self.drills if one.drill.state is DrillState.UNKNOWN]

    def verdict(self) -> int:
        """2 where a backup is bad or missing, 1 where something is unknown, too old, or too full, else 0."""
        if self.counted(State.FAILED) or self.missing or self.failed_drills():
            return FAILED
        full = self.storage is not None and self.storage * 100 > self.storage_warn_percent
        unknown = self.counted(State.UNKNOWN) or self.unknown_drills() or self.unasked or self.other
        return INCOMPLETE if self.old or full or unknown else GOOD

    def summary(self) -> str:
        """One line."""
        verified = self.counted(State.VERIFIED)
        words = [f"{verified} backup{'s' if verified != 1 else ''} verified"]
        words += [f"{n} damaged"] if (n := self.counted(State.FAILED)) else []
        words += [f"{n} unknown"] if (n := self.counted(State.UNKNOWN)) else []
        words += [f"{n} missing"] if (n := len(self.missing)) else []
        restored = sum(one.drill.state is DrillState.RESTORED for one in self.drills)
        words += [f"{restored} of {len(self.drills)} restored"] if self.drills else []
        return ", ".join(words)

    def findings(self) -> Iterator[Finding]:
        """Everything that a person should know, the worst first."""
        yield from self._about_sources()
        yield from self._about_files()
        yield from self._about_drills()
        yield from self._about_storage()
        yield from self.other

    def _about_sources(self) -> Iterator[Finding]:
        for wanted in self.missing:
            remedy = "run database-maintenance, and see why it makes none"
            message = f"there is no backup of {wanted.source} ({wanted.kind})"
            yield _finding("backup_missing", wanted.source, Severity.CRITICAL, message, remedy)
        for source, created in self.old:
            message = (
                f"the newest backup of {source} is of {created:%Y-%m-%d %H:%M}: over {self.max_age_days:g} days old"
            )
            yield _finding("backup_too_old", source, Severity.HIGH, message, "see why no new one is made")
        for problem in self.unasked:
            message = f"which databases should have a backup could not be asked: {problem}"
            yield _finding("sources_unknown", "postgres", Severity.MEDIUM, message, "see that the server answers")

    def _about_files(self) -> Iterator[Finding]:
        for one in self.checked:
            name = one.item.name
            if one.state is State.FAILED:
                message = f"{name} is no good backup: {one.reason}"
                yield _finding("backup_damaged", name, Severity.CRITICAL, message, _REMEDIES["backup_damaged"])
            elif one.state is State.UNKNOWN:
                message = f"{name} could not be checked: {one.reason}"
                yield _finding("backup_unknown", name, Severity.MEDIUM, message)
        without = [one.item.name for one in self.checked if not one.item.has_manifest and one.state is State.VERIFIED]
        if without:
            message = f"integrity only, as there is no manifest to go by: {_named(without)}"
            remedy = "backups by database-maintenance have one; these can go when there are enough of those"
            yield _finding("backup_without_manifest", "backups", Severity.LOW, message, remedy)
        for one in self.checked:
            if one.item.has_manifest and one.notes:
                yield _finding("backup_note", one.item.name, Severity.LOW, f"{one.item.name}: {_named(one.notes)}")

    def _about_drills(self) -> Iterator[Finding]:
        for one in self.failed_drills():
            message = f"{one.drill.backup} did not restore to what it should be: {one.drill.reason}"
            yield _finding("drill_failed", one.drill.source, Severity.CRITICAL, message, _REMEDIES["drill_failed"])
        for one in self.unknown_drills():
            message = f"whether {one.drill.backup} can be restored is not known: {one.drill.reason}"
            yield _finding("drill_unknown", one.drill.source, Severity.MEDIUM, message)

    def _about_storage(self) -> Iterator[Finding]:
        if self.storage is None or self.storage * 100 <= self.storage_warn_percent:
            return
        severity = Severity.HIGH if self.storage * 100 > self.storage_max_percent else Severity.MEDIUM
        message = f"the file system of the backups is {self.storage:.0%} full"
        remedy = "make room, or keep backups for fewer days (backup_retention_days)"
        yield _finding("backup_storage", "backups", severity, message, remedy)

    def report(self, info: Mapping[str, Any]) -> dict[str, Any]:
        """The report, in the shape of the script that this job replaces."""
        by_state = {state: [_told(one) for one in self.checked if one.state is state] for state in State}
        return {
            "verification_info": dict(info),
            "backup_files": {kind: [one.item.name for one in self.checked if one.item.kind == kind] for kind in KINDS},
            "verification_results": {
                "verified_files": by_state[State.VERIFIED],
                "failed_files": by_state[State.FAILED],
                "unknown_files": by_state[State.UNKNOWN],
                "total_verified": len(by_state[State.VERIFIED]),
                "total_failed": len(by_state[State.FAILED]),
                "total_unknown": len(by_state[State.UNKNOWN]),
            },
            "restore_drills": {source: drill.model_dump(mode="json") for source, drill in self.last_drills.items()},
            "completeness_summary": {
                "completeness_issues": [finding.message for finding in self.issues()],
                "backup_counts": {kind: sum(one.item.kind == kind for one in self.checked) for kind in KINDS},
                "storage_used_percent": None if self.storage is None else round(self.storage * 100, 1),
                "recommendations": list(dict.fromkeys(f.remedy for f in self.findings() if f.remedy)),
            },
        }

    def issues(self) -> list[Finding]:
        """The findings that make it incomplete."""
        return [*self._about_sources(), *self._about_storage()]


def _told(one: Checked) -> dict[str, Any]:
    told: dict[str, Any] = {
        "file": one.item.name,
        "kind": one.item.kind,
        "source": one.item.source,
        "created": one.item.created.isoformat(timespec="seconds"),
        "bytes": one.item.bytes,
        "manifest": one.item.has_manifest,
        "seconds": round(one.seconds, 3),
    }
    return {**told, **({"reason": one.reason} if one.reason else {}), **({"notes": one.notes} if one.notes else {})}


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"{', '.join(names[:_MAX_NAMED])}{more}"


def _finding(kind: str, subject: str, severity: Severity, message: str, remedy: str = "") -> Finding:
    return Finding(kind=kind, subject=f"backup/{subject}", severity=severity, message=message, remedy=remedy)
