"""A failed agent: how long until it is well again and the exporter knows, by the engine's events.

Beside it stand Docker's own restart policy, which restarts what has ended and looks at nothing, and the method of
docker-autoheal, which looks every five seconds for what Docker calls unhealthy.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

from benchmarks.agents import HEALTHCHECK, BenchAgent, look_until, need_engine, recovered, wait_watched, watching
from benchmarks.harness import Figure, Gap, Row, at_most
from benchmarks.ours import daemon
from benchmarks.peers import AUTOHEAL_SECONDS, Autoheal
from tests.services.docker_engine import DockerEngine
from tests.services.exporter_daemon import ExporterDaemon

_POLICY, _AUTOHEAL = "Docker's restart policy", "docker-autoheal's method (a shell loop)"
_HEALED = {"labels": {"autoheal": "true"}, "healthcheck": HEALTHCHECK}
_LEFT_POLLS = 3


def measure(runs: int) -> Iterator[Figure | Gap]:
    """Each run makes an agent of its own fail, so that none has been restarted before."""
    need_engine()
    with closing(DockerEngine()) as engine:
        yield from _killed(engine, runs)
        yield from _ill(engine, runs)


@dataclass(frozen=True)
class _Sides:
    """Agents that one run each makes fail: ours by a crash and by `docker kill`, the policy's, and one left alone."""

    crashing: list[BenchAgent]
    killed: list[BenchAgent]
    by_policy: list[BenchAgent]
    alone: list[BenchAgent]


def _killed(engine: DockerEngine, runs: int) -> Iterator[Figure]:
    sides = _Sides(
        [BenchAgent(engine, f"crash-{i}") for i in range(runs)],
        [BenchAgent(engine, f"kill-{i}") for i in range(runs)],
        [BenchAgent(engine, f"policy-{i}", restart_policy={"Name": "always"}) for i in range(runs)],
        [BenchAgent(engine, f"alone-{i}") for i in range(runs)],
    )
    watched = [*sides.crashing, *sides.killed]
    with daemon(watching(engine, watched)) as ours:
        wait_watched(ours, watched)
        served, verified, killed, by_policy, starts = [], [], [], [], []
        for run in range(runs):
            served.append(_seconds(ours, sides.crashing[run], verified))
            by_policy.append(sides.by_policy[run].seconds_after(sides.by_policy[run].kill))
            killed.append(_docker_killed(ours, sides.killed[run]))
            starts.append(_start(sides.alone[run]))
    yield Figure("crashed to serving again", "s", served, by_policy, _POLICY)
    yield Figure("crashed to verified healthy", "s", verified, goal=at_most(3, "s"))
    yield Figure("docker kill to verified healthy", "s", killed, goal=at_most(3, "s"))
    yield Figure("of it the agent's own start", "s", starts)


def _seconds(ours: ExporterDaemon, agent: BenchAgent, verified: list[float]) -> float:
    """Seconds from the crash until the agent serves; those until the exporter has verified it go to `verified`."""
    began = time.perf_counter()
    served = agent.seconds_after(agent.kill)
    look_until(lambda: recovered(ours, agent), f"{agent.name} is counted as recovered")
    verified.append(time.perf_counter() - began)
    return served


def _docker_killed(ours: ExporterDaemon, agent: BenchAgent) -> float:
    began = time.perf_counter()
    agent.docker_kill()
    look_until(lambda: recovered(ours, agent), f"{agent.name} is counted as recovered")
    return time.perf_counter() - began


def _start(agent: BenchAgent) -> float:
    agent.kill()
    look_until(lambda: agent.status == "exited", f"{agent.name} has exited")
    return agent.seconds_after(agent.container.start)


def _ill(engine: DockerEngine, runs: int) -> Iterator[Figure | Gap]:
    """Agents that run on and that Docker calls unhealthy, which is all that docker-autoheal looks at."""
    ours_ill = [BenchAgent(engine, f"ill-{i}", healthcheck=HEALTHCHECK) for i in range(runs)]
    theirs = [BenchAgent(engine, f"healed-{i}", **_HEALED) for i in range(runs)]
    dead = BenchAgent(engine, "dead", **_HEALED)
    with ExitStack() as stack:
        ours = stack.enter_context(daemon(watching(engine, ours_ill)))
        stack.enter_context(closing(Autoheal(engine)))
        polling_since = time.monotonic()
        wait_watched(ours, ours_ill)
        dead.kill()
        dead_since = time.monotonic()
        verified, healed = [], []
        for run, (agent, other) in enumerate(zip(ours_ill, theirs, strict=True)):
            verified.append(agent.seconds_ill(lambda agent=agent: recovered(ours, agent)))
            # Spread evenly over the time between two polls, as failures are.
            time.sleep((AUTOHEAL_SECONDS * run / runs + polling_since - time.monotonic()) % AUTOHEAL_SECONDS)
            healed.append(other.seconds_ill(other.serves))
        time.sleep(max(0.0, dead_since + _LEFT_POLLS * AUTOHEAL_SECONDS - time.monotonic()))
        left = dead.status
    peer, goal = f"{_AUTOHEAL}, not verified", at_most(3, "s")
    yield Figure("called unhealthy to verified healthy", "s", verified, healed, peer, goal)
    why = ": it sees only containers that run" if left == "exited" else ""
    yield Gap(f"crashed, by {_AUTOHEAL}", f"{left} after {_LEFT_POLLS} polls{why}")


ROW = Row("recovery", "an agent that fails while the daemon watches: crashed, killed, unhealthy", measure, runs=7)
