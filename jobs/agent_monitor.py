"""Looks after the agents: sees how each is, restarts those that failed, and leaves alone those it should.

Which agents there are, and what each condition means, is told by `jobs.core.agents.discovery` and
`jobs.core.agents.state`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from jobs.agents.files import AgentFiles, CorruptState
from jobs.agents.repair import Repair
from jobs.agents.visitor import Visitor
from jobs.core.agents.discovery import Watched
from jobs.core.agents.report import FAMILIES, SERIES, Round, Uptimes
from jobs.core.agents.state import Rules, State, Verb, backoff_left
from jobs.core.agents.visit import CHECK, FAILED, PARTICIPLES, RELEASE, REPAIR, RESTART, Visit, finding
from jobs.core.cadence import Cadence
from jobs.core.job import Flag, Job, JobError, ReportFiles
from jobs.core.model import Finding, Request, Result, Severity, Trigger
from jobs.core.settings import JobSettings, Seconds
from jobs.core.sight import ALL, ANY_MODE, SAME, Sight

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.agents import Roll

_NOT_WELL = (State.UNHEALTHY, State.UNREACHABLE, State.STOPPED, State.MISSING, State.QUARANTINED)
_STATUS = ("HEALTHY", "DEGRADED", "CRITICAL")
_ASKED = (Trigger.COMMAND, Trigger.API, Trigger.ALERT)
"""Who asks for a run with a purpose, and looks for its report."""
_PERSON = (Trigger.COMMAND, Trigger.API)
"""Who may have an agent restarted however it is; whoever else asks for that has it repaired."""
_DAY, _WEEK = timedelta(days=1), timedelta(days=7)


class Settings(JobSettings):
    """When the monitor acts, and how often at most."""

    consecutive_failures: int = Field(3, ge=1, le=1000, description="Failures in a row that lead to a restart.")
    max_restarts_per_hour: int = Field(
        3, ge=1, le=60, description="Restarts of one agent in a sliding hour; the next failure quarantines it."
    )
    backoff_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        30, description="Wait before the second restart within the hour; it doubles with each further one."
    )
    recovery_timeout_seconds: Seconds = Field(
        30, description="Time to become healthy after a restart; a container younger than this may be starting."
    )
    stop_timeout_seconds: Annotated[float, Field(ge=0, le=600)] = Field(
        10, description="Time that a running agent gets to stop before it is killed."
    )
    auto_restart: bool = Field(True, description="Whether it restarts agents, or only reports.")
    evidence_log_lines: int = Field(200, ge=0, le=10000, description="Log lines kept as evidence of a failure.")
    evidence_files: int = Field(50, ge=1, le=10000, description="Evidence files kept of each agent.")


def run(settings: Settings, clients: Clients, request: Request) -> Result:
    """Look at all agents, or at the one that `request.target` names, and restart what needs it.

    `release` ends the quarantine of one agent, `repair` restarts one that is not healthy without waiting for more
    failures, `restart` restarts one however it is, which does not end its quarantine and which only a person may
    ask for; they need a target, and raise JobError without.
    """
    return _Run(settings, clients, request).result()


class _Run:
    def __init__(self, settings: Settings, clients: Clients, request: Request) -> None:
        self.settings, self.clients, self.request = settings, clients, request
        self.mode = request.mode or CHECK
        if self.mode == RESTART and request.trigger not in _PERSON:
            self.mode = REPAIR
        self.now, self.began = clients.clock.now(), clients.clock.monotonic()
        self.files = AgentFiles(clients.base_dir)
        rules = Rules(
            consecutive_failures=settings.consecutive_failures,
            max_restarts_per_hour=settings.max_restarts_per_hour,
            backoff_seconds=settings.backoff_seconds,
            auto_restart=settings.auto_restart,
        )
        self.repair = Repair(
            clients,
            self.files,
            max_restarts_per_hour=settings.max_restarts_per_hour,
            stop_timeout_seconds=settings.stop_timeout_seconds,
            recovery_timeout_seconds=settings.recovery_timeout_seconds,
            log_lines=settings.evidence_log_lines,
            evidence_files=settings.evidence_files,
            asked=self.mode == RESTART,
        )
        self.visitor = Visitor(
            clients,
            self.files,
            self.repair,
            rules,
            now=self.now,
            young_seconds=settings.recovery_timeout_seconds,
            dry_run=request.dry_run,
            mode=self.mode,
        )

    def result(self) -> Result:
        """Visit the agents and say what was found and done."""
        if self.mode in PARTICIPLES and not self.request.target:
            raise JobError(f"{self.mode}: name the agent that is to be {PARTICIPLES[self.mode]}")
        roll = self.clients.agents.roll(self.files.names())
        targets = self._targets(roll)
        if not targets:
            return _not_configured(roll)
        readings = self.clients.agents.read(roll, targets)
        with ExitStack() as locks:
            visits = [self.visitor.visit(reading, locks) for reading in readings]
            self._restart([visit for visit in visits if visit.decision.verb is Verb.RESTART])
        return self._result(roll, visits)

    def _targets(self, roll: Roll) -> Sequence[Watched]:
        name = self.request.target
        if not name:
            if not roll.watched and roll.engine_error:
                raise JobError(f"no agent could be looked at: {roll.engine_error}")
            return roll.watched
        found = [watched for watched in roll.watched if watched.name == name]
        if not found:
            raise JobError(_unknown(name, roll))
        return found

    # Restarts

    def _restart(self, visits: Sequence[Visit]) -> None:
        if self.request.dry_run:
            return
        started = []
        for done, visit in enumerate(visits):
            self.clients.report.progress(done, len(visits), f"restarting {visit.name}")
            if done and self._late():
                visit.again_seconds = 1.0
                visit.note("postponed", Severity.LOW, f"the restart of {visit.name} is left to the next run")
            elif visit.inspection and self.repair.restart(visit, visit.inspection.id):
                started.append(visit)
        self.repair.verify(started)
        for visit in visits:
            self._follow_up(visit)

    def _late(self) -> bool:
        """Whether one more restart might not be over when this run is ended."""
        needed = self.settings.stop_timeout_seconds + 2 * self.settings.recovery_timeout_seconds
        return self.clients.clock.monotonic() - self.began + needed > self.settings.max_run_seconds

    def _follow_up(self, visit: Visit) -> None:
        if visit.restart == FAILED and not visit.record.quarantined_since:
            spent, now = visit.record.restarts_in_hour, self.clients.clock.now()
            visit.again_seconds = max(1.0, backoff_left(spent, now, self.settings.backoff_seconds))

    # The whole

    def _result(self, roll: Roll, visits: Sequence[Visit]) -> Result:
        whole = Round(visits, self._states(roll, visits), self._uptimes())
        findings = [*roll.findings, *_engine_finding(roll), *(f for v in visits for f in _findings(v))]
        again = [visit.again_seconds for visit in visits if visit.again_seconds is not None]
        wanted = self.request.trigger in _ASKED or any(visit.changed for visit in visits)
        return Result(
            status=_STATUS[whole.verdict()],
            verdict=whole.verdict(),
            summary=whole.summary() + self._left_alone(visits),
            findings=tuple(findings),
            actions=tuple(action for visit in visits for action in visit.actions),
            samples=tuple(whole.samples()),
            observations=tuple(whole.observations()),
            scope={"agent": self.request.target} if self.request.target else {},
            report=self._report(whole) if wanted and not self.request.dry_run else None,
            run_again_seconds=min(again) if again and not self.request.dry_run else None,
        )

    def _left_alone(self, visits: Sequence[Visit]) -> str:
        """Why nothing was done where a repair or a restart was asked for."""
        if self.mode not in (REPAIR, RESTART):
            return ""
        decisions = (visit.decision for visit in visits)
        return "".join(f"; left alone: {d.reason}" for d in decisions if d.verb is Verb.NOTHING and d.reason)

    def _states(self, roll: Roll, visits: Sequence[Visit]) -> dict[str, State]:
        """The state of every agent: of those that were not visited, the one that is remembered."""
        states = {visit.name: visit.state for visit in visits}
        for name in roll.names:
            if name not in states and (state := self._remembered_state(name)):
                states[name] = state
        return states

    def _remembered_state(self, name: str) -> State | None:
        try:
            record = self.files.load(name)
        except (CorruptState, OSError):
            return None
        return record.status if record else None

    def _uptimes(self) -> Uptimes:
        day, week = (self.clients.history.means(SERIES, self.now - span) for span in (_DAY, _WEEK))
        return Uptimes(*({s.removeprefix(SERIES): v for s, v in span.items()} for span in (day, week)))

    def _report(self, whole: Round) -> dict[str, object]:
        settings, mode = self.settings, "active" if self.settings.auto_restart else "report_only"
        config = {
            "consecutive_failures": settings.consecutive_failures,
            "max_restarts_per_hour": settings.max_restarts_per_hour,
            "max_response_time_seconds": self.clients.world.agents.timeout_seconds,
            "backoff_seconds": settings.backoff_seconds,
            "recovery_timeout_seconds": settings.recovery_timeout_seconds,
            "auto_restart": settings.auto_restart,
        }
        cadences = settings.schedule or JOB.cadences
        next_check = min(cadence.next_time(self.now) for cadence in cadences)
        return whole.report(self.now, self.mode if self.mode in PARTICIPLES else mode, config, next_check)


def _findings(visit: Visit) -> list[Finding]:
    found = finding(visit)
    if visit.check_error:
        message = f"the health check of {visit.name} cannot run, its own probe decides: {visit.check_error}"
        visit.note(
            "health_check_cannot_run",
            Severity.MEDIUM,
            message,
            "give the container a HEALTHCHECK that its image can run, or none",
        )
    return [*visit.findings, *([found] if found else [])]


def _engine_finding(roll: Roll) -> list[Finding]:
    if not roll.engine_error:
        return []
    message = f"agents are judged by their ports alone and not restarted: {roll.engine_error}"
    return [Finding(kind="docker_unreachable", subject="docker", severity=Severity.HIGH, message=message)]


def _not_configured(roll: Roll) -> Result:
    summary = "no agent is configured (agents.listed) or found"
    return Result(status="NOT_CONFIGURED", summary=summary, findings=roll.findings)


def _unknown(name: str, roll: Roll) -> str:
    if not roll.names:
        return f"there is no agent {name!r}: none is configured (agents.listed) or found; {roll.engine_error}".rstrip(
            "; "
        )
    import difflib  # for a mistake alone

    near = difflib.get_close_matches(name, roll.names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(roll.names[:10])}"
    return f"there is no agent {name!r}; {hint}"


JOB = Job(
    name="agent-monitor",
    summary="Looks after the agents and restarts those that failed",
    cadences=(Cadence(minutes=5),),
    settings=Settings,
    metrics=FAMILIES,
    modes=(CHECK, RELEASE, REPAIR, RESTART),
    report=ReportFiles(directory="logs", stem="agent_monitoring_report", link="logs/latest_agent_report.json"),
    # `stop` needs no run of its own, it follows `die`. `start` does: what a person stopped and started again is
    # seen to be up at once.
    wakes_on=("die", "oom", "start", "health_status: unhealthy"),
    takes_target=True,
    needs_target=(RELEASE, REPAIR, RESTART),
    run=run,
    event="agent",
    # Without the engine only the listed agents are seen, and beyond the limit nobody knows which are left out. That a
    # restart failed is over when the agent is well, and not with the next look at it.
    sight=Sight(
        looks_at={ANY_MODE: ALL},
        blind={
            **dict.fromkeys(("busy", "not_locked", "state_not_read"), SAME),
            **dict.fromkeys(("docker_unreachable", "too_many_agents"), ALL),
            **dict.fromkeys((state.value for state in _NOT_WELL), "restart_failed {subject}"),
        },
    ),
    flags=(
        Flag(
            "--max-restarts",
            "Restarts of one agent within an hour, for this run.",
            setting="max_restarts_per_hour",
        ),
    ),
    mode_notes={
        CHECK: "looks at each agent, and restarts what has failed for long enough",
        RELEASE: "ends the quarantine of the target and looks at it at once",
        REPAIR: "restarts the target now, if it is not healthy",
        RESTART: "restarts the target now, however it is",
    },
    verdicts={0: "all agents are healthy", 1: "some are not", 2: "more than half are not"},
)
