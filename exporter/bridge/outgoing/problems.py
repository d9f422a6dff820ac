"""Which problems a record shows, and which ones it shows to be over: what was not looked at is neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from exporter.bridge.model import Problem
from exporter.plan import schedule_of
from exporter.record import CUT_OFF, Record
from exporter.settings import Settings
from jobs.core.job import Job
from jobs.core.model import Finding, Outcome, Result, Severity, Trigger
from jobs.core.registry import all_jobs

RUN_FAILED = "run_failed"
"""The kind of a problem that a task itself has; its mode names every mode that failed, with commas between."""
RUN_REMEDY = "see its log; `sutazai-exporter history` has its last runs"
ASKED_FOR = (Trigger.API, Trigger.COMMAND)
"""Who asks in these ways is a person, who waits for the answer."""
RANK: Mapping[Severity, int] = {severity: rank for rank, severity in enumerate(Severity)}

Name = tuple[str, str]
"""Kind and subject, which identify a problem of a task."""


def name_of(problem: Problem | Finding) -> Name:
    """What identifies it within its task."""
    return problem.kind, problem.subject


def is_worth_telling(problem: Problem, settings: Settings) -> bool:
    """Whether a problem is as severe as it must be for a message; what is no task's is always."""
    return is_severe(problem.task, problem.kind, problem.severity, settings)


def is_severe(task: str, kind: str, severity: Severity, settings: Settings) -> bool:
    """Whether something of a task is as severe as it must be for a message."""
    job = all_jobs().get(task)
    if job is None:
        return True
    own = Severity.HIGH if kind == RUN_FAILED else job.tells_from
    return RANK[severity] >= RANK[settings.notifications.min_severity or own]


def problems_of(record: Record, settings: Settings) -> View:
    """What a record shows."""
    return View(record, all_jobs().get(record.request.task), settings)


@dataclass(frozen=True)
class View:
    """What a record shows. `job` is None for a task that there is no more; nothing is said of it."""

    record: Record
    job: Job | None
    settings: Settings

    @cached_property
    def seen(self) -> Mapping[Name, Problem]:
        """Everything that it reports, whether worth telling or not; of findings with one name the worst."""
        if self.job is None:
            return {}
        if self.record.outcome in (Outcome.ERROR, Outcome.TIMEOUT):
            failure = self._failure()
            return {name_of(failure): failure} if failure else {}
        seen: dict[Name, Problem] = {}
        for finding in sorted(self._findings, key=lambda finding: RANK[finding.severity]):
            seen[name_of(finding)] = self._problem(finding, self.job.event)
        return seen

    @property
    def _result(self) -> Result | None:
        return self.record.result if self.record.outcome is Outcome.OK else None

    @property
    def _findings(self) -> tuple[Finding, ...]:
        return self._result.findings if self._result else ()

    def _failure(self) -> Problem | None:
        request = self.record.request
        if request.target and request.trigger in ASKED_FOR:
            return None  # a name that does not exist, mostly
        if self._is_made_up_for:
            return None
        message = f"{request.task} ({request.mode}) did not work: {self.record.error or self.record.outcome}"
        subject = f"task/{request.task}" + (f"/{request.target}" if request.target else "")
        finding = Finding(kind=RUN_FAILED, subject=subject, severity=Severity.HIGH, message=message, remedy=RUN_REMEDY)
        return self._problem(finding, "task")

    @property
    def _is_made_up_for(self) -> bool:
        """Whether the run was cut off and comes again at once: a daemon that starts does all that goes by minutes."""
        if self.job is None or not self.record.error.startswith(CUT_OFF):
            return False
        by_minutes = [one for one in schedule_of(self.settings, self.job.name) if one.minutes is not None]
        return self.record.request.mode in (cadence.mode or self.job.modes[0] for cadence in by_minutes)

    def _problem(self, finding: Finding, event: str) -> Problem:
        return Problem(
            task=self.record.request.task,
            mode=self.record.request.mode,
            event=event,
            opened=self.record.finished,
            **finding.model_dump(),
        )

    def left_of(self, problem: Problem) -> Problem | None:
        """What is left of a standing problem that this run does not report: itself, or nothing if it is over."""
        if self.job is None or self._result is None:
            return problem
        if problem.kind == RUN_FAILED:
            return self._left_of_failure(problem, self.job)
        sight = self.job.sight
        looked = (
            self._in_scope(problem.subject, self._result)
            and sight.covers(self.record.request.mode, problem.mode, *name_of(problem))
            and not sight.is_hidden(self._findings, *name_of(problem), problem.severity)
        )
        return None if looked else problem

    def _in_scope(self, subject: str, result: Result) -> bool:
        """Whether a run that was narrowed to something was narrowed to this."""
        target = self.record.request.target
        if result.scope:
            return any(f"{subject}/".startswith(f"{label}/{value}/") for label, value in result.scope.items())
        return not target or subject.partition("/")[2] == target

    def _left_of_failure(self, problem: Problem, job: Job) -> Problem | None:
        """A task works again in the mode that did; what nobody runs any more is not waited for."""
        target = self.record.request.target
        if target and problem.subject != f"task/{problem.task}/{target}":
            return problem
        scheduled = {cadence.mode or job.modes[0] for cadence in schedule_of(self.settings, job.name)}
        failed = [mode for mode in problem.mode.split(",") if mode in scheduled and mode != self.record.request.mode]
        return problem.model_copy(update={"mode": ",".join(failed)}) if failed else None


def joined(before: Problem, now: Problem) -> Problem:
    """A standing problem as it is seen now: since when it stands is kept, and which modes of a task have failed."""
    modes = before.mode.split(",") if now.kind == RUN_FAILED else []
    mode = ",".join(dict.fromkeys([*modes, now.mode]))
    return now.model_copy(update={"opened": before.opened, "mode": mode})
