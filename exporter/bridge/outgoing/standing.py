"""The table of problems, and what each channel has been told of each: plain rows, read and written in a transaction."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from exporter.bridge.model import Message, News, Problem
from exporter.bridge.outgoing.problems import RANK, Name, name_of
from exporter.bridge.outgoing.wording import about, worst_of
from exporter.store import Store
from jobs.core.model import Severity

STEADY = timedelta(hours=1)
"""A problem that comes back within this time is the same one; once it did, it is over when it stayed away so long."""
HAND_OVER = timedelta(minutes=2)
"""What is due within this time may be on its way already, and is not taken back any more."""
_SELECT = "SELECT id, task, kind, subject, mode, severity, problem, opened, thread FROM problems"


@dataclass(frozen=True)
class Standing:
    """A problem in the table. `since_seconds` (Unix time) is when it began, or when it last came back."""

    id: int
    problem: Problem
    thread: str
    since_seconds: float

    @property
    def came_back(self) -> bool:
        """Whether it was over once."""
        return self.since_seconds > self.problem.opened.timestamp()


@dataclass
class Heard:
    """What a channel was told of a problem, and will be by what waits to be sent again.

    `worst` is the greatest severity since it opened there, None if it is over there. `held` are entries of the outbox
    that wait for their time: no attempt was made, and none is about to be. `waiting` says that something is not sent.
    """

    worst: Severity | None = None
    held: tuple[int, ...] = ()
    waiting: bool = False

    def take(self, news: News, severity: Severity) -> None:
        """Hear one message."""
        if news is News.CLEARED:
            self.worst = None
        elif self.worst is None or RANK[self.worst] < RANK[severity]:
            self.worst = severity


def open_problems(db: sqlite3.Connection, task: str) -> dict[Name, Standing]:
    """The problems of a task that stand."""
    rows = db.execute(_SELECT + " WHERE task = ? AND cleared IS NULL ORDER BY id", (task,))
    return {name_of(standing.problem): standing for standing in map(_standing, rows.fetchall())}


def all_open(store: Store) -> list[Standing]:
    """The problems of all tasks that stand. Raise StoreError."""
    return [_standing(row) for row in store.rows(_SELECT + " WHERE cleared IS NULL ORDER BY +id")]


def untold_since(db: sqlite3.Connection, moment: datetime) -> list[Standing]:
    """The problems that stand and of which nothing was told since then."""
    sql = _SELECT + " WHERE cleared IS NULL AND told <= ? ORDER BY id"
    return [_standing(row) for row in db.execute(sql, (moment.timestamp(),)).fetchall()]


def lately_over(db: sqlite3.Connection, problem: Problem, since: datetime) -> Standing | None:
    """The same problem, if it was over since then."""
    row = db.execute(
        _SELECT + " WHERE task = ? AND kind = ? AND subject = ? AND cleared >= ? ORDER BY cleared DESC LIMIT 1",
        (problem.task, problem.kind, problem.subject, since.timestamp()),
    ).fetchone()
    return _standing(row) if row else None


def enter(db: sqlite3.Connection, problem: Problem, thread: str, now: datetime) -> Standing:
    """Enter a new problem."""
    stamp = now.timestamp()
    problem = problem.model_copy(update={"opened": now})
    cursor = db.execute(
        "INSERT INTO problems (task, kind, subject, mode, severity, problem, opened, told, thread)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (problem.task, problem.kind, problem.subject, *_changing(problem), stamp, stamp, thread),
    )
    return Standing(int(cursor.lastrowid or 0), problem, thread, stamp)


def update(db: sqlite3.Connection, standing: Standing, problem: Problem) -> Standing:
    """Keep how a problem is seen now."""
    if problem == standing.problem:
        return standing
    db.execute(
        "UPDATE problems SET mode = ?, severity = ?, problem = ? WHERE id = ?", (*_changing(problem), standing.id)
    )
    return Standing(standing.id, problem, standing.thread, standing.since_seconds)


def bring_back(db: sqlite3.Connection, standing: Standing, problem: Problem, now: datetime) -> Standing:
    """Let a problem that was over stand again."""
    db.execute("UPDATE problems SET cleared = NULL, opened = ? WHERE id = ?", (now.timestamp(), standing.id))
    back = Standing(standing.id, standing.problem, standing.thread, now.timestamp())
    return update(db, back, problem)


def end(db: sqlite3.Connection, standing: Standing, now: datetime) -> None:
    """Let a problem be over."""
    db.execute("UPDATE problems SET cleared = ? WHERE id = ?", (now.timestamp(), standing.id))


def note_told(db: sqlite3.Connection, ids: Iterable[int], now: datetime) -> None:
    """Keep when problems were told of last."""
    db.executemany("UPDATE problems SET told = ? WHERE id = ?", [(now.timestamp(), one) for one in ids])


def move(db: sqlite3.Connection, ids: Iterable[int], thread: str) -> None:
    """Let what is told of these problems later belong to this thread."""
    db.executemany("UPDATE problems SET thread = ? WHERE id = ?", [(thread, one) for one in ids])


def link(db: sqlite3.Connection, problem_id: int, entry: int, news: News, severity: Severity) -> None:
    """Keep that an entry of the outbox tells of a problem."""
    db.execute("INSERT OR IGNORE INTO told VALUES (?, ?, ?, ?)", (problem_id, entry, news, severity))


def heard_of(db: sqlite3.Connection, problem_id: int, held_after: datetime) -> Mapping[str, Heard]:
    """What the channels were told of a problem; what is due after `held_after` and was never tried is still held."""
    heard: dict[str, Heard] = {}
    for channel, news, severity, entry, pending, held in db.execute(
        "SELECT o.channel, t.news, t.severity, o.id, o.state = 'pending',"
        " o.state = 'pending' AND o.attempts = 0 AND o.due > ? FROM told t JOIN outbox o ON o.id = t.entry"
        " WHERE t.problem = ? AND o.state NOT IN ('withdrawn', 'discarded') ORDER BY o.id",
        (held_after.timestamp(), problem_id),
    ):
        one = heard.setdefault(channel, Heard())
        one.waiting = one.waiting or bool(pending)
        if held:
            one.held = (*one.held, entry)
        else:
            one.take(News(news), Severity(severity))
    return heard


def withdraw(db: sqlite3.Connection, standing: Standing, entry: int, now: datetime) -> None:
    """Take a problem out of a message that was not sent yet; a message about nothing else is withdrawn."""
    db.execute("DELETE FROM told WHERE problem = ? AND entry = ?", (standing.id, entry))
    message = _message(db.execute("SELECT message FROM outbox WHERE id = ?", (entry,)).fetchone()[0])
    problems = message.problems if message else ()
    left = tuple(problem for problem in problems if name_of(problem) != name_of(standing.problem))
    if message is None or not left:
        db.execute("UPDATE outbox SET state = 'withdrawn', finished = ? WHERE id = ?", (now.timestamp(), entry))
        return
    changed = message.model_copy(
        update={
            "problems": left,
            "severity": worst_of(left),
            "summary": about(message.news, left),
        }
    )
    db.execute("UPDATE outbox SET message = ? WHERE id = ?", (changed.model_dump_json(), entry))


def prune(db: sqlite3.Connection, oldest: datetime) -> None:
    """Forget what was over or done with before `oldest`; what was told of a standing problem is kept with it."""
    stamp = oldest.timestamp()
    db.execute("DELETE FROM told WHERE problem IN (SELECT id FROM problems WHERE cleared < ?)", (stamp,))
    db.execute("DELETE FROM problems WHERE cleared < ?", (stamp,))
    db.execute(
        "DELETE FROM outbox WHERE finished < ? AND state != 'pending' AND id NOT IN (SELECT entry FROM told)", (stamp,)
    )


def _message(document: str) -> Message | None:
    with contextlib.suppress(ValidationError):  # of another version: it could not be sent any more
        return Message.model_validate_json(document)
    return None


def _changing(problem: Problem) -> tuple[str, str, str]:
    return problem.mode, problem.severity, problem.model_dump_json()


def _standing(row: tuple[int, str, str, str, str, str, str, float, str]) -> Standing:
    number, task, kind, subject, mode, severity, document, since, thread = row
    with contextlib.suppress(ValidationError):
        return Standing(number, Problem.model_validate_json(document), thread, since)
    # Written by another version: what stands in columns of its own is enough to go on.
    opened = datetime.fromtimestamp(since).astimezone()
    plain = Problem(
        task=task, kind=kind, subject=subject, mode=mode, severity=Severity(severity), message=f"{subject}: {kind}",
        event="task", opened=opened,
    )  # fmt: skip
    return Standing(number, plain, thread, since)
