"""Looks after the databases: takes their statistics, backs them up, and cleans them where their figures call for it.

Each server is a part of its own, as are Redis and the backups: where one fails the others go on. Exit code 0: all well;
1: a warning; 2: something failed, or a finding is serious; 3: a finding is critical.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from jobs.backups import making
from jobs.backups.settings import BackupMaking
from jobs.clients.errors import ClientError
from jobs.core.cadence import Cadence
from jobs.core.checks import sample
from jobs.core.job import Job, JobError, ReportFiles
from jobs.core.model import Family, Finding, Request, Result, Sample, Severity
from jobs.databases import postgres
from jobs.databases.lasting import Lasting
from jobs.databases.part import FULL, STANDARD, STATISTICS, Part, Share, overall
from jobs.databases.postgres_settings import PostgresMaintenance

if TYPE_CHECKING:
    from jobs.clients import Clients

SUCCESS = Family(
    name="sutazai_database_maintenance_success",
    help="1 if the last maintenance of the part (postgres/SERVER, redis, backups) did all its work, else 0.",
    labels=("part",),
)
LAST = Family(
    name="sutazai_database_maintenance_timestamp_seconds",
    help="When the last maintenance of the part ended, whatever came of it.",
    labels=("part",),
)
SECONDS = Family(
    name="sutazai_database_maintenance_duration_seconds",
    help="How long the last maintenance of the part took.",
    labels=("part",),
)
FAMILIES = (SUCCESS, LAST, SECONDS, *making.FAMILIES, *postgres.FAMILIES)


class Settings(PostgresMaintenance, BackupMaking):
    """What the maintenance can be told."""

    max_run_seconds: Annotated[float, Field(ge=1, le=86400)] = Field(10800, description="A run is killed after this.")


@dataclass(frozen=True)
class _Step:
    """A part that is to be done: where it stands in the report, and who does it."""

    name: str
    section: str
    do: Callable[[Clients], Part]


def run(settings: Settings, clients: Clients, request: Request) -> Result:
    """Do every part, one after the other, and say what they came to."""
    if request.target:
        raise JobError(f"database-maintenance looks after everything and takes no target (given: {request.target!r})")
    request = request.model_copy(update={"mode": request.mode or STANDARD})
    lasting = Lasting(clients.base_dir, FAMILIES)
    steps = _steps(settings, clients, request)
    parts = [_done(step, place, len(steps), clients, request) for place, step in enumerate(steps)]
    figures = lasting.merged(parts)
    findings = [*([lasting.finding] if lasting.finding else []), *(f for part in parts for f in part.findings)]
    if request.mode != STATISTICS and not request.dry_run:
        try:
            lasting.save(figures, clients.clock.now())
        except OSError as error:
            findings.append(_finding("state_not_saved", "database-maintenance", f"its figures are not kept: {error}"))
    status, verdict = overall(parts, findings)
    return Result(
        status=status,
        verdict=verdict,
        summary=_summary(parts, request),
        findings=tuple(findings),
        actions=tuple(action for part in parts for action in part.actions),
        samples=(*(s for part in parts for s in part.samples), *(s for kept in figures.values() for s in kept)),
        observations=tuple(o for part in parts for o in part.observations),
        report=None
        if request.dry_run or request.mode == STATISTICS
        else _report(settings, clients, request, steps, parts),
    )


def _steps(settings: Settings, clients: Clients, request: Request) -> list[_Step]:
    """The parts in their order: backups come before anything is changed."""
    deadline = clients.clock.monotonic() + settings.max_run_seconds
    return [
        _Step(making.NAME, "backup", lambda lent: making.backup_part(settings, lent, request)),
        *(
            _Step(f"postgres/{server.name}", "postgresql", partial(_postgres, place, settings, request, deadline))
            for place, server in enumerate(clients.postgres_servers)
        ),
    ]


def _postgres(place: int, settings: Settings, request: Request, deadline: float, clients: Clients) -> Part:
    return postgres.postgres_part(clients.postgres_servers[place], settings, clients, request, deadline)


def _done(step: _Step, place: int, of: int, clients: Clients, request: Request) -> Part:
    """Do one part; whatever stops it stops no other."""
    share = Share(clients.report, place, of)
    share.progress(0, 1, step.name)
    began = clients.clock.monotonic()
    try:
        part = step.do(replace(clients, report=share))
    except (ClientError, JobError, OSError) as error:
        message = f"{step.name} failed: {' '.join(str(error).split())}"
        part = Part(step.name, findings=(_finding("failed", step.name, message),), failed=True)
    share.progress(1, 1, step.name)
    if request.mode == STATISTICS or request.dry_run or part.absent:
        return replace(part, lasting=())
    return replace(part, lasting=(*part.lasting, *_lasting(part, clients, began)))


def _lasting(part: Part, clients: Clients, began: float) -> list[Sample]:
    return [
        sample(SUCCESS, not part.failed, part=part.name),
        sample(LAST, clients.clock.now().timestamp(), part=part.name),
        sample(SECONDS, clients.clock.monotonic() - began, part=part.name),
    ]


def _finding(kind: str, subject: str, message: str) -> Finding:
    return Finding(kind=kind, subject=subject, severity=Severity.HIGH, message=message)


def _summary(parts: Sequence[Part], request: Request) -> str:
    there = [part for part in parts if not part.absent]
    if not there:
        return "no database is configured or found"
    failed = [part.name for part in there if part.failed]
    actions = sum(len(part.actions) for part in there)
    words = [f"{len(there) - len(failed)} of {len(there)} parts are done"]
    words += [f"failed: {', '.join(failed)}"] if failed else []
    if request.mode != STATISTICS:
        words.append(f"{actions} {'action' if actions == 1 else 'actions'}{' planned' if request.dry_run else ''}")
    return ", ".join(words)


def _report(
    settings: Settings, clients: Clients, request: Request, steps: Sequence[_Step], parts: Sequence[Part]
) -> dict[str, Any]:
    """The report, with the keys of the script that this job replaces."""
    now = clients.clock.now()
    sections: dict[str, Any] = {"postgresql": {"servers": {}}, "redis": {}, "backup": {}}
    for step, part in zip(steps, parts, strict=True):
        told = {"success": None if part.absent else not part.failed, **part.report}
        if step.section == "postgresql":
            sections["postgresql"]["servers"][part.name.removeprefix("postgres/")] = told
        else:
            sections[step.section] = told
    cadences = settings.schedule or JOB.cadences
    return {
        "timestamp": now.isoformat(timespec="seconds"),
        "maintenance_type": request.mode,
        "full_maintenance": request.mode == FULL,
        **sections,
        "next_maintenance": _next(cadences, now, (STANDARD, FULL, "")),
        "next_full_maintenance": _next(cadences, now, (FULL,)),
    }


def _next(cadences: Sequence[Cadence], now: datetime, modes: Sequence[str]) -> str | None:
    """When the schedule comes to one of these modes next, if it ever does."""
    times = [cadence.next_time(now) for cadence in cadences if cadence.mode in modes]
    return min(times).isoformat(timespec="seconds") if times else None


JOB = Job(
    name="database-maintenance",
    summary="Backs up the databases, and cleans them where they need it",
    cadences=(Cadence.parse(f"every 5 minutes: {STATISTICS}"), Cadence.parse(f"daily at 03:00: {STANDARD}")),
    settings=Settings,
    run=run,
    metrics=FAMILIES,
    modes=(STANDARD, FULL, STATISTICS),
    report=ReportFiles(
        directory="logs", stem="database_maintenance_report", link="logs/latest_db_maintenance_report.json"
    ),
    per_node=False,
)
