"""The maintenance of one PostgreSQL server, as a part of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.clients.errors import Absent
from jobs.core.checks import sample
from jobs.core.model import Family, Finding, Request, Severity
from jobs.databases.part import Part
from jobs.databases.postgres_settings import PostgresMaintenance

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.postgres import Postgres

UP = Family(name="sutazai_postgres_up", help="1 if the server lets us in and answers, else 0.", labels=("server",))
FAMILIES = (UP,)


def postgres_part(
    server: Postgres, settings: PostgresMaintenance, clients: Clients, request: Request, deadline: float
) -> Part:
    """Take the statistics of one server and, unless they are all that is asked for, maintain it."""
    name = f"postgres/{server.name}"
    try:
        server.status()
    except Absent as error:
        finding = Finding(kind="not_configured", subject=name, severity=Severity.INFO, message=str(error))
        return Part(name, findings=(finding,), absent=True)
    return Part(name, samples=(sample(UP, 1, server=server.name),))
