"""What containers use, read from their cgroups, beside `docker stats --no-stream`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing

from benchmarks.harness import Figure, Gap, Row, in_turns, ratio_at_most
from jobs.clients.cgroups import Cgroups
from jobs.clients.docker import DockerEngine as DockerClient
from jobs.core.settings import DockerSettings
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE

CONTAINERS = 50
PEER = "docker stats"


def measure(runs: int) -> Iterator[Figure | Gap]:
    """CPU time, memory, its limit and disk traffic of every container, on both sides.

    The first figure has the containers' ids already; the second asks the engine for the list, too, which is what a
    sample does. The peer is timed as a whole: its start, its list, and its two readings a second apart, between which
    it waits; ours needs no second reading, as the last sample's counters are kept.
    """
    with closing(DockerEngine()) as engine:
        for number in range(CONTAINERS):
            engine.run(AGENT_IMAGE, f"bench-{number}", command=["sleep", "100000"])
        client = DockerClient(DockerSettings(url=engine.url))
        ids = {container.id for container in client.containers()}
        sides = {
            "files": _timed(lambda: _all_of(Cgroups().usage(ids))),
            "list": _timed(lambda: _all_of(Cgroups().usage({c.id for c in client.containers()}))),
            "peer": _timed(lambda: _all_of(engine.cli("stats", "--no-stream", "--no-trunc").splitlines()[1:])),
        }
        times = in_turns(sides, runs)
    goal = ratio_at_most(1 / 500)
    yield Figure(f"figures of {CONTAINERS} containers", "ms", times["files"], times["peer"], PEER, goal)
    yield Figure("the same with the engine's list", "ms", times["list"], times["peer"], PEER)


def _all_of(found: object) -> None:
    if not hasattr(found, "__len__") or len(found) != CONTAINERS:
        raise RuntimeError(f"not all of {CONTAINERS} containers were seen")


def _timed(work: Callable[[], None]) -> Callable[[], float]:
    def measured() -> float:
        began = time.perf_counter()
        work()
        return 1000 * (time.perf_counter() - began)

    return measured


ROW = Row("containers", "what 50 containers use: their cgroups beside docker stats", measure)
