"""The maintenance of one PostgreSQL server, as a part of the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from jobs.clients.errors import Absent, ClientError, Refused
from jobs.core.checks import sample
from jobs.core.model import Finding, Observation, Request, Severity
from jobs.core.postgres import Database, Server
from jobs.databases import postgres_families as families
from jobs.databases import postgres_judgement as judgement
from jobs.databases.part import FULL, STATISTICS, Gathered, Part
from jobs.databases.postgres_settings import PostgresMaintenance

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.postgres import Postgres

_REMEMBERED = timedelta(hours=48)
_COUNTERS = (
    (families.COMMITS, "commits"),
    (families.ROLLBACKS, "rollbacks"),
    (families.BLOCKS_HIT, "blocks_hit"),
    (families.BLOCKS_READ, "blocks_read"),
    (families.DEADLOCKS, "deadlocks"),
    (families.TEMP_BYTES, "temp_bytes"),
)
_REMEDY = "start PostgreSQL, or set postgres.dsn and postgres.password"


def postgres_part(
    server: Postgres, settings: PostgresMaintenance, clients: Clients, request: Request, deadline: float
) -> Part:
    """Take the statistics of one server and, unless they are all that is asked for, maintain it.

    `deadline` is on the monotonic clock; work that would begin after it is left to the next run.
    """
    from jobs.clients.postgres_statistics import read_server

    name, gathered = f"postgres/{server.name}", Gathered()
    try:
        with server.session() as session:
            facts = read_server(session)
    except Absent as error:
        finding = Finding(kind="not_configured", subject=name, severity=Severity.INFO, message=str(error))
        return Part(name, findings=(finding,), absent=True)
    except Refused as error:
        if server.configured:
            return _down(name, server, str(error), Severity.CRITICAL)
        # Whose it is nobody knows; that it could not be looked at is told, and no failure.
        finding = Finding(
            kind="unknown", subject=name, severity=Severity.MEDIUM, message=str(error), remedy="set postgres.dsn"
        )
        return Part(name, findings=(finding,), absent=True)
    except ClientError as error:
        return _down(name, server, str(error), Severity.CRITICAL if server.configured else Severity.HIGH)
    _server_figures(server.name, facts, settings, clients, gathered)
    _databases(server, facts, settings, clients, request, deadline, gathered)
    return gathered.part(name)


def _down(name: str, server: Postgres, reason: str, severity: Severity) -> Part:
    finding = Finding(kind="down", subject=name, severity=severity, message=reason, remedy=_REMEDY)
    return Part(
        name,
        report={"error": reason},
        findings=(finding,),
        samples=(sample(families.UP, 0, server=server.name),),
        failed=True,
    )


def _server_figures(
    name: str, facts: Server, settings: PostgresMaintenance, clients: Clients, gathered: Gathered
) -> None:
    gathered.samples += judgement.server_samples(name, facts)
    gathered.findings += judgement.server_findings(name, facts, settings)
    for database in facts.databases:
        gathered.samples += judgement.wraparound_samples(name, facts, database)
    gathered.report |= {
        "version": facts.version,
        "where": facts.where,
        "in_recovery": facts.in_recovery,
        "connections": facts.connections,
        "max_connections": facts.max_connections,
        "oldest_transaction_seconds": max((one.seconds for one in facts.transactions), default=0)
        if facts.sees_all
        else None,
        "replicas": [{"name": r.name, "lag_bytes": r.lag_bytes, "lag_seconds": r.lag_seconds} for r in facts.replicas],
        "databases": {},
    }


def _databases(
    server: Postgres,
    facts: Server,
    settings: PostgresMaintenance,
    clients: Clients,
    request: Request,
    deadline: float,
    gathered: Gathered,
) -> None:
    """Each database in turn: its figures, and its maintenance on a server that takes changes."""
    from jobs.databases.postgres_database import DatabaseRun

    run = DatabaseRun(server, facts, settings, clients, deadline, gathered, full=request.mode == FULL)
    changes = request.mode != STATISTICS and not facts.in_recovery
    if request.mode != STATISTICS and facts.in_recovery:
        message = f"{server.name} is a replica: its primary is maintained, and its copy with it"
        gathered.note("replica", f"postgres/{server.name}", message, Severity.INFO)
    databases = list(_wanted(server, facts, gathered))
    for place, database in enumerate(databases):
        gathered.samples += judgement.database_samples(server.name, database)
        _count(server.name, database, clients, gathered)
        try:
            if changes:
                run.maintain(database, place, len(databases), dry_run=request.dry_run)
            else:
                run.statistics(database)
        except ClientError as error:
            subject = f"postgres/{server.name}/{database.name}"
            gathered.fail("failed", subject, f"{database.name!r} was not looked after: {error}")


def _wanted(server: Postgres, facts: Server, gathered: Gathered) -> Iterator[Database]:
    """The databases to look after; that a configured one is not there is told and stops no other."""
    wanted = server.wanted_databases
    for name in wanted or ():
        if facts.database(name) is None:
            message = f"PostgreSQL at {facts.where} has no database {name!r}"
            gathered.fail("missing", f"postgres/{server.name}/{name}", message, remedy="see postgres.databases")
    for database in facts.databases:
        if (database.connectable and not database.template) if wanted is None else database.name in wanted:
            yield database


def _count(name: str, database: Database, clients: Clients, gathered: Gathered) -> None:
    """What the server counts, as increments since the last run; the server's own counters may begin anew at 0."""
    since = clients.clock.now() - _REMEMBERED
    for family, attribute in _COUNTERS:
        series, value = f"postgres/{name}/{database.name}/{attribute}", float(getattr(database, attribute))
        points: Sequence[tuple[float, float]] = clients.history.points(series, since)
        before = points[-1][1] if points else value
        increment = value - before if value >= before else value
        gathered.samples.append(sample(family, increment, server=name, database=database.name))
        gathered.observations.append(Observation(series=series, value=value))
