"""Takes one reading of a Redis: its figures, and what little must be asked for besides."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from jobs.clients.errors import ClientError, Refused
from jobs.core.model import Finding, Severity
from jobs.core.redis import Figures, Slow, parse_figures, parse_slow_log, slower
from jobs.databases.redis_judgement import Reading, finding
from jobs.databases.redis_metrics import counted

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.redis_session import Session

_DAY = timedelta(days=1)


def read(session: Session, clients: Clients, slow_commands: int) -> Reading:
    """One reading; raise ClientError where the server does not tell its figures.

    What it does not let us see besides is a finding with the remedy.
    """
    now, figures, unknown = clients.clock.now(), read_figures(session), list[Finding]()
    slow, saves = _slow(session, slow_commands, unknown), _saves(session, unknown)
    if slow is not None:
        totals = replace(figures.totals, slow_commands=slow[0].number + 1 if slow else 0)
        figures = replace(figures, totals=totals)
    return Reading(
        where=session.where,
        at=now,
        figures=figures,
        counted=counted(figures, clients.history, now),
        saves=saves,
        slow=slower(slow or (), now - _DAY),
        unknown=unknown,
    )


def read_figures(session: Session) -> Figures:
    """What INFO says; raise ClientError where it is nothing that can be understood."""
    try:
        return parse_figures(session.info())
    except ValueError as error:
        raise ClientError(f"Redis at {session.where}: {error}") from None


def _slow(session: Session, count: int, unknown: list[Finding]) -> list[Slow] | None:
    try:
        return parse_slow_log(session.ask("SLOWLOG", "GET", str(count)))
    except Refused as error:
        unknown.append(finding("slow_log_unknown", Severity.LOW, str(error), "allow it, or accept not to know"))
        return None


def _saves(session: Session, unknown: list[Finding]) -> bool | None:
    """Whether the server saves by itself (RDB); None where its configuration is not for us to see."""
    try:
        value = session.configured("save")
    except Refused as error:
        message = f"whether it saves is unknown, so nothing is saved by us: {error}"
        unknown.append(finding("saving_unknown", Severity.LOW, message, "allow it, or accept not to know"))
        return None
    return None if value is None else bool(value.strip())
