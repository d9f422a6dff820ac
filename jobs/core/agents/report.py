"""What a run of the agent monitor says: metrics, observations, report and verdict, from its visits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.core.agents.discovery import NO_PORT
from jobs.core.agents.families import (
    AGENTS,
    FAILURES,
    QUARANTINED,
    RESPONSE,
    RESTARTS,
    STATE,
    UP,
    UPTIME,
    UPTIME_DAY,
    UPTIME_WEEK,
)
from jobs.core.agents.state import State
from jobs.core.agents.visit import FAILED, RECOVERED, Visit
from jobs.core.model import Observation, Sample

SERIES = "agent_up/"
RESPONSE_SERIES = "performance/agent_response_seconds/"
FAILED_SERIES = "performance/agent_failed_ratio/"
"""What the performance report looks at: how long a probe took that was answered, and whether the agent failed it.

An agent that is stopped or missing fails without being asked.
"""


@dataclass(frozen=True)
class Uptimes:
    """Shares of time that each agent was up, by its name, over a day and a week."""

    day: Mapping[str, float]
    week: Mapping[str, float]


@dataclass(frozen=True)
class Round:
    """Everything that one run knows: its visits, the last known states of all agents, and their uptimes."""

    visits: Sequence[Visit]
    states: Mapping[str, State]
    uptimes: Uptimes

    def samples(self) -> list[Sample]:
        """The value of every family."""
        return [sample for visit in self.visits for sample in _agent_samples(visit, self.uptimes)] + self._aggregates()

    def observations(self) -> list[Observation]:
        """What is to be remembered of each agent that was visited."""
        return [observation for visit in self.visits for observation in _observations(visit)]

    def verdict(self) -> int:
        """0 when all that were visited are healthy, 2 when more than half are not, else 1."""
        ill = sum(visit.state is not State.HEALTHY for visit in self.visits)
        if ill == 0:
            return 0
        return 2 if ill * 2 > len(self.visits) else 1

    def summary(self) -> str:
        """One line for people."""
        counts = {state: sum(visit.state is state for visit in self.visits) for state in State}
        said = ", ".join(f"{count} {state.value}" for state, count in counts.items() if count)
        restarted = sum(visit.restart == RECOVERED for visit in self.visits)
        return f"{len(self.visits)} agent(s): {said}" + (f"; {restarted} restarted" if restarted else "")

    def report(self, now: datetime, mode: str, config: Mapping[str, Any], next_check: datetime) -> dict[str, Any]:
        """The report, in the shape of the original script's."""
        counts = {state.value: sum(visit.state is state for visit in self.visits) for state in State}
        restarts = {result: sum(v.restart == result for v in self.visits) for result in (RECOVERED, FAILED)}
        return {
            "timestamp": now.isoformat(timespec="seconds"),
            "monitoring_config": dict(config),
            "agents": [_described(visit, self.uptimes) for visit in self.visits],
            "summary": {
                "total_agents": len(self.visits),
                "monitoring_mode": mode,
                **counts,
                "restarts": restarts,
                "uptime_percent": self._uptime(),
            },
            "next_check": next_check.isoformat(timespec="seconds"),
        }

    def _aggregates(self) -> list[Sample]:
        counted = [
            Sample(family=AGENTS.name, labels={"state": state}, value=sum(s is state for s in self.states.values()))
            for state in State
        ]
        uptime = self._uptime()
        return counted if uptime is None else [*counted, Sample(family=UPTIME.name, value=uptime)]

    def _uptime(self) -> float | None:
        if not self.states:
            return None
        each = [self.uptimes.day.get(name, _up(state)) for name, state in self.states.items()]
        return 100 * sum(each) / len(each)


def _up(state: State) -> float:
    return 1.0 if state is State.HEALTHY else 0.0


def _observations(visit: Visit) -> list[Observation]:
    # Of a quarantined agent, too, it is known whether it answers.
    values = {SERIES: _up(visit.state), FAILED_SERIES: 1 - _up(visit.facts.state)}
    if visit.probe is not None and visit.probe.status is not None:
        values[RESPONSE_SERIES] = visit.probe.seconds
    return [Observation(series=series + visit.name, value=value) for series, value in values.items()]


def _agent_samples(visit: Visit, uptimes: Uptimes) -> list[Sample]:
    agent = {"agent": visit.name}
    values = [
        (UP, _up(visit.state)),
        (QUARANTINED, float(visit.record.quarantined_since is not None)),
        (FAILURES, float(visit.record.consecutive_failures)),
        (RESPONSE, visit.probe.seconds if visit.probe and visit.probe.status is not None else None),
        (UPTIME_DAY, uptimes.day.get(visit.name)),
        (UPTIME_WEEK, uptimes.week.get(visit.name)),
    ]
    return [
        *(Sample(family=family.name, labels=agent, value=value) for family, value in values if value is not None),
        *(Sample(family=STATE.name, labels={**agent, "state": s}, value=float(visit.state is s)) for s in State),
        # Zeros too: a counter that is not there before its first event hides that event from rate().
        *(
            Sample(family=RESTARTS.name, labels={**agent, "result": r}, value=float(visit.restart == r))
            for r in (RECOVERED, FAILED)
        ),
    ]


def _described(visit: Visit, uptimes: Uptimes) -> dict[str, Any]:
    record, container = visit.record, visit.watched.container
    return {
        "name": visit.name,
        "port": visit.watched.agent.port if visit.watched.agent.port != NO_PORT else None,
        "status": visit.state.value,
        "detail": visit.facts.detail,
        "decision": visit.decision.verb.value,
        "decision_reason": visit.decision.reason,
        "restart": visit.restart,
        "response_seconds": visit.probe.seconds if visit.probe and visit.probe.status is not None else None,
        "container": container.name if container else None,
        "consecutive_failures": record.consecutive_failures,
        "last_successful_check": _iso(record.last_successful_check),
        "last_restart": _iso(record.last_restart),
        "restarts_in_hour": len(record.restarts_in_hour),
        "total_restarts": record.total_restarts,
        "uptime_24h_ratio": uptimes.day.get(visit.name),
        "uptime_7d_ratio": uptimes.week.get(visit.name),
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None
