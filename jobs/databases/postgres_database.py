"""One database of a PostgreSQL server: its figures, the plan made from them, and its carrying out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.clients import postgres_tables as client
from jobs.clients.errors import ClientError
from jobs.clients.postgres_statistics import slow_statements
from jobs.core.checks import listed, sample
from jobs.core.model import Action, Sample, Severity
from jobs.core.postgres import Database, Index, Server, Table, Width, wasted_bytes
from jobs.databases import postgres_families as families
from jobs.databases import postgres_judgement as judgement
from jobs.databases.part import Gathered, Share
from jobs.databases.postgres_connection import Connection, NotLocked
from jobs.databases.postgres_memory import Rebuilt
from jobs.databases.postgres_plan import Plan, Verb, Work, plan_of, table_work
from jobs.databases.postgres_settings import PostgresMaintenance
from jobs.databases.postgres_upkeep import Done, Outcome, Upkeep, not_done

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.postgres import Postgres
    from jobs.clients.postgres_session import Session

_LISTED_STATEMENTS = 10
_LISTED_TABLES = 10


@dataclass(frozen=True)
class Content:
    """A database's tables and indexes, and what their bloat is estimated from."""

    tables: Sequence[Table]
    indexes: Sequence[Index]
    widths: Sequence[Width]

    def names_touched(self, done: Sequence[Done]) -> frozenset[str]:
        """What the work may have changed: tables and indexes that were worked on, and the indexes of these tables."""
        names = {one.work.name for one in done}
        tables = names | {index.table for index in self.indexes if index.name in names}
        return frozenset(tables | {index.name for index in self.indexes if index.table in tables})

    def bloat_bytes(self, *, indexes: bool) -> int:
        """What its tables or its B-trees waste, as far as that can be told."""
        return sum(wasted_bytes(width) or 0 for width in self.widths if width.is_index is indexes)


class DatabaseRun:
    """Looks after the databases of one server, one after the other, and adds to what was gathered."""

    def __init__(
        self,
        server: Postgres,
        facts: Server,
        settings: PostgresMaintenance,
        clients: Clients,
        deadline: float,
        gathered: Gathered,
        *,
        full: bool,
    ) -> None:
        self._server, self._facts, self._settings, self._clients = server, facts, settings, clients
        self._deadline, self._gathered, self._full = deadline, gathered, full
        self._rebuilt = Rebuilt(clients.base_dir)
        if self._rebuilt.problem:
            message = f"which indexes were rebuilt lately is not known: {self._rebuilt.problem}"
            gathered.note("state_not_read", "database-maintenance", message, Severity.MEDIUM)

    def statistics(self, database: Database) -> None:
        """The figures that are had quickly."""
        with self._server.session(database.name) as session:
            client.prepare(session, self._settings.lock_timeout_seconds)
            self._tell(database, client.read_tables(session), client.read_indexes(session))

    def maintain(self, database: Database, place: int, of: int, *, dry_run: bool) -> None:
        """The figures, and what is due from them; with `dry_run` the plan alone."""
        began = self._clients.clock.monotonic()
        upkeep = Upkeep(
            lambda: self._server.session(database.name),
            self._settings,
            Share(self._clients.report, place, of),
            self._deadline,
            self._clients.clock.monotonic,
            lambda work: self._remember(database, work),
        )
        with upkeep.connection(holds_lock=not dry_run) as connection:
            try:
                session = connection.session()
            except NotLocked as error:
                self._gathered.note("postponed", self._subject(database), str(error), Severity.MEDIUM)
                return self.statistics(database)
            content = _read(session)
            plan = self._plan(database, content)
            self._tell_refused(database, content.tables)
            if dry_run:
                self._gathered.actions += [self._action(database, work, done=False) for work in plan.work]
                return self._tell(database, content.tables, content.indexes)
            before = database.bytes if database.bytes is not None else client.database_bytes(session)
            statements = self._statements(session)
            done = upkeep.carry_out(plan, connection)
            self._conclude(database, content, done, connection, before, began, statements)
        return None

    def _plan(self, database: Database, content: Content) -> Plan:
        rebuilt = self._rebuilt.of(self._server.name, database.name)
        now = self._clients.clock.now()
        return plan_of(
            self._facts, content.tables, content.indexes, content.widths, rebuilt, self._settings, now, full=self._full
        )

    def _statements(self, session: Session) -> list[dict[str, Any]] | None:
        try:
            found = slow_statements(session, _LISTED_STATEMENTS)
        except ClientError as error:  # the extension may be there and not loaded
            self._clients.report.log("info", f"no slow statements: {error}")
            return None
        return None if found is None else [vars(one) for one in found]

    def _conclude(
        self,
        database: Database,
        content: Content,
        done: Sequence[Done],
        connection: Connection,
        bytes_before: int,
        began: float,
        statements: list[dict[str, Any]] | None,
    ) -> None:
        """Look again, and tell what was done by what is to be seen of it."""
        try:
            later, bytes_after = _look(connection, content, done) if done else (content, bytes_before)
        except ClientError:
            self._tell_done(database, done)  # a change that nobody could check is a change
            raise
        done = not_done(done, _vacuums(content.tables), _vacuums(later.tables))
        seconds = self._clients.clock.monotonic() - began
        self._tell(database, later.tables, later.indexes)
        self._tell_done(database, done)
        self._gathered.lasting += self._figures(database, later, done, bytes_before - bytes_after, seconds)
        self._gathered.report["databases"][database.name] |= {
            "success": not any(one.outcome is Outcome.FAILED for one in done),
            "bytes_before": bytes_before,
            "reclaimed_bytes": bytes_before - bytes_after,
            "seconds": round(seconds, 3),
            "dead_rows_before": sum(t.dead_rows for t in content.tables if not judgement.is_catalog(t)),
            "table_bloat_bytes": later.bloat_bytes(indexes=False),
            "index_bloat_bytes": later.bloat_bytes(indexes=True),
            "work": [
                {"verb": one.work.verb, "name": one.work.label, "reason": one.work.reason, "outcome": one.outcome}
                | ({"error": one.reason} if one.reason else {})
                for one in done
            ],
            "slow_statements": statements,
        }

    def _figures(
        self, database: Database, later: Content, done: Sequence[Done], reclaimed_bytes: int, seconds: float
    ) -> list[Sample]:
        labels = {"server": self._server.name, "database": database.name}
        counts = Counter(one.outcome for one in done)
        return [
            sample(families.TABLE_BLOAT, later.bloat_bytes(indexes=False), **labels),
            sample(families.INDEX_BLOAT, later.bloat_bytes(indexes=True), **labels),
            sample(families.RECLAIMED, reclaimed_bytes, **labels),
            sample(families.SECONDS, seconds, **labels),
            *(sample(families.WORK, counts[outcome], **labels, outcome=outcome) for outcome in Outcome),
        ]

    def _tell(self, database: Database, tables: Sequence[Table], indexes: Sequence[Index]) -> None:
        name = self._server.name
        self._gathered.samples += judgement.content_samples(name, database.name, tables, indexes)
        self._gathered.findings += judgement.content_findings(name, database.name, tables, indexes)
        own = [table for table in tables if not judgement.is_catalog(table)]
        worst = sorted((table for table in tables if table.dead_rows), key=lambda table: -table.dead_rows)
        self._gathered.report["databases"][database.name] = {
            "size_bytes": database.bytes,
            "cache_hit_ratio": database.cache_hit_ratio,
            "transaction_age": database.transaction_age,
            "wraparound_ratio": database.wraparound_ratio,
            "tables": len(own),
            "live_rows": sum(table.live_rows for table in own),
            "dead_rows": sum(table.dead_rows for table in own),
            "most_dead_rows": {table.label: table.dead_rows for table in worst[:_LISTED_TABLES]},
        }

    def _tell_refused(self, database: Database, tables: Sequence[Table]) -> None:
        """Tables that need care and are not ours to care for."""
        refused = [
            table.label
            for table in tables
            if not table.may_vacuum and table.schema != "pg_catalog" and table_work(table, self._facts, self._settings)
        ]
        if refused:
            message = f"tables in {database.name} are due, and this user may not vacuum them: {listed(refused)}"
            remedy = "connect as their owner, or GRANT pg_maintain (from version 17)"
            self._gathered.note("not_permitted", self._subject(database), message, Severity.MEDIUM, remedy)

    def _tell_done(self, database: Database, done: Sequence[Done]) -> None:
        subject, actions = self._subject(database), self._gathered.actions
        actions += [self._action(database, one.work, done=True) for one in done if one.outcome is Outcome.DONE]
        failed = [f"{d.work.verb} {d.work.label}: {d.reason}" for d in done if d.outcome is Outcome.FAILED]
        if failed:
            self._gathered.fail("maintenance_failed", subject, f"not done in {database.name}: {listed(failed)}")
        if locked := [d.work.label for d in done if d.outcome is Outcome.LOCKED]:
            message = f"locked by others in {database.name}, and left to the next run: {listed(locked)}"
            self._gathered.note("locked", subject, message, Severity.LOW, "see pg_locks for who holds them so long")
        if postponed := [d for d in done if d.outcome is Outcome.POSTPONED]:
            count, reason = len(postponed), postponed[0].reason
            message = f"{count} tables and indexes of {database.name} are left to the next run: {reason}"
            self._gathered.note("postponed", subject, message, Severity.MEDIUM)

    def _remember(self, database: Database, work: Work) -> None:
        now, keep_days = self._clients.clock.now(), self._settings.reindex_threshold_days
        try:
            self._rebuilt.remember(self._server.name, database.name, work.key, now, keep_days)
        except OSError as error:
            message = f"that {work.label} was rebuilt is not remembered: {error}"
            self._gathered.note("state_not_saved", "database-maintenance", message, Severity.MEDIUM)

    def _action(self, database: Database, work: Work, *, done: bool) -> Action:
        subject = f"{self._server.name}/{database.name} {work.label}"
        return Action(verb=work.verb, subject=subject, detail=work.reason, done=done)

    def _subject(self, database: Database) -> str:
        return f"postgres/{self._server.name}/{database.name}"


def _read(session: Session) -> Content:
    return Content(client.read_tables(session), client.read_indexes(session), client.read_widths(session))


def _look(connection: Connection, before: Content, done: Sequence[Done]) -> tuple[Content, int]:
    """The database's content and size after the work: what that did not touch is as it was."""
    session = connection.session()
    client.await_counters(session)
    rebuilt = any(one.work.verb in (Verb.REINDEX, Verb.DROP_INDEX) for one in done)
    names = before.names_touched(done)
    later = Content(
        [*(t for t in before.tables if t.name not in names), *client.read_tables(session, names)],
        client.read_indexes(session) if rebuilt else before.indexes,
        [*(w for w in before.widths if w.name not in names), *client.read_widths(session, names)],
    )
    return later, client.database_bytes(session)


def _vacuums(tables: Sequence[Table]) -> dict[tuple[str, str], int]:
    return {(table.schema, table.name): table.vacuums for table in tables}
