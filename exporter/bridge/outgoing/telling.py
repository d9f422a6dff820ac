"""How news of problems becomes messages: what each channel knows decides whether it is news there."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from exporter.bridge.model import Message, News, Problem
from exporter.bridge.outgoing import outbox, standing
from exporter.bridge.outgoing.channels import ALERTMANAGER, channel_names
from exporter.bridge.outgoing.problems import RANK, Name, joined, name_of
from exporter.bridge.outgoing.standing import HAND_OVER, STEADY, Standing
from exporter.bridge.outgoing.wording import about, worst_of
from exporter.record import Record
from exporter.settings import Settings
from jobs.core.model import Severity


@dataclass(frozen=True)
class Piece:
    """One piece of news, and the channels that it is news for. `hold` keeps it back for a while."""

    news: News
    standing: Standing
    channels: tuple[str, ...]
    hold: bool = False
    note: str = ""


@dataclass(frozen=True)
class Occasion:
    """Where news comes from: a task and, of a run, its status, duration and report."""

    task: str
    at: datetime
    host: str
    status: str = ""
    duration_seconds: float | None = None
    report: str = ""

    @classmethod
    def of(cls, record: Record, host: str) -> Occasion:
        """A run."""
        return cls(
            task=record.request.task,
            at=record.finished,
            host=host,
            status=record.result.status if record.result else record.outcome,
            duration_seconds=record.duration_seconds,
            report=record.report,
        )

    def message(
        self,
        news: News,
        event: str,
        severity: Severity,
        summary: str,
        number: str = "",
        thread: str = "",
        problems: tuple[Problem, ...] = (),
    ) -> Message:
        """A message: a new one in a thread of its own, unless it is given a number and a thread."""
        number = number or new_id()
        return Message(
            id=number,
            thread=thread or number,
            news=news,
            event=event,
            severity=severity,
            at=self.at,
            host=self.host,
            task=self.task,
            summary=summary,
            status=self.status,
            duration_seconds=self.duration_seconds,
            report=self.report,
            problems=problems,
        )


def new_id() -> str:
    """A name that no other message has; it is made once, and stored."""
    return uuid.uuid4().hex


@dataclass
class Telling:
    """Changes problems of one task, and gathers what is news of them, until `post` writes it all."""

    db: sqlite3.Connection
    settings: Settings
    occasion: Occasion
    pieces: list[Piece] = field(default_factory=list)
    open: dict[Name, Standing] = field(init=False)

    def __post_init__(self) -> None:
        self.open = standing.open_problems(self.db, self.occasion.task)
        self._channels = channel_names(self.settings)
        self._now = self.occasion.at

    def stands(self, problem: Problem, *, worth_telling: bool) -> None:
        """A problem is seen. One that stands and is less severe by now goes on standing, and is no news."""
        known = self.open.get(name_of(problem))
        if known:
            worse = RANK[problem.severity] > RANK[known.problem.severity]
            known = standing.update(self.db, known, joined(known.problem, problem))
            self.open[name_of(problem)] = known
            if worse:
                self._tell(known)
        elif worth_telling:
            before = standing.lately_over(self.db, problem, self._now - STEADY)
            if before:
                known = standing.bring_back(self.db, before, joined(before.problem, problem), self._now)
            else:
                known = standing.enter(self.db, problem, new_id(), self._now)
            self.open[name_of(problem)] = known
            self._tell(known)

    def is_left(self, problem: Problem, left: Problem | None) -> None:
        """A problem that stands was not seen: `left` is what is left of it."""
        known = self.open[name_of(problem)]
        if left is None:
            self.is_over(known)
        else:
            self.open[name_of(problem)] = standing.update(self.db, known, left)

    def is_over(self, known: Standing, why: str = "") -> None:
        """A problem is over: for those who heard of it."""
        del self.open[name_of(known.problem)]
        self._take_back(known)
        standing.end(self.db, known, self._now)
        heard = standing.heard_of(self.db, known.id, self._now + HAND_OVER)
        channels = tuple(name for name in self._channels if name in heard and heard[name].worst is not None)
        flaps = known.came_back and self._now.timestamp() - known.since_seconds < STEADY.total_seconds()
        self.pieces.append(Piece(News.CLEARED, known, channels, hold=flaps, note=why))

    def still_stands(self, known: Standing) -> None:
        """A problem has stood for long: for those for whom nothing of it waits to be sent."""
        heard = standing.heard_of(self.db, known.id, self._now + HAND_OVER)
        waiting = {name for name, one in heard.items() if one.waiting}
        channels = tuple(name for name in self._channels if name != ALERTMANAGER and name not in waiting)
        self.pieces.append(Piece(News.REMINDER, known, channels))
        standing.note_told(self.db, [known.id], self._now)

    def _tell(self, known: Standing) -> None:
        """It opened, came back or got worse: opened for those who think that all is well, worse for the others."""
        self._take_back(known)
        heard = standing.heard_of(self.db, known.id, self._now + HAND_OVER)
        worst = {name: one.worst for name, one in heard.items()}
        opened = tuple(name for name in self._channels if worst.get(name) is None)
        severity = RANK[known.problem.severity]
        worse = tuple(name for name in self._channels if (was := worst.get(name)) and RANK[was] < severity)
        self.pieces += [
            Piece(news, known, channels) for news, channels in ((News.OPENED, opened), (News.WORSE, worse)) if channels
        ]
        if opened or worse:
            standing.note_told(self.db, [known.id], self._now)

    def _take_back(self, known: Standing) -> None:
        """What is held back of a problem is out of date."""
        for one in standing.heard_of(self.db, known.id, self._now + HAND_OVER).values():
            for entry in one.held:
                standing.withdraw(self.db, known, entry, self._now)

    def post(self) -> None:
        """Write the messages: one for each piece of news, or for many of one kind one for all."""
        for news in (News.OPENED, News.WORSE, News.REMINDER, News.CLEARED):
            for hold in (False, True):
                pieces = [one for one in self.pieces if one.news is news and one.hold is hold and one.channels]
                if len(pieces) > self.settings.notifications.separate:
                    self._post(news, pieces)
                else:
                    for piece in pieces:
                        self._post(news, [piece])
        self.pieces.clear()

    def _post(self, news: News, pieces: Sequence[Piece]) -> None:
        threads = {piece.standing.thread for piece in pieces}
        thread = threads.pop() if len(threads) == 1 else new_id()
        first = pieces[0].standing.problem
        # The name of a thread is that of the message which opens it.
        number = thread if news is News.OPENED and self._is_new(thread) else new_id()
        if news is News.OPENED:
            standing.move(self.db, [piece.standing.id for piece in pieces], thread)
        later = self._now + STEADY if pieces[0].hold else None
        for channels, some in _by_channels(pieces, self._channels):
            problems = tuple(piece.standing.problem for piece in some)
            message = self.occasion.message(
                news, first.event, worst_of(problems), self._summary(news, some), number, thread, problems
            )
            for entry in outbox.post(self.db, message, self.settings, self._now, channels, later).values():
                for piece in some:
                    standing.link(self.db, piece.standing.id, entry, news, piece.standing.problem.severity)

    def _is_new(self, thread: str) -> bool:
        return self.db.execute("SELECT 1 FROM outbox WHERE message_id = ? LIMIT 1", (thread,)).fetchone() is None

    def _summary(self, news: News, pieces: Sequence[Piece]) -> str:
        summary = about(news, [piece.standing.problem for piece in pieces])
        if len(pieces) > 1 or news is not News.CLEARED:
            return summary
        problem = pieces[0].standing.problem
        others = sorted(kind for kind, subject in self.open if subject == problem.subject)
        return (pieces[0].note or summary) + (f"; but {problem.subject} has: {', '.join(others)}" if others else "")


def _by_channels(pieces: Sequence[Piece], channels: Iterable[str]) -> list[tuple[tuple[str, ...], list[Piece]]]:
    """The pieces that are news for the same channels, each group with them."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for channel in channels:
        mine = tuple(place for place, piece in enumerate(pieces) if channel in piece.channels)
        if mine:
            groups.setdefault(mine, []).append(channel)
    return [(tuple(names), [pieces[place] for place in mine]) for mine, names in groups.items()]
