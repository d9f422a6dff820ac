"""Looks after the agents: sees how each is, restarts those that failed, and leaves alone those it should.

Which agents there are, and what each condition means, is told by `jobs.core.agents.discovery` and
`jobs.core.agents.state`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.agents.settings import CADENCES, Settings
from jobs.core.agents.families import FAMILIES
from jobs.core.agents.modes import CHECK, RELEASE, REPAIR, RESTART
from jobs.core.agents.state import State
from jobs.core.job import Flag, Job, ReportFiles
from jobs.core.sight import ALL, ANY_MODE, SAME, Sight

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.core.model import Request, Result

__all__ = ["JOB", "Settings"]

_NOT_WELL = (State.UNHEALTHY, State.UNREACHABLE, State.STOPPED, State.MISSING, State.QUARANTINED)


def run(settings: Settings, clients: Clients, request: Request) -> Result:
    """Look at all agents, or at the one that `request.target` names, and restart what needs it.

    `release` ends the quarantine of one agent, `repair` restarts one that is not healthy without waiting for more
    failures, `restart` restarts one however it is, which does not end its quarantine and which only a person may
    ask for; they need a target, and raise JobError without.
    """
    from jobs.agents.running import Run

    return Run(settings, clients, request).result()


JOB = Job(
    name="agent-monitor",
    summary="Looks after the agents and restarts those that failed",
    cadences=CADENCES,
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
