"""Asking every agent once, beside blackbox_exporter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from urllib.parse import quote

from benchmarks.harness import Figure, Gap, Goal, Row, at_most, in_turns, ratio_at_most
from benchmarks.load import Load, drive
from benchmarks.machine import cpu_seconds, raise_descriptor_limit
from benchmarks.many_agents import many_agents
from benchmarks.peers import Blackbox
from benchmarks.probe_client import probe_client

AGENTS = (5, 100, 1_000, 5_000)
PEER, PEER_CONNECTIONS = "blackbox_exporter", 32
LEAST_PROBES = 500
"""Few agents are asked several times over, so that there is something to measure."""

Cost = tuple[float, float]
"""Wall and CPU seconds of one round of probes."""


def measure(runs: int) -> Iterator[Figure | Gap]:
    """A round asks all agents: ours in one call, the peer by one /probe for each, many at a time."""
    raise_descriptor_limit(max(AGENTS) * 2 + 1_000)
    with closing(Blackbox()) as peer, probe_client() as ours, many_agents(max(AGENTS)) as ports:
        for agents in AGENTS:
            urls = [f"http://127.0.0.1:{port}/health" for port in ports[:agents]]
            yield from _figures(urls, partial(_several, ours, urls), _peer(peer, urls), runs)


def _figures(urls: Sequence[str], ours: Callable[[], Cost], peer: Callable[[], Cost], runs: int) -> Iterator[Figure]:
    costs = in_turns({"ours": ours, "peer": peer}, runs)
    per_agent = ratio_at_most(1) if len(urls) == 1_000 else None

    def figure(what: str, unit: str, which: int, scale: float, goal: Goal | None) -> Figure:
        values = {name: [cost[which] * scale for cost in found] for name, found in costs.items()}
        return Figure(f"{len(urls):,} agents, {what}", unit, values["ours"], values["peer"], PEER, goal)

    microseconds = 1e6 / len(urls)
    yield figure("wall per probe", "µs", 0, microseconds, per_agent)
    yield figure("CPU per probe", "µs", 1, microseconds, per_agent)
    if len(urls) == max(AGENTS):
        yield figure("the whole round", "s", 0, 1, at_most(4, "s"))


def _several(probe: Callable[[Sequence[str]], Cost], urls: Sequence[str]) -> Cost:
    rounds = max(1, LEAST_PROBES // len(urls))
    costs = [probe(urls) for _ in range(rounds)]
    return sum(wall for wall, _ in costs) / rounds, sum(cpu for _, cpu in costs) / rounds


def _peer(peer: Blackbox, urls: Sequence[str]) -> Callable[[], Cost]:
    rounds = max(1, LEAST_PROBES // len(urls))
    paths = [f"/probe?module=http_2xx&target={quote(url, safe='')}" for url in urls]
    connections = min(len(urls), PEER_CONNECTIONS)
    load = Load(
        "127.0.0.1", peer.port, len(urls) * rounds, paths, connections, encoding="identity", expect="probe_success 1"
    )

    def measured() -> Cost:
        before = cpu_seconds(peer.pid)
        answers = drive(load)
        return answers.wall_seconds / rounds, (cpu_seconds(peer.pid) - before) / rounds

    return measured


ROW = Row("probes", "agents on loopback asked for /health, each on a connection of its own", measure)
