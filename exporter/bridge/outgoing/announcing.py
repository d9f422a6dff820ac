"""What is news of a problem is written into the outbox in the transaction that makes it news."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta

from exporter.bridge.model import News, Problem
from exporter.bridge.outgoing import outbox, standing
from exporter.bridge.outgoing.completed import completed_channels
from exporter.bridge.outgoing.problems import is_worth_telling, problems_of
from exporter.bridge.outgoing.standing import Standing
from exporter.bridge.outgoing.telling import Occasion, Telling
from exporter.bridge.outgoing.wording import host_name
from exporter.plan import schedule_of
from exporter.record import Record
from exporter.settings import Settings
from jobs.core.model import Outcome, Severity
from jobs.core.registry import all_jobs

logger = logging.getLogger(__name__)


def news_of(record: Record, settings: Settings) -> Callable[[sqlite3.Connection], None]:
    """What writes down the news of a run within the transaction that enters its record.

    A fault in it is told in the log, and no reason to lose the record; that the store cannot be written is one.
    """

    def write(db: sqlite3.Connection) -> None:
        db.execute("SAVEPOINT news")
        try:
            announce(db, record, settings)
        except sqlite3.OperationalError:
            raise
        except Exception:
            db.execute("ROLLBACK TO news")
            logger.exception("what a run found could not be announced", extra={"task": record.request.task})
        db.execute("RELEASE news")

    return write


def announce(db: sqlite3.Connection, record: Record, settings: Settings, host: str | None = None) -> None:
    """Open, worsen and clear the problems of a run's task, and write what is news of it into the outbox."""
    if record.outcome in (Outcome.STOPPED, Outcome.SKIPPED):
        return
    view, occasion = problems_of(record, settings), Occasion.of(record, host or host_name())
    told = Telling(db, settings, occasion)
    for problem in view.seen.values():
        told.stands(problem, worth_telling=is_worth_telling(problem, settings))
    for problem in [one.problem for name, one in told.open.items() if name not in view.seen]:
        told.is_left(problem, view.left_of(problem))
    told.post()
    channels = completed_channels(record, settings)
    if channels:
        summary = " ".join((record.error or (record.result.summary if record.result else "")).split())
        message = occasion.message(News.COMPLETED, _event_of(record.request.task), Severity.INFO, summary)
        outbox.post(db, message, settings, occasion.at, channels)


def raise_problem(
    db: sqlite3.Connection, problem: Problem, settings: Settings, now: datetime, host: str | None = None
) -> None:
    """Let a problem stand that is no finding of a task; twice is as once."""
    told = Telling(db, settings, Occasion(problem.task, now, host or host_name()))
    told.stands(problem, worth_telling=True)
    told.post()


def clear_problem(
    db: sqlite3.Connection,
    task: str,
    kind: str,
    subject: str,
    settings: Settings,
    now: datetime,
    why: str,
    host: str | None = None,
) -> None:
    """Let a problem be over that `raise_problem` let stand, and say why; nothing happens if it does not stand."""
    told = Telling(db, settings, Occasion(task, now, host or host_name()))
    if found := told.open.get((kind, subject)):
        told.is_over(found, why)
    told.post()


def remind(db: sqlite3.Connection, settings: Settings, now: datetime, host: str | None = None) -> int:
    """Tell again of what has stood for long; return of how many problems."""
    hours = settings.notifications.reminder_hours
    if not hours:
        return 0
    quiet = outbox.quiet_until(now, settings) is not None
    due: dict[str, list[Standing]] = {}
    for one in standing.untold_since(db, now - timedelta(hours=hours)):
        if _may_be_told_again(one.problem, settings) and not (quiet and one.problem.severity is not Severity.CRITICAL):
            due.setdefault(one.problem.task, []).append(one)
    for task, ones in due.items():
        told = Telling(db, settings, Occasion(task, now, host or host_name()))
        for one in ones:
            told.still_stands(one)
        told.post()
    return sum(map(len, due.values()))


def _may_be_told_again(problem: Problem, settings: Settings) -> bool:
    """Whether it is still as severe as it must be, and somebody still looks."""
    job_is_off = problem.task in all_jobs() and not schedule_of(settings, problem.task)
    return is_worth_telling(problem, settings) and not job_is_off


def _event_of(task: str) -> str:
    job = all_jobs().get(task)
    return job.event if job else "task"
