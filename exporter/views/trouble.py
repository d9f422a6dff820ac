"""Matters of what is looked after: questions that wait for an answer, agents, findings and scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from exporter.bridge.outgoing.problems import RUN_FAILED, is_severe
from exporter.bridge.remediation.desk import APPROVAL_WANTED
from exporter.bridge.remediation.desk import TASK as REMEDIATION
from exporter.bridge.remediation.remedies import subject_of
from exporter.plan import schedule_of
from exporter.settings import Settings
from exporter.views import agents, commands
from exporter.views.matters import Matter, todo
from exporter.views.moments import read
from jobs.core.agents.state import State
from jobs.core.model import Severity
from jobs.core.registry import all_jobs
from jobs.core.settings import AGENT_NAME

if TYPE_CHECKING:
    from exporter.views.shapes import AgentEntry, FindingEntry, RemediationEntry, Score

_AGENT_SEVERITIES: dict[str, Severity] = {
    State.UNHEALTHY: Severity.CRITICAL,
    State.UNREACHABLE: Severity.CRITICAL,
    State.MISSING: Severity.CRITICAL,
    State.QUARANTINED: Severity.HIGH,
    State.STOPPED: Severity.MEDIUM,
    State.PAUSED: Severity.MEDIUM,
}
"""How bad a state is by itself. What is stopped or paused, somebody stopped or paused unless a finding knows better."""
_COUNT_AGENTS = {("performance-report", "agents_down"), ("performance-report", "agents_degraded")}
"""Findings that, as the health check's `check/agents`, count the agents that the monitor tells of one by one."""


def is_watched(settings: Settings, task: str) -> bool:
    """Whether somebody still looks: what a disabled task found last wants nobody."""
    return task not in all_jobs() or bool(schedule_of(settings, task))


def of_approvals(remediations: Iterable[RemediationEntry]) -> Iterator[Matter]:
    """Questions that wait for a person."""
    for one in remediations:
        if one["state"] == "waiting":
            yield _approval(one)


def _approval(one: RemediationEntry) -> Matter:
    number, subject = one["id"], subject_of(one["task"], one["target"])
    causes = {f"approval/{number}", problem_cause(REMEDIATION, APPROVAL_WANTED, subject)}
    if one["task"] == agents.TASK and one["target"]:
        causes.add(agent_cause(one["target"]))
    until = f"; the question is dropped at {read(one['due'])}" if one["due"] else ""
    remedy = f"approve it, or reject it with `sutazai-exporter remediations reject {number}`{until}"
    wanted = todo(
        Severity.HIGH,
        "approval",
        subject,
        f"{one['alert']} can be remedied: {one['plan']}",
        remedy,
        f"sutazai-exporter remediations approve {number}",
        one["created"],
    )
    return Matter(wanted, "approval", "one approval waits for you", frozenset(causes), frozenset([asked(one["alert"])]))


def of_findings(findings: Iterable[FindingEntry], settings: Settings) -> Iterator[Matter]:
    """What was found and is severe enough to be told of."""
    for one in findings:
        told = is_severe(one["task"], one["kind"], Severity(one["severity"]), settings)
        if told and is_watched(settings, one["task"]):
            yield _of_failure(one) if one["kind"] == RUN_FAILED else _of_finding(one)


def _of_failure(one: FindingEntry) -> Matter:
    task = one["task"]
    command = commands.run(task, one["mode"].partition(",")[0])
    wanted = todo(Severity(one["severity"]), "task", task, one["message"], one["remedy"], command, one["since"])
    causes = frozenset([task_cause(task), problem_cause(task, one["kind"], one["subject"])])
    return Matter(wanted, "task", f"{task} does not work", causes)


def _of_finding(one: FindingEntry) -> Matter:
    task, subject, remedy = one["task"], one["subject"], one["remedy"]
    command = commands.command_in(remedy)
    wanted = todo(Severity(one["severity"]), "problem", subject, one["message"], remedy, command, one["since"])
    causes, tags = {problem_cause(task, one["kind"], subject)}, frozenset([f"of/{task}/{subject}"])
    sort, _, name = subject.partition("/")
    if task == agents.TASK and sort == "agent":
        causes.add(agent_cause(name))
        return Matter(wanted, "agent", f"agent {name} is {_worded(one['kind'])}", frozenset(causes), tags)
    covered = (agent_cause(""),) if (task, one["kind"]) in _COUNT_AGENTS or subject == "check/agents" else ()
    return Matter(wanted, "problem", _clause(one["message"]), frozenset(causes), tags, covered)


def of_agents(entries: Iterable[AgentEntry], findings: Iterable[FindingEntry], settings: Settings) -> Iterator[Matter]:
    """Agents that are not well; what is known of such a state says what to do, severe or not."""
    if not is_watched(settings, agents.TASK):
        return
    remedies = {(one["subject"], one["kind"]): one["remedy"] for one in findings if one["task"] == agents.TASK}
    for one in entries:
        if not one["healthy"]:
            name, state = one["agent"], one["state"]
            said = f"agent {name} is {_worded(state)}"
            severity = _AGENT_SEVERITIES.get(state, Severity.HIGH)
            remedy = remedies.get((f"agent/{name}", state)) or "see its log"
            command = commands.command_in(remedy) or _command(one)
            wanted = todo(severity, "problem", f"agent/{name}", said, remedy, command)
            yield Matter(wanted, "agent", said, frozenset([agent_cause(name)]))


def _command(one: AgentEntry) -> str:
    if not AGENT_NAME.fullmatch(one["agent"]):
        return ""
    if one["quarantined"]:
        return f"sutazai-exporter agents release {one['agent']}"
    return f"{commands.run(agents.TASK, 'repair')} --target {one['agent']}"


def of_scores(scores: Iterable[Score], settings: Settings) -> Iterator[Matter]:
    """Scores that are low; mostly their task has found why."""
    for one in scores:
        severity = _score_severity(one, settings)
        if severity and is_watched(settings, one["task"]):
            most = ", ".join(f"{taken['reason']} ({taken['points']:g})" for taken in one["deductions"][:3])
            said = f"the {one['name']} score is {one['value']:.3g} of 100"
            remedy = f"taken off most: {most}" if most else ""
            wanted = todo(severity, "problem", score_cause(one["name"]), said, remedy, commands.run(one["task"]))
            causes = frozenset([score_cause(one["name"])])
            yield Matter(wanted, "score", said, causes, covered_by=(f"of/{one['task']}/",))


def _score_severity(one: Score, settings: Settings) -> Severity | None:
    """As the alert rules judge it: a security score by itself is never critical."""
    limits, value = settings.alerts, one["value"]
    if value is None or value >= limits.low_score:
        return None
    if one["name"] == "security":
        return Severity.MEDIUM if value < limits.critical_score else None
    return Severity.CRITICAL if value < limits.critical_score else Severity.MEDIUM


def agent_cause(name: str) -> str:
    """That something is wrong with an agent; with no name, how all of these begin."""
    return f"agent/{name}"


def task_cause(task: str) -> str:
    """That a task does not do its work."""
    return f"task/{task}"


def score_cause(name: str) -> str:
    """That a score is low."""
    return f"score/{name}"


def problem_cause(task: str, kind: str, subject: str) -> str:
    """One problem."""
    return f"problem/{task}/{kind}/{subject}"


def asked(alert: str) -> str:
    """The tag of a question that an alert has brought about."""
    return f"asked/{alert}"


def _worded(state: str) -> str:
    return state.replace("_", " ")


def _clause(message: str) -> str:
    """A message as part of a sentence."""
    line = " ".join(message.split()).rstrip(".")
    return line if len(line) <= 160 else line[:159] + "…"
