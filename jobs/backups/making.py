"""Makes the backups: all that is planned, one after the other, then lets go of what is too old.

Whatever fails, the backups before it stay, and the next target has its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.backups import telling
from jobs.backups.failure import BackupFailed
from jobs.backups.files import BackupFiles
from jobs.backups.planning import Plan, make_plan
from jobs.backups.retention import Removal, leftovers, too_old
from jobs.backups.settings import BackupMaking
from jobs.backups.targets import Target
from jobs.backups.telling import Outcome
from jobs.backups.writing import Writer
from jobs.core.backups import Backup, Kind, Manifest
from jobs.core.clock_jump import clock_finding
from jobs.core.model import Finding, Request
from jobs.databases.part import STATISTICS, Part

if TYPE_CHECKING:
    from jobs.clients import Clients

NAME = "backups"
_END_SECONDS = 60.0
"""What a run keeps of its time to end in order, where its backups take too long."""


def backup_part(settings: BackupMaking, clients: Clients, request: Request) -> Part:
    """Make all backups, with `dry_run` say which, and in the mode for statistics only count those that are there.

    Raise OSError where not even those can be listed.
    """
    if not settings.backup_enabled:
        return Part(NAME, report={"enabled": False}, absent=True)
    files = BackupFiles(clients.base_dir)
    if request.mode == STATISTICS:
        # Nothing was made or removed: a counter that is not told of is not exported until the next night.
        return Part(NAME, samples=(*telling.statistics(files), *telling.counters((), ())))
    making = _Making(settings, clients, files)
    plan = make_plan(settings, clients, {(backup.kind, backup.source) for backup in making.existing})
    if not plan.targets and not plan.unplanned:
        return Part(NAME, absent=True)
    return making.planned(plan) if request.dry_run else making.done(plan)


class _Making:
    """One run's work."""

    def __init__(self, settings: BackupMaking, clients: Clients, files: BackupFiles) -> None:
        self._settings, self._clients, self._files = settings, clients, files
        # Of the job's parts this one is the first: all of its time is still there.
        self._deadline = clients.clock.monotonic() + settings.max_run_seconds - _END_SECONDS
        self._now = clients.clock.now()
        self._findings: list[Finding] = []
        self.existing = _listed(files, self._now)

    def planned(self, plan: Plan) -> Part:
        """What `done` would do."""
        paths = [self._files.new_path(one.kind, one.stem, self._now, one.form) for one in plan.targets]
        foreseen = list(zip(plan.targets, paths, strict=True))
        outcomes = [Outcome(target.kind, target.source, path, target.parts) for target, path in foreseen]
        made = [_as_if_made(target, path, self._now) for target, path in foreseen]
        old = self._too_old([*self.existing, *made]) if self._clock_is_trusted() else []
        removals = [*leftovers(self._files), *old]
        return self._part([*outcomes, *_unplanned(plan)], removals, done=False)

    def done(self, plan: Plan) -> Part:
        """Make what is planned, then remove what is too old."""
        trusted = self._clock_is_trusted()
        removed = self._remove(list(leftovers(self._files)))
        writer = Writer(self._files, self._settings, self.existing, self._clients.clock.monotonic)
        outcomes = []
        for count, target in enumerate(plan.targets):
            outcomes.append(self._made(writer, target, partial(self._progress, count, len(plan.targets), target)))
        if trusted:
            removed += self._remove(self._too_old(_listed(self._files, self._now)))
        self._mark_clock()
        return self._part([*outcomes, *_unplanned(plan)], removed, done=True)

    def _progress(self, count: int, of: int, target: Target, part: float, size: int) -> None:
        told = f"backup of {target.source}{f': {size >> 20} MiB' if size else ''}"
        self._clients.report.progress(int((count + part) * 1000), of * 1000, told)

    def _made(self, writer: Writer, target: Target, tell: Callable[[float, int], None]) -> Outcome:
        tell(0, 0)
        left_seconds = self._deadline - self._clients.clock.monotonic()
        try:
            made = writer.make(target, self._clients.clock.now(), left_seconds, tell)
        except BackupFailed as failure:
            self._clients.report.log("error", f"no backup of {target.source}: {failure}")
            return Outcome(target.kind, target.source, error=str(failure), remedy=failure.remedy)
        size, seconds = made.manifest.bytes, made.seconds
        self._clients.report.log("info", f"backed up {target.source}: {made.path} ({size} bytes, {seconds:.1f} s)")
        return Outcome(target.kind, target.source, made.path, target.parts, made)

    def _too_old(self, backups: Sequence[Backup]) -> list[Removal]:
        # By the time at the start, which was compared with the last run's.
        return list(too_old(self._files, backups, self._now, self._settings.backup_retention_days))

    def _remove(self, removals: Iterable[Removal]) -> list[Removal]:
        """Remove, log first, and return what is gone."""
        gone = []
        for removal in removals:
            self._clients.report.log("info", f"removing {removal.path}: {removal.why}")
            try:
                removal.remove()
            except OSError as error:
                self._findings.append(telling.removal_finding(removal, error))
            else:
                gone.append(removal)
        return gone

    def _clock_is_trusted(self) -> bool:
        try:
            jump = self._clients.clock_marks.jump(NAME, self._now)
        except OSError as error:
            self._findings.append(telling.mark_finding(error))
            return False
        if jump is not None:
            self._findings.append(clock_finding(jump, "no backup is removed"))
        return jump is None

    def _mark_clock(self) -> None:
        try:
            self._clients.clock_marks.set(NAME, self._now)
        except OSError as error:
            found = telling.mark_finding(error)
            self._findings += [found] if found.kind not in {finding.kind for finding in self._findings} else []

    def _part(self, outcomes: Sequence[Outcome], removals: Sequence[Removal], *, done: bool) -> Part:
        backups = _listed(self._files, self._now)
        days = self._settings.backup_retention_days
        actions = [action for outcome in outcomes if (action := outcome.action())]
        actions += [telling.removal_action(removal, done=done) for removal in removals]
        figures = telling.counters(outcomes, removals) if done else ()
        return Part(
            NAME,
            report=telling.report(outcomes, removals, backups, days, self._now),
            findings=(*(finding for outcome in outcomes for finding in outcome.findings()), *self._findings),
            actions=tuple(actions),
            samples=(*telling.statistics(self._files), *figures),
            lasting=tuple(telling.of_sources(outcomes, backups)) if done else (),
            failed=any(outcome.error for outcome in outcomes),
        )


def _listed(files: BackupFiles, now: datetime) -> list[Backup]:
    return [backup for kind in Kind for backup in files.list(kind, now.tzinfo)]


def _unplanned(plan: Plan) -> list[Outcome]:
    return [Outcome(one.kind, one.source, error=one.reason, remedy=one.remedy) for one in plan.unplanned]


def _as_if_made(target: Target, path: Path, now: datetime) -> Backup:
    """A backup as it will be once it is made, for retention to reckon with."""
    manifest = Manifest(
        kind=target.kind,
        format=target.form,
        file=path.name,
        source=target.source,
        created=now,
        bytes=0,
        sha256="0" * 64,
    )
    return Backup(path, target.kind, 0, now, manifest, None)
