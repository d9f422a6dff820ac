"""The health check: is everything that the AI stack stands on there and well?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from jobs.checks import files, machine, services
from jobs.clients import Clients
from jobs.clients.errors import Absent, ClientError, Refused
from jobs.core import checks
from jobs.core.cadence import Cadence
from jobs.core.checks import Answer, Check, Planned, Status, counted
from jobs.core.job import Flag, Job, JobError, ReportFiles
from jobs.core.model import Deduction, Family, Finding, Observation, Request, Result, Severity
from jobs.core.scoring import DEDUCTION_FAMILY, deduction_samples, score
from jobs.core.settings import AgentName, JobSettings, Percent, Seconds
from jobs.core.side_by_side import Finished, side_by_side
from jobs.core.sight import ALL, ANY_MODE, SAME, Sight

HEALTH_SCORE = Family(name="sutazai_health_score", help="100 minus the deductions of the last health check.")
_REMEMBERED = timedelta(hours=48)


class Settings(JobSettings):
    """What the health check can be told."""

    max_run_seconds: Annotated[float, Field(ge=1, le=86400)] = Field(120, description="A run is killed after this.")
    deadline_seconds: Seconds = Field(45, description="Limit for all checks together; below max_run_seconds.")
    critical_failed_checks: int = Field(5, ge=1, le=1000, description="Failed checks from which it is CRITICAL.")
    max_connection_percent: Percent = Field(80, description="PostgreSQL connections beyond which it is a warning.")
    required_containers: tuple[AgentName, ...] = Field((), description="Containers that must be running.")
    max_log_size_mb: int = Field(100, ge=1, le=1048576, description="Size beyond which a log is a warning.")
    log_directories: tuple[Path, ...] | None = Field(
        None, min_length=1, description="Where to look for logs; unset: logs/ of the base directory."
    )
    certificate_files: tuple[Path, ...] | None = Field(
        None, min_length=1, description="Certificates to check; unset: ssl/cert.pem of the base directory, if there."
    )
    forecast_window_hours: float = Field(24, ge=1, le=48, description="How far back the trend of disk use looks.")
    min_hours_to_full: float = Field(24, ge=0, le=8760, description="A disk that is full before is a warning.")

    @model_validator(mode="after")
    def _deadline_comes_first(self) -> Self:
        if self.deadline_seconds >= self.max_run_seconds:
            raise ValueError(
                f"deadline_seconds: {self.deadline_seconds:g} must be below max_run_seconds ({self.max_run_seconds:g})"
            )
        return self


def run(settings: Settings, clients: Clients, request: Request) -> Result:
    """Make all checks side by side and say what they amount to. Changes nothing, with and without dry_run."""
    if request.target:
        raise JobError(f"health-check checks everything and takes no target (given: {request.target!r})")
    made = make(plan(settings, clients), settings.deadline_seconds, clients)
    word, verdict = checks.overall(made, settings.critical_failed_checks)
    taken = checks.deductions(made)
    return Result(
        status=word,
        verdict=verdict,
        summary=_summary(made, score(taken)),
        score=score(taken),
        deductions=tuple(taken),
        findings=(*checks.findings(made), *_vanished(made, clients)),
        samples=(
            checks.sample(HEALTH_SCORE, score(taken)),
            *deduction_samples("health", taken),
            *checks.samples(made),
            *machine.threshold_samples(clients.world.thresholds),
        ),
        observations=(*(o for check in made for o in check.answer.observations), *_seen(made)),
        report=None if request.mode == "light" else report(made, word, taken, clients),
    )


def plan(settings: Settings, clients: Clients) -> list[Planned]:
    """All checks, in the order of the report."""
    return [
        services.docker(clients),
        services.containers(clients, settings.required_containers),
        services.postgres(clients, settings.max_connection_percent),
        services.redis(clients),
        services.ollama(clients),
        *(services.endpoint(clients, wanted) for wanted in clients.world.endpoints),
        services.agents(clients),
        machine.load(clients),
        machine.memory(clients),
        *machine.disks(clients, settings.forecast_window_hours, settings.min_hours_to_full),
        files.logs(clients, settings.log_directories, settings.max_log_size_mb),
        *files.certificates(clients, settings.certificate_files),
    ]


def make(planned: Sequence[Planned], deadline_seconds: float, clients: Clients) -> list[Check]:
    """Make the checks side by side, and give up at the deadline on those that have not ended."""
    made: dict[int, Check] = {}
    for ended in side_by_side([one.read for one in planned], deadline_seconds, clients.clock.monotonic):
        one = planned[ended.index]
        made[ended.index] = Check(one, _conclude(one, ended), clients.clock.now(), ended.seconds)
        clients.report.progress(len(made), len(planned), one.name)
    for index, one in enumerate(planned):
        if index not in made:
            made[index] = Check(one, _given_up(one, deadline_seconds), clients.clock.now(), None)
            clients.report.progress(len(made), len(planned), f"{one.name} (given up)")
    return [made[index] for index in range(len(planned))]


def _conclude(one: Planned, ended: Finished) -> Answer:
    try:
        if ended.error is not None:
            raise ended.error
        answer = one.judge(ended.value)
        # Names of containers, models and files are other people's.
        return replace(answer, message=" ".join(answer.message.split()))
    except Absent as error:
        return Answer(Status.FAIL if one.configured else Status.NOT_CONFIGURED, str(error), remedy=one.remedy)
    except Refused as error:
        return Answer(Status.FAIL if one.configured else Status.UNKNOWN, str(error), remedy=one.remedy)
    except ClientError as error:
        return Answer(one.failed_read, str(error), remedy=one.remedy)
    except Exception as error:  # noqa: BLE001  # a fault in one check must leave the others standing, and be told
        message = f"could not be checked: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return Answer(Status.UNKNOWN, message, remedy="this is a fault in the check itself: please report it")


def _given_up(one: Planned, deadline_seconds: float) -> Answer:
    status = Status.FAIL if one.configured else Status.UNKNOWN
    return Answer(status, f"no answer within {deadline_seconds:g} s", remedy=one.remedy)


def _summary(made: Sequence[Check], points: float) -> str:
    words = [f"{counted(made, status)} {status.replace('_', ' ')}" for status in Status if counted(made, status)]
    return f"{', '.join(words)}, score {points:g}"


def _seen(made: Sequence[Check]) -> list[Observation]:
    """That a service nobody configured was there."""
    there = (c for c in made if c.seconds is not None and c.status in (Status.PASS, Status.WARN, Status.FAIL))
    return [Observation(series=_memory(c), value=1) for c in there if _is_found_service(c)]


def _vanished(made: Sequence[Check], clients: Clients) -> list[Finding]:
    """Services that nobody configured, that were there and are not any more: silence would hide an outage."""
    since = clients.clock.now() - _REMEMBERED
    found = []
    for check in made:
        absent = _is_found_service(check) and check.status is Status.NOT_CONFIGURED
        if absent and (points := clients.history.points(_memory(check), since)):
            last = datetime.fromtimestamp(points[-1][0], clients.clock.now().tzinfo)
            message = f"{check.name} was found until {last:%Y-%m-%d %H:%M} and is gone: {check.answer.message}"
            remedy = f"start it again; to have its absence count as a failure, configure {check.name}"
            subject = f"check/{check.name}"
            found.append(
                Finding(kind="vanished", subject=subject, severity=Severity.HIGH, message=message, remedy=remedy)
            )
    return found


def _is_found_service(check: Check) -> bool:
    return check.planned.failure_points >= checks.SERVICE_POINTS and not check.planned.configured


def _memory(check: Check) -> str:
    return f"check_seen/{check.name}"


def report(made: Sequence[Check], word: str, taken: Sequence[Deduction], clients: Clients) -> dict[str, Any]:
    """The report, in the shape of the scripts that this job replaces."""
    details: dict[str, Any] = {check.name: check.answer.details for check in made}
    return {
        "timestamp": clients.clock.now().isoformat(timespec="seconds"),
        "hostname": clients.host.name(),
        "system_info": {
            "uptime": _uptime(clients.host.uptime_seconds()),
            "load_average": details["load"].get("load_average", "unknown"),
            "memory_usage": _percent(details["memory"].get("used_percent")),
            "disk_usage": _percent(details.get("disk:/", {}).get("used_percent")),
        },
        "checks": [_entry(check) for check in made],
        "summary": {
            "total_checks": len(made),
            "passed": counted(made, Status.PASS),
            "failed": counted(made, Status.FAIL),
            "warnings": counted(made, Status.WARN),
            "unknown": counted(made, Status.UNKNOWN),
            "not_configured": counted(made, Status.NOT_CONFIGURED),
            "status": word,
            "score": score(taken),
            "deductions": [deduction.model_dump() for deduction in taken],
        },
    }


def _entry(check: Check) -> dict[str, Any]:
    extra: dict[str, Any] = {} if check.seconds is None else {"check_seconds": round(check.seconds, 6)}
    extra |= {"remedy": check.answer.remedy} if check.answer.remedy else {}
    return {
        "name": check.name,
        "status": check.status.upper(),
        "message": check.answer.message,
        "timestamp": check.at.isoformat(timespec="seconds"),
        "details": {**check.answer.details, **extra},
    }


def _percent(value: Any) -> str:
    return "unknown" if value is None else f"{value:.1f}%"


def _uptime(seconds: float) -> str:
    minutes = int(seconds) // 60
    return f"up {minutes // 1440} days, {minutes // 60 % 24} hours, {minutes % 60} minutes"


JOB = Job(
    name="health-check",
    summary="Checks services, agents and the machine itself",
    cadences=(Cadence.parse("every 5 minutes: light"), Cadence.parse("daily at 06:00: full")),
    settings=Settings,
    run=run,
    metrics=(HEALTH_SCORE, DEDUCTION_FAMILY, *checks.FAMILIES, *services.FAMILIES, *machine.FAMILIES, *files.FAMILIES),
    modes=("full", "light"),
    report=ReportFiles(
        directory="reports",
        stem="daily_health_report",
        link="reports/latest_health_report.json",
        log_stem="daily_health_check",
    ),
    score_name="health",
    event="health",
    sight=Sight(looks_at={ANY_MODE: ALL}, blind={"vanished": SAME}),
    flags=(Flag("--email", "Mail to ADDRESS what is wrong, if anything is.", mails=True),),
    mode_notes={"full": "every check, with a report", "light": "every check, without a report"},
    verdicts={0: "HEALTHY", 1: "WARNING", 2: "DEGRADED", 3: "CRITICAL"},
)
