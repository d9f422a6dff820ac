"""Starts: the daemon's to its first scrape, a run's within it, and a one-shot command's."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path

from benchmarks.harness import Figure, Gap, Row, at_most, in_turns, ratio_at_most
from benchmarks.machine import cpu_seconds_with_children
from benchmarks.many_agents import many_agents
from benchmarks.ours import EMPTY_TASK, Starter, daemon, with_empty_job
from benchmarks.peers import NodeExporter
from tests.services.exporter_daemon import ExporterDaemon, command_line, environment_of, write_config
from tests.services.local_http import TRANSIENT, ask, get_json
from tests.services.wait import wait_for

EMPTY_RUNS = 10
ENDPOINTS = 5
WORST_VERDICT = 3
"""Exit code of a check that worked and found the worst; beyond it nothing was checked."""
SCRIPT = Path(__file__).with_name("health_check.sh")

Cost = tuple[float, float]
"""Wall and CPU seconds."""


def measure(runs: int) -> Iterator[Figure | Gap]:
    """Starts of the daemon first, then of a run in it, then of commands."""
    starts = in_turns({"ours": _daemon_start, "peer": _node_exporter_start}, runs)
    scrapes, peers = [start[0] for start in starts["ours"]], [start[0] for start in starts["peer"]]
    yield Figure("exec to first complete scrape", "s", scrapes, peers, "node_exporter", at_most(2, "s"))
    yield Figure("exec to first real values", "s", [start[1] for start in starts["ours"]], goal=at_most(10, "s"))
    with with_empty_job() as packages:
        with daemon(packages=packages) as ours:
            costs = _empty_runs(ours, runs)
        yield Figure("an empty run in the daemon, wall", "ms", _ms(costs, 0), goal=at_most(150, "ms"))
        yield Figure("an empty run in the daemon, CPU", "ms", _ms(costs, 1))
        yield from _one_shots(packages, runs)


def _daemon_start() -> tuple[float, float]:
    """Seconds to the first scrape, and to the first with what a health check has found."""
    began = time.perf_counter()
    with daemon(wait=False) as ours:
        _first(f"{ours.url}/metrics", "sutazai_build_info")
        scraped = time.perf_counter() - began
        _first(f"{ours.url}/metrics", "sutazai_health_score ")
        return scraped, time.perf_counter() - began


def _node_exporter_start() -> tuple[float, float]:
    began = time.perf_counter()
    with closing(NodeExporter()) as peer:
        _first(f"{peer.url}/metrics", "node_load1")
        scraped = time.perf_counter() - began
        return scraped, scraped  # its values are read for the scrape


def _first(url: str, text: str) -> None:
    wait_for(lambda: text in ask("GET", url).text, 60, f"{text} in {url}", ignoring=TRANSIENT)


def _empty_runs(ours: ExporterDaemon, runs: int) -> list[Cost]:
    """From the request's acceptance to its record; and CPU of the daemon with its runs, each the mean of several."""
    start = Starter(ours)
    ours.wait_metric("sutazai_task_last_success_timestamp_seconds", {"task": "health-check"})
    return [_several_empty_runs(ours, start) for _ in range(runs)]


def _several_empty_runs(ours: ExporterDaemon, start: Starter) -> Cost:
    before, wall_seconds = cpu_seconds_with_children(ours.pid), 0.0
    for _ in range(EMPTY_RUNS):
        asked = time.time()
        start(EMPTY_TASK)
        wall_seconds += wait_for(partial(_seconds_to_last_finish, ours, asked), 30, "the run is over")
    return wall_seconds / EMPTY_RUNS, (cpu_seconds_with_children(ours.pid) - before) / EMPTY_RUNS


def _seconds_to_last_finish(ours: ExporterDaemon, asked: float) -> float:
    time.sleep(0.2)  # asking costs the daemon CPU time
    runs = get_json(f"{ours.url}/api/v1/runs?task={EMPTY_TASK}&limit=1")["runs"]
    if not runs:
        return 0.0
    whole = get_json(f"{ours.url}/api/v1/runs/{runs[0]['run_id']}")
    return max(0.0, datetime.fromisoformat(whole["finished"]).timestamp() - asked)


def _one_shots(packages: Path, runs: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="sutazai-bench-") as directory, many_agents(ENDPOINTS) as ports:
        base = Path(directory, "base")
        urls = [f"http://127.0.0.1:{port}/health" for port in ports]
        config = write_config(
            Path(directory, "exporter.yml"),
            {"endpoints": [{"name": f"agent-{i}", "url": url} for i, url in enumerate(urls)]},
        )
        env = environment_of(base, {"PYTHONPATH": str(packages), "SUTAZAI_CONFIG_FILE": str(config)})
        sides = {
            "empty": _command(command_line("run", EMPTY_TASK), env, directory),
            "check": _command(command_line("run", "health-check"), env, directory),
            "script": _command(["bash", str(SCRIPT), str(base), *urls], env, directory),
        }
        costs = in_turns(sides, runs * 3)
    yield Figure("`run` of an empty job, wall", "ms", _ms(costs["empty"], 0))
    yield Figure("`run` of an empty job, CPU", "ms", _ms(costs["empty"], 1))
    wall, cpu = ((_ms(costs["check"], which), _ms(costs["script"], which)) for which in (0, 1))
    yield Figure("`run health-check`, wall", "ms", *wall, "a bash script", ratio_at_most(1))
    yield Figure("`run health-check`, CPU", "ms", *cpu, "a bash script")


def _command(argv: Sequence[str], env: dict[str, str], cwd: str) -> Callable[[], Cost]:
    def measured() -> Cost:
        before, began = os.times(), time.perf_counter()
        code = subprocess.run(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode
        seconds, after = time.perf_counter() - began, os.times()
        if code > WORST_VERDICT:
            raise RuntimeError(f"{' '.join(argv)} ended with {code}")
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return seconds, cpu

    return measured


def _ms(costs: Sequence[Cost], which: int) -> list[float]:
    return [cost[which] * 1e3 for cost in costs]


ROW = Row("start", "the daemon, a run within it, a command", measure, runs=5)
