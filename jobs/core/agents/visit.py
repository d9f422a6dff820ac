"""One agent during one run of the monitor: what was seen, remembered, decided and done, and how to say it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from jobs.core.agents.discovery import Watched
from jobs.core.agents.record import AgentRecord
from jobs.core.agents.state import Decision, Facts, Probe, State, Stop, Verb, counts_as_failure
from jobs.core.containers import Inspection
from jobs.core.model import Action, Finding, Severity

RECOVERED, FAILED = "recovered", "failed"
RELEASE_COMMAND = "sutazai-exporter agents release"


@dataclass
class Visit:
    """The run's notes on one agent.

    `restart` is empty, RECOVERED or FAILED, and `restart_began` monotonic. `busy` says that another run had the
    agent in hand. `before` is the state that was remembered. `again_seconds` asks for another look later.
    """

    watched: Watched
    probe: Probe | None
    facts: Facts
    record: AgentRecord
    check_error: str = ""
    inspection: Inspection | None = None
    decision: Decision = field(default_factory=lambda: Decision(Verb.NOTHING))
    restart: str = ""
    restart_began: float = 0.0
    busy: bool = False
    again_seconds: float | None = None
    findings: list[Finding] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    before: State | None = None

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.watched.name

    @property
    def state(self) -> State:
        """Its condition as people are told: a quarantine hides what lies below it."""
        return State.QUARANTINED if self.record.quarantined_since else self.facts.state

    @property
    def changed(self) -> bool:
        """Whether there is news."""
        return bool(self.actions) or self.state is not self.before

    def note(self, kind: str, severity: Severity, message: str, remedy: str = "") -> None:
        """Add a finding about this agent."""
        subject = f"agent/{self.name}"
        self.findings.append(Finding(kind=kind, subject=subject, severity=severity, message=message, remedy=remedy))

    def did(self, verb: str, detail: str, *, done: bool) -> None:
        """Add an action on this agent."""
        self.actions.append(Action(verb=verb, subject=f"agent/{self.name}", detail=detail, done=done))


def remembered(visit: Visit, now: datetime) -> AgentRecord:
    """The record with what this visit saw, before anything is done about it."""
    record = visit.record.updated(port=visit.watched.agent.port, agent_name=visit.name)
    record = record.with_restarts(record.restarts_in_hour, now)
    if visit.facts.state is State.HEALTHY:
        return record.updated(consecutive_failures=0, last_successful_check=now, verdict=None, attempt=None)
    if counts_as_failure(visit.facts):
        return record.updated(consecutive_failures=min(record.consecutive_failures + 1, 10**9))
    return record if visit.facts.young else record.updated(consecutive_failures=0)


def finding(visit: Visit) -> Finding | None:
    """What people should know of the agent's condition; None where it is well."""
    if visit.state is State.HEALTHY:
        return None
    kind, severity, message, remedy = _WORDS[visit.state](visit)
    more = _more(visit) if visit.decision.reason and visit.state in _EXPLAINED else ""
    subject = f"agent/{visit.name}"
    return Finding(kind=kind, subject=subject, severity=severity, message=f"{message}{more}", remedy=remedy)


def _more(visit: Visit) -> str:
    """Why nothing is done, or what is: one sentence with the detail where it goes on from that."""
    detail, reason = visit.facts.detail, visit.decision.reason
    return reason.removeprefix(detail) if reason.startswith(detail) else f" ({reason})"


_Words = tuple[str, Severity, str, str]


def container_name(visit: Visit) -> str:
    """What the agent's container is called; the agent's own name where none is known."""
    return visit.watched.container.name if visit.watched.container else visit.name


def _failing(visit: Visit) -> _Words:
    container = visit.watched.container
    by_itself = "see its log, and start it again: no container of it is known"
    remedy = f"docker logs {container.name}" if container else by_itself
    return visit.state.value, Severity.HIGH, f"{visit.name} is {visit.state.value}: {visit.facts.detail}", remedy


def _stopped(visit: Visit) -> _Words:
    start, message = f"docker start {container_name(visit)}", f"{visit.name} is stopped: {visit.facts.detail}"
    if visit.facts.stop is Stop.OPERATOR:
        return "stopped", Severity.MEDIUM, message, start
    if visit.facts.stop is Stop.UNKNOWN:
        return "stopped", Severity.HIGH, message, f"{RELEASE_COMMAND} {visit.name} (or {start})"
    return "stopped", Severity.CRITICAL, message, start


def _paused(visit: Visit) -> _Words:
    return "paused", Severity.MEDIUM, f"{visit.name} is paused", f"docker unpause {container_name(visit)}"


def _missing(visit: Visit) -> _Words:
    remedy = f"start a container called {container_name(visit)}, or take the agent out of agents.listed"
    return "missing", Severity.CRITICAL, f"{visit.name} is missing: {visit.facts.detail}", remedy


def _quarantined(visit: Visit) -> _Words:
    now = "it answers again" if visit.facts.state is State.HEALTHY else f"now it is {visit.facts.state.value}"
    since = visit.record.quarantined_since.isoformat(" ", "seconds") if visit.record.quarantined_since else "?"
    message = f"{visit.name} is quarantined since {since}: {visit.record.quarantine_reason}; {now}"
    return "quarantined", Severity.CRITICAL, message, f"{RELEASE_COMMAND} {visit.name}"


_WORDS: dict[State, Callable[[Visit], _Words]] = {
    State.UNHEALTHY: _failing,
    State.UNREACHABLE: _failing,
    State.STOPPED: _stopped,
    State.PAUSED: _paused,
    State.MISSING: _missing,
    State.QUARANTINED: _quarantined,
}
_EXPLAINED = (State.UNHEALTHY, State.UNREACHABLE, State.STOPPED)
