"""A run of the maintenance: every part in its turn, whatever becomes of the others, and what they came to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from jobs.backups import making
from jobs.clients.errors import ClientError
from jobs.core.cadence import Cadence
from jobs.core.checks import sample
from jobs.core.job import JobError
from jobs.core.model import Finding, Request, Result, Sample, Severity
from jobs.databases import postgres
from jobs.databases.families import FAMILIES, LAST, SECONDS, SUCCESS
from jobs.databases.lasting import Lasting
from jobs.databases.part import (
    BACKUP,
    BACKUPS,
    FULL,
    POSTGRES,
    REDIS,
    STANDARD,
    STATISTICS,
    Part,
    Share,
    mode_of,
    overall,
)
from jobs.databases.redis import redis_part

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.databases.settings import Settings

# Of its time a run works so long on tables; what is left is for statements to end, for Redis, and for the report.
_WORKING_SHARE = 0.9


@dataclass(frozen=True)
class _Step:
    """A part that is to be done: where it stands in the report, in which mode, and who does it."""

    name: str
    section: str
    request: Request
    do: Callable[[Clients, Request], Part]

    @property
    def only_looks(self) -> bool:
        """Whether it leaves everything as it is: of what it would have changed its last figures stand."""
        return self.request.mode == STATISTICS or self.request.dry_run


def maintain(settings: Settings, clients: Clients, request: Request, cadences: Sequence[Cadence]) -> Result:
    """Do every part, one after the other, and say what they came to; `cadences` tell when the next run is.

    Raise JobError where backups alone are asked for and switched off.
    """
    if request.mode == BACKUP and not settings.backup_enabled:
        raise JobError("backup: backups are switched off (jobs.database_maintenance.backup_enabled)")
    lasting = Lasting(clients.base_dir, FAMILIES)
    steps = _steps(settings, clients, request)
    parts = [_done(step, place, len(steps), clients) for place, step in enumerate(steps)]
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
        else _report(clients, request, cadences, steps, parts),
    )


def _steps(settings: Settings, clients: Clients, request: Request) -> list[_Step]:
    """The parts in their order: backups come before anything is changed."""
    deadline = clients.clock.monotonic() + _WORKING_SHARE * settings.max_run_seconds

    def step(name: str, section: str, do: Callable[[Clients, Request], Part]) -> _Step:
        return _Step(name, section, request.model_copy(update={"mode": mode_of(section, request.mode)}), do)

    return [
        step(making.NAME, BACKUPS, partial(making.backup_part, settings)),
        *(
            step(f"postgres/{server.name}", POSTGRES, partial(_postgres, place, settings, deadline))
            for place, server in enumerate(clients.postgres_servers)
        ),
        step("redis", REDIS, partial(redis_part, settings)),
    ]


def _postgres(place: int, settings: Settings, deadline: float, clients: Clients, request: Request) -> Part:
    return postgres.postgres_part(clients.postgres_servers[place], settings, clients, request, deadline)


def _done(step: _Step, place: int, of: int, clients: Clients) -> Part:
    """Do one part; whatever stops it stops no other."""
    share = Share(clients.report, place, of)
    share.progress(0, 1, step.name)
    began = clients.clock.monotonic()
    try:
        part = step.do(replace(clients, report=share), step.request)
    except (ClientError, JobError, OSError) as error:
        part = _failed(step, str(error))
    except Exception as error:  # noqa: BLE001  # a fault in one part must leave the others standing, and be told
        part = _failed(step, f"{type(error).__name__}: {error} (a fault in the maintenance itself: please report it)")
    share.progress(1, 1, step.name)
    if step.only_looks or part.absent:
        return replace(part, lasting=())
    return replace(part, lasting=(*part.lasting, *_lasting(part, clients, began)))


def _failed(step: _Step, reason: str) -> Part:
    message = f"{step.name} failed: {' '.join(reason.split())}"
    # Above what its findings are about: `backup/SOURCE`, `postgres/SERVER/DATABASE`, `redis`.
    subject = BACKUPS if step.section == BACKUPS else step.name
    return Part(step.name, report={"error": message}, findings=(_finding("failed", subject, message),), failed=True)


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
    clients: Clients, request: Request, cadences: Sequence[Cadence], steps: Sequence[_Step], parts: Sequence[Part]
) -> dict[str, Any]:
    """The report, with the keys of the script that this job replaces."""
    now = clients.clock.now()
    sections: dict[str, Any] = {POSTGRES: {"servers": {}}, REDIS: {}, BACKUPS: {}}
    for step, part in zip(steps, parts, strict=True):
        told = {"success": _success(step, part), **part.report}
        if step.section == POSTGRES:
            sections[POSTGRES]["servers"][part.name.removeprefix("postgres/")] = told
        else:
            sections[step.section] = told
    return {
        "timestamp": now.isoformat(timespec="seconds"),
        "maintenance_type": request.mode,
        "full_maintenance": request.mode == FULL,
        **sections,
        "next_maintenance": _next(cadences, now, (STANDARD, FULL, "")),
        "next_full_maintenance": _next(cadences, now, (FULL,)),
    }


def _success(step: _Step, part: Part) -> bool | None:
    """Whether a part's work succeeded; None where it had none to do."""
    if part.failed:
        return False
    return None if part.absent or step.only_looks else True


def _next(cadences: Sequence[Cadence], now: datetime, modes: Sequence[str]) -> str | None:
    """When the schedule comes to one of these modes next, if it ever does."""
    times = [cadence.next_time(now) for cadence in cadences if cadence.mode in modes]
    return min(times).isoformat(timespec="seconds") if times else None
