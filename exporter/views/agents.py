"""The agents as they were last seen."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from exporter.views.sources import Sources
from jobs.core.agents.report import FAILURES, QUARANTINED, RESTARTS, STATE, UPTIME, UPTIME_DAY
from jobs.core.agents.state import State
from jobs.core.model import Family
from jobs.core.registry import all_jobs

if TYPE_CHECKING:
    from exporter.views.shapes import AgentEntry

TASK = "agent-monitor"
"""The task that looks at them."""


def agents(sources: Sources) -> list[AgentEntry]:
    """Every known agent, by name."""
    if TASK not in all_jobs():
        return []
    uptimes, failures = _by_agent(sources, UPTIME_DAY), _by_agent(sources, FAILURES)
    quarantined, restarts = _by_agent(sources, QUARANTINED), _by_agent(sources, RESTARTS)
    return [
        {
            "agent": name,
            "state": state,
            "healthy": state == State.HEALTHY,
            "uptime_24h_ratio": uptimes.get(name),
            "consecutive_failures": int(failures[name]) if name in failures else None,
            "restarts_total": int(restarts[name]) if name in restarts else None,
            "quarantined": quarantined.get(name) == 1,
        }
        for name, state in sorted(_states(sources).items())
    ]


def uptime_percent(sources: Sources) -> float | None:
    """The mean uptime of all agents over 24 hours."""
    return sources.exposition.get(UPTIME.name) if TASK in all_jobs() else None


def _states(sources: Sources) -> dict[str, str]:
    shown = sources.exposition.series(STATE.name)
    return {labels["agent"]: labels["state"] for labels, value in shown if value == 1}


def _by_agent(sources: Sources, family: Family) -> dict[str, float]:
    """A family's values by agent; where it has other labels, their sum."""
    totals: Counter[str] = Counter()
    for labels, value in sources.exposition.series(family.name):
        totals[labels["agent"]] += value  # type: ignore[assignment]  # a Counter adds floats as well
    return dict(totals)
