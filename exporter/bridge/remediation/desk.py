"""Where decisions about remediations are made: each is one transaction with its new state, audit entry and problem."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from exporter.bridge.model import Alert, Problem, RemediationMode, RemediationState
from exporter.bridge.outgoing import announcing
from exporter.bridge.remediation import remediations, remedies
from exporter.bridge.remediation.audit import DAEMON, Book
from exporter.bridge.remediation.bundled import rules_of
from exporter.bridge.remediation.remediations import Entry
from exporter.bridge.remediation.settings import Remediation
from exporter.settings import Settings
from exporter.store import Store
from jobs.core.model import Severity
from jobs.core.registry import all_jobs

TASK = "remediation"
"""What problems of remediations have for their task."""
APPROVAL_WANTED, FAILED = "approval_wanted", "failed"


@dataclass(frozen=True)
class Desk:
    """What decisions go by, who makes them, and when."""

    store: Store
    settings: Settings
    now: datetime
    who: str = DAEMON

    def rule(self, name: str) -> Remediation | None:
        """The rule of this name, if it is in force."""
        return next((rule for rule in rules_of(self.settings) if rule.name == name), None)

    def note(
        self, book: Book, about: Entry | tuple[Alert, str, int | None], what: str, outcome: str, detail: str
    ) -> None:
        """Enter a decision about a remediation, or about (alert, rule, number of the remediation if there is one)."""
        alert, rule, number = (about.alert, about.rule, about.id) if isinstance(about, Entry) else about
        book.note(self.now, self.who, what, outcome, detail=detail, alert=alert, rule=rule, remediation=number)

    def move(
        self,
        book: Book,
        entry: Entry,
        state: RemediationState,
        what: str,
        detail: str,
        *,
        due: datetime | None = None,
        attempts: int | None = None,
    ) -> None:
        """Let a remediation stand elsewhere, and enter why."""
        answered_by = self.who if self.who != DAEMON else None
        remediations.move(book.db, entry, state, self.now, due=due, detail=detail, attempts=attempts, who=answered_by)
        self.note(book, entry, what, state, detail)
        if entry.state is RemediationState.WAITING:
            why = detail if detail.startswith(what) else f"{what}: {detail}"
            subject = remedies.subject_of(entry.task, entry.target)
            self.clear(book.db, APPROVAL_WANTED, subject, f"{entry.alert.name}, remediation {entry.id}: {why}")

    def ask(self, db: sqlite3.Connection, number: int, alert: Alert, rule: Remediation, target: str) -> None:
        """Let people hear that a remediation waits for them."""
        message = f"{alert.name} can be remedied: {remedies.plan_of(rule, target)}"
        remedy = f"sutazai-exporter remediations approve {number} (or reject {number})"
        self._raise(db, APPROVAL_WANTED, (rule.steps[0].task, target), Severity.HIGH, message, remedy)

    def call(self, db: sqlite3.Connection, entry: Entry, doubt: str) -> None:
        """Let people hear that a remediation was given up."""
        message = f"{entry.alert.name} was not remedied in {entry.attempts} attempts: {doubt}"
        remedy = "mend it by hand, nothing more is tried for this alert; `sutazai-exporter audit list` says what was"
        self._raise(db, FAILED, (entry.task, entry.target), Severity.CRITICAL, message, remedy)

    def clear(self, db: sqlite3.Connection, kind: str, subject: str, why: str) -> None:
        """Take a problem of remediations back, if it stands."""
        announcing.clear_problem(db, TASK, kind, subject, self.settings, self.now, why)

    def _raise(
        self,
        db: sqlite3.Connection,
        kind: str,
        of: tuple[str, str],
        severity: Severity,
        message: str,
        remedy: str,
    ) -> None:
        job = all_jobs().get(of[0])
        problem = Problem(
            task=TASK,
            kind=kind,
            subject=remedies.subject_of(*of),
            severity=severity,
            message=message,
            remedy=remedy,
            event=job.event if job else "task",
            mode=(RemediationMode.APPROVE if kind == APPROVAL_WANTED else RemediationMode.AUTO),
            opened=self.now,
        )
        announcing.raise_problem(db, problem, self.settings, self.now)
