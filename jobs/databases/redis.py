"""The maintenance of Redis, as a part of the whole. It never deletes a key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from jobs.clients.errors import Absent, ClientError
from jobs.core.checks import sample
from jobs.core.model import Action, Finding, Request, Severity
from jobs.core.redis import total
from jobs.databases.part import FULL, STATISTICS, Part
from jobs.databases.redis_families import LOADING
from jobs.databases.redis_judgement import SUBJECT, Reading, Step, Verb, due, finding, judge, persisting
from jobs.databases.redis_metrics import maintenance_samples, observations, samples
from jobs.databases.redis_reading import read
from jobs.databases.redis_settings import RedisMaintenance
from jobs.databases.redis_work import ACTIVE_DEFRAG, Work, left_changed

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.redis_session import Session


def redis_part(settings: RedisMaintenance, clients: Clients, request: Request) -> Part:
    """Take Redis's statistics and, unless they are all that is asked for, put its memory in order and save its data."""
    try:
        with clients.redis.session() as session:
            return _part(session, settings, clients, request)
    except Absent as error:
        if not clients.redis.configured:
            return Part(SUBJECT, findings=(finding("not_configured", Severity.INFO, str(error)),), absent=True)
        return _unreachable(error)
    except ClientError as error:
        return _unreachable(error)


def _unreachable(error: ClientError) -> Part:
    remedy = "start Redis, or set redis.url and redis.password"
    return Part(SUBJECT, findings=(finding("unreachable", Severity.HIGH, str(error), remedy),), failed=True)


def _part(session: Session, settings: RedisMaintenance, clients: Clients, request: Request) -> Part:
    before = read(session, clients, settings.redis_slow_commands)
    if before.figures.loading:
        message = f"Redis at {session.where} is still loading its data (LOADING)"
        loading = finding("loading", Severity.HIGH, message)
        return Part(SUBJECT, _told(before), (loading,), samples=(sample(LOADING, 1),), failed=True)
    steps, findings = _steps(before, settings, clients, request)
    if request.mode == STATISTICS:
        return _finished(before, [*findings, *judge(before, settings)], settings)
    if request.dry_run:
        planned = tuple(Action(verb=step.verb, subject=SUBJECT, detail=step.reason, done=False) for step in steps)
        return _finished(before, [*findings, *judge(before, settings)], settings, actions=planned)
    work = Work(session, clients, settings)
    for step in steps:
        work.do(step)
    try:
        after = read(session, clients, settings.redis_slow_commands)
    except ClientError as error:
        lost = _unreachable(error)
        return replace(lost, findings=(*work.findings, *lost.findings), actions=tuple(work.actions))
    return _finished(
        after,
        [*findings, *work.findings, *judge(after, settings)],
        settings,
        actions=tuple(work.actions),
        lasting=tuple(maintenance_samples(before.figures.memory, after.figures.memory, work.save_seconds)),
        report={"memory_before": asdict(before.figures.memory), "steps": [step.verb for step in steps]},
        failed=work.failed,
    )


def _steps(
    reading: Reading, settings: RedisMaintenance, clients: Clients, request: Request
) -> tuple[list[Step], list[Finding]]:
    """What is due, and what is to be told of a run that was killed: what it left changed is put back first."""
    steps = due(reading, settings, everything=request.mode == FULL)
    try:
        former = left_changed(clients.base_dir, reading.where)
    except ClientError as error:
        # Defragmenting would overwrite what could not be read.
        others = [step for step in steps if step.verb is not Verb.DEFRAGMENT]
        return others, [finding("state_not_read", Severity.MEDIUM, str(error))]
    if not former:
        return steps, []
    message = f"Redis at {reading.where}: a run that was killed left {ACTIVE_DEFRAG} on"
    left = [finding("left_on", Severity.LOW, message, "run database-maintenance: it puts it back")]
    put_back = Step(Verb.PUT_BACK, f"{ACTIVE_DEFRAG} {former}, left changed by a run that was killed")
    return [put_back, *steps], left if request.mode == STATISTICS else []


def _finished(reading: Reading, findings: Sequence[Finding], settings: RedisMaintenance, **others: Any) -> Part:
    report = {**_told(reading), "persisting": persisting(reading, settings), **others.pop("report", {})}
    return Part(
        SUBJECT,
        report=report,
        findings=tuple(findings),
        samples=tuple(samples(reading, settings)),
        observations=tuple(observations(reading.figures)),
        **others,
    )


def _told(reading: Reading) -> dict[str, Any]:
    """What the report says of the server."""
    figures = reading.figures
    hits, misses = figures.totals.keyspace_hits, figures.totals.keyspace_misses
    kept = figures.persistence
    return {
        "where": reading.where,
        "version": figures.version,
        "uptime_seconds": figures.uptime_seconds,
        "memory": asdict(figures.memory),
        "keys": total(figures.keys),
        "keys_by_database": dict(figures.keys),
        "expiring_keys": total(figures.expiring),
        "clients": {"connected": figures.clients, "max": figures.max_clients, "blocked": figures.blocked_clients},
        "hit_ratio": hits / (hits + misses) if hits + misses else None,
        "totals": asdict(figures.totals),
        "persistence": {**asdict(kept), "last_save": kept.last_save.isoformat() if kept.last_save else None},
        "saves": reading.saves,
        "replication": asdict(figures.replication),
        "slow_commands": [{**asdict(slow), "at": slow.at.isoformat()} for slow in reading.slow],
    }
