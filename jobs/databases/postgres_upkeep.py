"""Carrying out a plan in one PostgreSQL database, over two connections at most.

The first connection holds the database's advisory lock, so that two maintainers never meet. Tables are done by both,
the largest first; indexes by one, because two rebuilds would wait for each other's snapshots.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

from jobs.clients import postgres_tables as client
from jobs.clients.errors import ClientError
from jobs.clients.postgres_session import QueryFailed, Session
from jobs.clients.postgres_statistics import closed_gate
from jobs.core.ports import Reporter
from jobs.core.side_by_side import side_by_side
from jobs.databases.postgres_connection import Connection
from jobs.databases.postgres_plan import Plan, Verb, Work, leftovers
from jobs.databases.postgres_settings import PostgresMaintenance

_GATE_SECONDS = 10.0
_MAX_LOSSES = 3
_GRACE_SECONDS = 5.0
_LOCKED, _GONE = ("55P03",), ("42P01", "42704", "3F000")
_ENDED = ("57P01", "57P02", "57P03")


class Outcome(StrEnum):
    """What came of a piece of work."""

    DONE = "done"
    FAILED = "failed"
    LOCKED = "locked"
    POSTPONED = "postponed"
    GONE = "gone"


@dataclass(frozen=True)
class Done:
    """A piece of work, what came of it, and why where it was not done."""

    work: Work
    outcome: Outcome
    reason: str = ""


class Upkeep:
    """Carries out plans in one database until `deadline`, by the clock `monotonic`."""

    def __init__(
        self,
        opener: Callable[[], AbstractContextManager[Session]],
        settings: PostgresMaintenance,
        report: Reporter,
        deadline: float,
        monotonic: Callable[[], float],
        rebuilt: Callable[[Work], None],
    ) -> None:
        self._opener, self._settings, self._report = opener, settings, report
        self._deadline, self._monotonic, self._rebuilt = deadline, monotonic, rebuilt
        self._done: list[Done] = []
        self._total = 0
        self._stopped = ""
        self._gate = threading.Lock()
        self._gate_seen = float("-inf")

    def connection(self, *, holds_lock: bool) -> Connection:
        """A connection to the database, not opened yet."""
        return Connection(self._opener, self._settings.lock_timeout_seconds, holds_lock=holds_lock)

    def carry_out(self, plan: Plan, first: Connection) -> list[Done]:
        """Do what is planned, `first` holding the lock, and say what came of each piece of work."""
        self._total = len(plan.work)
        self._work_off(first, deque(plan.leftovers))
        self._side_by_side(first, plan.tables)
        self._work_off(first, deque(plan.indexes))
        return list(self._done)

    def _side_by_side(self, first: Connection, tables: Sequence[Work]) -> None:
        waiting = deque(tables)
        with self.connection(holds_lock=False) as second:
            workers = [partial(self._work_off, first, waiting)]
            workers += [partial(self._help, second, waiting)] if len(tables) > 1 else []
            limit = max(0.0, self._deadline - self._monotonic()) + _GRACE_SECONDS
            ended = list(side_by_side(workers, limit, self._monotonic))
        for one in ended:
            if one.error is not None:
                raise one.error
        if len(ended) < len(workers):
            self._stopped = "a statement did not end in time"

    def _help(self, second: Connection, waiting: deque[Work]) -> None:
        """Work off what is waiting over a second connection, if there is one to be had; one alone does it, too."""
        try:
            second.session()
        except ClientError as error:
            self._report.log("warning", f"one connection does all the work: {error}")
            return
        self._work_off(second, waiting)

    def _work_off(self, connection: Connection, waiting: deque[Work]) -> None:
        while True:
            try:
                work = waiting.popleft()
            except IndexError:
                return
            self._note(self._do(connection, work))

    def _note(self, done: Done) -> None:
        self._done.append(done)
        if done.outcome not in (Outcome.DONE, Outcome.GONE):
            self._report.log("warning", f"{done.work.verb} {done.work.label}: {done.outcome}: {done.reason}")
        self._report.progress(len(self._done), self._total, f"{done.work.verb} {done.work.label}")

    def _do(self, connection: Connection, work: Work) -> Done:
        try:
            session = None if self._stopped else connection.session()
            if session is None or self._closed(session):
                return Done(work, Outcome.POSTPONED, self._stopped)
            seconds = min(self._settings.statement_timeout_seconds, self._deadline - self._monotonic())
            if seconds < 1:
                self._stopped = "the run's time is used up"
                return Done(work, Outcome.POSTPONED, self._stopped)
            if work.verb is Verb.REINDEX and (reason := self._waits(session)):
                return Done(work, Outcome.LOCKED, reason)
            self._report.log("info", f"{work.verb} {session.database} {work.label}: {work.reason}")
            _execute(session, work, seconds)
        except QueryFailed as error:
            return self._failed(connection, work, error)
        except ClientError as error:
            self._stopped = str(error)
            return Done(work, Outcome.FAILED, self._stopped)
        if work.verb is Verb.REINDEX:
            self._rebuilt(work)
        return Done(work, Outcome.DONE)

    def _closed(self, session: Session) -> bool:
        """Whether something speaks against any further change; looked at every ten seconds."""
        with self._gate:
            if not self._stopped and self._monotonic() - self._gate_seen > _GATE_SECONDS:
                self._stopped = closed_gate(session, self._settings.max_replica_lag_mb * 1e6)
                self._gate_seen = self._monotonic()
            return bool(self._stopped)

    def _waits(self, session: Session) -> str:
        """Why a rebuilding would not end: one that is cut off leaves an index that costs and does not serve."""
        seconds = client.oldest_snapshot_seconds(session)
        waits = seconds > self._settings.lock_timeout_seconds
        return f"a transaction has been open for {seconds:.0f} s" if waits else ""

    def _failed(self, connection: Connection, work: Work, error: QueryFailed) -> Done:
        if error.sqlstate in _GONE:
            return Done(work, Outcome.GONE, "it is not there any more")
        if error.sqlstate in _ENDED or not connection.alive:
            connection.lost()
            if connection.losses > _MAX_LOSSES:
                self._stopped = f"the server ended {connection.losses} sessions"
        if work.verb is Verb.REINDEX:
            self._clear_up(connection, work)
        return Done(work, Outcome.LOCKED if error.sqlstate in _LOCKED else Outcome.FAILED, str(error))

    def _clear_up(self, connection: Connection, work: Work) -> None:
        """Drop what a rebuilding that did not end has left of its new index."""
        try:
            session = connection.session()
            for index in leftovers(client.read_indexes(session)):
                if index.schema == work.schema and index.name.startswith(work.name[:40]):
                    reason = f"the rebuilding of {work.name} did not end"
                    left = Work(Verb.DROP_INDEX, index.schema, index.name, reason, index.bytes)
                    _execute(session, left, self._settings.statement_timeout_seconds)
                    self._done.append(Done(left, Outcome.DONE))
        except ClientError as error:
            self._report.log("warning", f"what is left of the rebuilding of {work.label} stays: {error}")


def not_done(
    done: Iterable[Done], vacuums: dict[tuple[str, str], int], later: dict[tuple[str, str], int]
) -> list[Done]:
    """The same, with a vacuum that the server has not counted told as failed: it skips silently what it may not do."""
    return [_counted(one, vacuums, later) for one in done]


def _counted(done: Done, before: dict[tuple[str, str], int], later: dict[tuple[str, str], int]) -> Done:
    vacuum = done.work.verb in (Verb.VACUUM, Verb.FREEZE) and done.outcome is Outcome.DONE
    if vacuum and done.work.key in later and later[done.work.key] <= before.get(done.work.key, 0):
        return replace(done, outcome=Outcome.FAILED, reason="the server does not count it as vacuumed")
    return done


def _execute(session: Session, work: Work, seconds: float) -> None:
    if work.verb is Verb.ANALYZE:
        client.analyze(session, work.schema, work.name, timeout_seconds=seconds)
    elif work.verb is Verb.REINDEX:
        client.reindex(session, work.schema, work.name, timeout_seconds=seconds)
    elif work.verb is Verb.DROP_INDEX:
        client.drop_index(session, work.schema, work.name, timeout_seconds=seconds)
    else:
        freeze = work.verb is Verb.FREEZE
        client.vacuum(session, work.schema, work.name, analyze=work.analyze, freeze=freeze, timeout_seconds=seconds)
