"""Writing down beside each backup that it was proven good, and taking that back: retention goes by it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from jobs.backups.files import BackupFiles
from jobs.core.backups import Proof, Verified
from jobs.core.drills import DrillState
from jobs.core.model import Action, Finding, Severity
from jobs.core.ports import Reporter
from jobs.verification.drills import Evidence
from jobs.verification.integrity import Checked, State
from jobs.verification.items import Item
from jobs.verification.state import Memory, PastRun, StateFiles


class Proofs:
    """Writes proofs and evidence; what it did and what it could not write is in `actions` and `findings`."""

    def __init__(self, files: BackupFiles, state: StateFiles, report: Reporter, now: datetime) -> None:
        self._files, self._state, self._report, self._now = files, state, report, now
        self.actions: list[Action] = []
        self.findings: list[Finding] = []

    def of_file(self, one: Checked) -> None:
        """After a check: the file is whole, or not good any more. A restore stays proven while the file is the same."""
        backup = one.item.backup
        if backup is None:
            return
        if one.state is State.FAILED and backup.verified:
            self._forget(one.item, one.reason)
        elif one.state is State.VERIFIED and backup.manifest:
            before = backup.verified if backup.proof is Proof.RESTORED else None
            proof, seconds = (before.proof, before.seconds) if before else (Proof.INTEGRITY, round(one.seconds, 3))
            self._prove(one.item, Verified(sha256=one.sha256, at=self._now, proof=proof, seconds=seconds))

    def of_drill(self, evidence: Evidence, keep: int) -> None:
        """After a drill: it was restored, or is not good any more; evidence of either is kept."""
        drill, item = evidence.drill, evidence.item
        self._report.log("info", f"{drill.backup}: {drill.state}{f': {drill.reason}' if drill.reason else ''}")
        manifest = item.backup.manifest if item.backup else None
        if drill.state is DrillState.RESTORED and manifest:
            seconds = drill.restore_seconds or 0.0
            self._prove(item, Verified(sha256=manifest.sha256, at=self._now, proof=Proof.RESTORED, seconds=seconds))
        elif drill.state is DrillState.FAILED and item.backup and item.path.exists():
            self._forget(item, drill.reason)
        try:
            document = {**drill.model_dump(mode="json"), **evidence.found}
            file = self._state.save_evidence(drill.source, self._now, document, keep)
        except OSError as error:
            self._not_written(f"evidence of the drill of {drill.source} cannot be written: {error.strerror}")
            return
        if drill.where:
            detail = f"in {drill.where}, dropped again: {drill.state} ({file.name})"
            self.actions.append(Action(verb="restore", subject=drill.backup, detail=detail, done=True))

    def remember(self, past: PastRun, drills: Sequence[Evidence], sources: Collection[str], days: int) -> Memory:
        """Add a run to what is remembered of those before, of `days` and these sources, and return it."""
        memory, problem = self._state.load()
        if problem:
            message = f"{problem}; the file is kept beside it"
            self.findings.append(
                Finding(kind="state_corrupt", subject="backup/state", severity=Severity.MEDIUM, message=message)
            )
        memory = memory.with_run(past, days).with_drills((one.drill for one in drills), sources)
        try:
            if problem:
                self._state.set_aside(self._now)
            self._state.save(memory)
        except OSError as error:
            self._not_written(f"what was found cannot be remembered: {error.filename}: {error.strerror}", "state")
        return memory

    def _prove(self, item: Item, verified: Verified) -> None:
        try:
            if item.path.exists():  # it may have been removed meanwhile
                self._files.write_verified(item.path, verified)
        except OSError as error:
            self._not_written(f"{item.name}: that it is good cannot be written down: {error.strerror}")

    def _forget(self, item: Item, reason: str) -> None:
        self._report.log("warning", f"{item.name} does not count as proven any more: {reason}")
        try:
            self._files.forget_verified(item.path)
        except OSError as error:
            self._not_written(f"{item.name}: that it was proven cannot be taken back: {error.strerror}")
            return
        self.actions.append(Action(verb="take back the proof of", subject=item.name, detail=reason, done=True))

    def _not_written(self, message: str, what: str = "files") -> None:
        finding = Finding(kind="not_written", subject=f"backup/{what}", severity=Severity.HIGH, message=message)
        self.findings.append(finding)


def past_run(
    now: datetime, checked: Sequence[Checked], drills: Sequence[Evidence], *, missing: int, unasked: int
) -> PastRun:
    """What a run amounts to: a backup is bad whether its file is, or its restore failed; one that is missing, too."""
    bad = {one.item.name for one in drills if one.drill.state is DrillState.FAILED}
    states = [State.FAILED if one.item.name in bad else one.state for one in checked]
    return PastRun(
        at=now,
        verified=states.count(State.VERIFIED),
        failed=states.count(State.FAILED) + missing,
        unknown=states.count(State.UNKNOWN) + unasked,
    )
