"""The daemon's resident memory: at rest beside the exporters it replaces, and after a thousand runs."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial

from benchmarks.harness import Figure, Gap, NotMeasured, Row, at_most, in_turns, ratio_at_most, within
from benchmarks.machine import resident_mb
from benchmarks.ours import EMPTY_TASK, Starter, daemon, with_empty_job
from benchmarks.peers import Blackbox, NodeExporter, PostgresExporter, RedisExporter
from tests.services.local_http import ask
from tests.services.wait import wait_for
from tests.services.web_service import WebService

REPLACED: tuple[Callable[[], WebService], ...] = (NodeExporter, PostgresExporter, RedisExporter, Blackbox)
SETTLE_SECONDS = 10.0
RUNS, SIDE_BY_SIDE = 1_000, 20


def measure(runs: int) -> Iterator[Figure | Gap]:
    """At rest means: the first runs are over, and everything has been scraped."""
    with ExitStack() as started:
        peers = []
        for kind in REPLACED:
            try:
                peers.append(started.enter_context(closing(kind())))
            except NotMeasured as missing:
                yield Gap("at rest, beside it", str(missing))
        sides = {"ours": _at_rest, "peer": lambda: sum(map(_scraped_mb, peers))}
        found = in_turns(sides, runs)
    names = " + ".join(peer.name.removesuffix("-exporter") for peer in peers)
    yield Figure("at rest", "MB", found["ours"], goal=at_most(60, "MB"))
    goal = ratio_at_most(1) if len(peers) == len(REPLACED) else None
    yield Figure("at rest", "MB", found["ours"], found["peer"], f"{names} exporters", goal)
    before, after = _around_many_runs()
    yield Figure(f"change over {RUNS:,} runs", "MB", [after - before], goal=within(5, "MB"))


def _at_rest() -> float:
    with daemon() as ours:
        ours.wait_metric("sutazai_task_last_success_timestamp_seconds", {"task": "health-check"})
        for _ in range(10):
            ours.get("/metrics")
        time.sleep(SETTLE_SECONDS)
        return resident_mb(ours.pid)


def _scraped_mb(peer: WebService) -> float:
    for _ in range(10):
        ask("GET", f"{peer.url}/metrics")
    return resident_mb(peer.pid)


def _around_many_runs() -> tuple[float, float]:
    """Resident memory before and after the runs; each is a process, and they are driven through the API."""
    with with_empty_job() as packages, daemon(packages=packages) as ours:
        ours.wait_metric("sutazai_task_last_success_timestamp_seconds", {"task": "health-check"})
        time.sleep(SETTLE_SECONDS)
        start, before = Starter(ours), resident_mb(ours.pid)
        done = {"task": EMPTY_TASK, "outcome": "ok"}
        for so_far in range(SIDE_BY_SIDE, RUNS + 1, SIDE_BY_SIDE):
            for i in range(SIDE_BY_SIDE):
                start(EMPTY_TASK, target=f"run-{i}")
            ours.wait_metric("sutazai_task_runs_total", done, partial(operator.le, so_far))
        idle = 'sutazai_task_running{task="empty"} 0'
        wait_for(lambda: idle in ours.metrics().text, 30, "the last run is over")
        return before, resident_mb(ours.pid)


ROW = Row("memory", "resident memory of the daemon", measure, runs=3)
