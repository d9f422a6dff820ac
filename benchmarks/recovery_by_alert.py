"""A killed agent whose monitor may only report: how long until its alert has had it repaired, and the repair is proven.

Everything on the way is real: the engine's event, Prometheus with one second between scrapes and between evaluations,
Alertmanager as `alertmanager-config` configures it, the daemon's intake, and its remediations in mode auto. Only the
alert has no `for`: that is a wait of the operator's own choice, six minutes by default.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.agents import BenchAgent, look_until, need_engine, wait_watched, watching
from benchmarks.harness import Figure, Gap, Row, at_most
from benchmarks.machine import need
from tests.services.alert_stack import Stack
from tests.services.docker_engine import DockerEngine

_ALERT = "AgentDown"
_GOAL_SECONDS = 3.0
"""One scrape and two seconds, where there is a scrape each second."""
_STAGES = (
    "docker kill to its alert firing in Prometheus",
    "docker kill to the alert in the inbox",
    "docker kill to serving again",
    "docker kill to a verified remediation",
)


def measure(runs: int) -> Iterator[Figure | Gap]:
    """Each run has a world of its own.

    Where within a second a Prometheus scrapes, and where it evaluates, is drawn when it starts and then stays so.
    """
    _need_all()
    with closing(DockerEngine()) as engine:
        killed = [_killed(engine, f"alerted-{run}") for run in range(runs)]
    firing, entered, serving, verified = zip(*killed, strict=True)
    for what, seconds in zip(_STAGES[:-1], (firing, entered, serving), strict=True):
        yield Figure(what, "s", seconds)
    yield Figure(_STAGES[-1], "s", verified, goal=at_most(_GOAL_SECONDS, "s"))
    yield Figure("of it from firing on", "s", [end - begin for begin, end in zip(firing, verified, strict=True)])


def _killed(engine: DockerEngine, name: str) -> list[float]:
    """Seconds from the kill of an agent to each of _STAGES."""
    agent = BenchAgent(engine, name)
    with (
        tempfile.TemporaryDirectory(prefix="sutazai-bench-") as directory,
        closing(Stack(Path(directory), watching(engine, [agent], auto_restart=False), for_seconds=0)) as world,
    ):
        wait_watched(world.daemon, [agent])
        look_until(lambda: _is_idle(world), "the daemon's first runs are over")
        world.prometheus.wait_query("sutazai_agent_up == 1")
        began = time.perf_counter()
        agent.container.kill()
        return [_seconds_since(began, seen, what) for what, seen in zip(_STAGES, _stages(world, agent), strict=True)]


def _is_idle(world: Stack) -> bool:
    return all(sample.value == 0 for sample in world.daemon.metrics().samples("sutazai_task_running"))


def _stages(world: Stack, agent: BenchAgent) -> tuple[Callable[[], object], ...]:
    """What is looked for, one after the other."""

    def states() -> list[str]:
        return [one["state"] for one in world.remediations()]

    return (
        lambda: world.prometheus.alerts(_ALERT, "firing"),
        lambda: world.inbox(_ALERT),
        agent.serves,
        lambda: states() == ["verified"],
    )


def _seconds_since(began: float, seen: Callable[[], object], what: str) -> float:
    look_until(seen, what)
    return time.perf_counter() - began


def _need_all() -> None:
    need_engine()
    need("prometheus", package="prometheus")
    need("prometheus-alertmanager", "alertmanager", package="prometheus-alertmanager")
    need("prometheus-node-exporter", "node_exporter", package="prometheus-node-exporter")


ROW = Row(
    "recovery_by_alert", "an agent that its alert brings back: Prometheus, Alertmanager, remediation", measure, runs=7
)
