"""The metric families of the agents."""

from __future__ import annotations

from jobs.core.model import Family, MetricType

UP = Family(name="sutazai_agent_up", help="Whether the agent is up and well (1) or not (0).", labels=("agent",))
UPTIME = Family(
    name="sutazai_agent_uptime",
    help="Mean uptime of all agents over 24 hours, in percent; where nothing is recorded yet, as they are now.",
)
UPTIME_DAY = Family(
    name="sutazai_agent_uptime_ratio", help="Share of the last 24 hours that the agent was up.", labels=("agent",)
)
UPTIME_WEEK = Family(
    name="sutazai_agent_uptime_7d_ratio", help="Share of the last 7 days that the agent was up.", labels=("agent",)
)
RESTARTS = Family(
    name="sutazai_agent_restarts_total",
    help="Restarts of the agent by the monitor, by what came of them (recovered, failed).",
    labels=("agent", "result"),
    type=MetricType.COUNTER,
)
QUARANTINED = Family(
    name="sutazai_agent_quarantined", help="Whether the agent is left alone until it is released.", labels=("agent",)
)
STATE = Family(
    name="sutazai_agent_state", help="The agent's condition: 1 for the one it is in.", labels=("agent", "state")
)
RESPONSE = Family(
    name="sutazai_agent_response_seconds", help="Time the agent took to answer its last probe.", labels=("agent",)
)
FAILURES = Family(
    name="sutazai_agent_consecutive_failures", help="Checks in a row that the agent failed.", labels=("agent",)
)
AGENTS = Family(name="sutazai_agents", help="Number of agents in each condition.", labels=("state",))

FAMILIES = (UP, UPTIME, UPTIME_DAY, UPTIME_WEEK, RESTARTS, QUARANTINED, STATE, RESPONSE, FAILURES, AGENTS)
