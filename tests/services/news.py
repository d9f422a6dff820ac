"""Runs that end, and what is then in the outbox: a store of its own, and settings made of a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from exporter.bridge.model import Message, News, Problem
from exporter.bridge.outgoing.announcing import clear_problem, news_of, raise_problem, remind
from exporter.bridge.outgoing.outbox import Outbox
from exporter.record import Record
from exporter.settings import Settings, settings_model
from exporter.store import Store
from jobs.core.model import Finding, Outcome, Request, Result, Severity

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WEBHOOK: Mapping[str, Any] = {"webhook": {"url": "http://127.0.0.1:9/", "completed": "none"}}
MAIL: Mapping[str, Any] = {"mail": {"host": "127.0.0.1", "recipients": ["a@example.org"]}}


def settings_of(notifications: Mapping[str, Any] = WEBHOOK, **sections: Any) -> Settings:
    """Settings with these notifications; a webhook that hears of no run that is merely over, if none are given."""
    return settings_model().model_validate({"notifications": dict(notifications), **sections})


def finding(
    subject: str = "check/a", severity: Severity = Severity.HIGH, kind: str = "fail", message: str = ""
) -> Finding:
    """Something that is wrong."""
    return Finding(kind=kind, subject=subject, severity=severity, message=message or f"{subject} is bad")


class History:
    """Runs that end one after another; `at` is the time, which only `wait` moves on."""

    def __init__(self, directory: Path, settings: Settings | None = None, at: datetime = NOON) -> None:
        self.store = Store(directory / "data" / "sutazai.db")
        self.outbox = Outbox(self.store)
        self.settings = settings or settings_of()
        self.at = at

    def wait(self, **span: float) -> History:
        """Let time pass."""
        self.at += timedelta(**span)
        return self

    def run(
        self,
        *findings: Finding,
        task: str = "health-check",
        mode: str = "light",
        outcome: Outcome = Outcome.OK,
        scope: Mapping[str, str] | None = None,
        error: str = "",
        **request: Any,
    ) -> Record:
        """A run ends, and is entered."""
        asked = Request(task=task, mode=mode, **{"trigger": "schedule", **request})
        result = Result(status="GOOD", summary="all is said", findings=findings, scope=scope or {})
        record = Record(
            run_id=self.store.begin_run(asked, self.at, 1),
            request=asked,
            outcome=outcome,
            started=self.at,
            finished=self.at,
            duration_seconds=1.5,
            error=error,
            result=result if outcome is Outcome.OK else None,
        )
        self.store.finish_run(record, {}, self.at, news_of(record, self.settings))
        return record

    def raised(self, problem: Problem) -> None:
        """Somebody else than a run has a problem."""
        with self.store.transaction() as db:
            raise_problem(db, problem, self.settings, self.at)

    def cleared(self, task: str, kind: str, subject: str, why: str) -> None:
        """Somebody else than a run has one no more."""
        with self.store.transaction() as db:
            clear_problem(db, task, kind, subject, self.settings, self.at, why)

    def reminded(self) -> int:
        """Of how many problems a reminder was written now."""
        with self.store.transaction() as db:
            return remind(db, self.settings, self.at)

    def deliver(self) -> list[Message]:
        """Send what is due, as a channel that takes everything."""
        taken = []
        while entries := self.outbox.due(self.at, 100):
            for entry in entries:
                self.outbox.sent(entry, self.at)
                taken.append(entry.message)
        return taken

    def news(self) -> list[tuple[News, str]]:
        """Send what is due; what it says, and of which subjects."""
        return [(one.news, " ".join(problem.subject for problem in one.problems)) for one in self.deliver()]

    def open(self) -> list[tuple[str, str]]:
        """The problems that stand, as (kind, subject)."""
        return [tuple(row) for row in self.store.rows("SELECT kind, subject FROM problems WHERE cleared IS NULL")]

    def states(self) -> Sequence[str]:
        """The states of all entries of the outbox."""
        return [row[0] for row in self.store.rows("SELECT state FROM outbox ORDER BY id")]
