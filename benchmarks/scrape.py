"""A scrape: its wall time and its CPU time, beside node_exporter, at rest and while all jobs run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from benchmarks.harness import Figure, Gap, Row, at_most, in_turns, ratio_at_most
from benchmarks.load import Answers, Load, drive
from benchmarks.machine import cpu_seconds
from benchmarks.ours import SeriesServer, Starter, daemon
from benchmarks.peers import NodeExporter
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.local_http import ask, get_json

PEER = "node_exporter"
OURS_REQUESTS, PEER_REQUESTS = 4_000, 100
BUSY_REQUESTS, BUSY_PAUSE_SECONDS = 1_500, 0.01

Scrape = tuple[Answers, float]
"""How the answers came, and the server's CPU time of each in milliseconds."""


def measure(runs: int) -> Iterator[Figure | Gap]:
    """First the same series from both, then the daemon as it is."""
    with closing(NodeExporter()) as peer, closing(SeriesServer(_text(peer.url))) as equal, daemon() as ours:
        count = sum(not line.startswith("#") for line in _text(peer.url).splitlines())
        for connections in (1, 16):
            yield from _figures(f"{count} equal series, {connections} conn.", equal, peer, connections, runs)
        yield from _while_jobs_run(ours, equal, peer, runs)


def _figures(what: str, ours: SeriesServer, peer: NodeExporter, connections: int, runs: int) -> Iterator[Figure]:
    times = in_turns(
        {"ours": _scrapes(ours, OURS_REQUESTS, connections), "peer": _scrapes(peer, PEER_REQUESTS, connections)}, runs
    )
    yield _figure(f"{what}, p50", times, lambda scrape: scrape[0].p50_ms)
    yield _figure(f"{what}, p99", times, lambda scrape: scrape[0].p99_ms)
    cpu = _figure(f"{what}, CPU", times, lambda scrape: scrape[1])
    yield Figure(cpu.what, cpu.unit, cpu.ours, cpu.peer, PEER, ratio_at_most(1 / 50))


def _while_jobs_run(ours: ExporterDaemon, idle: SeriesServer, peer: NodeExporter, runs: int) -> Iterator[Figure]:
    """One run after the other keeps every core busy. What a server that runs nothing feels of it is the floor."""
    with _all_jobs(ours) as started:
        busy = {
            "ours": _scrapes(ours, BUSY_REQUESTS, 1, BUSY_PAUSE_SECONDS),
            "peer": _scrapes(peer, BUSY_REQUESTS // 10, 1, BUSY_PAUSE_SECONDS),
            "floor": _scrapes(idle, BUSY_REQUESTS, 1, BUSY_PAUSE_SECONDS),
        }
        times = in_turns(busy, runs)
    what = f"the daemon while its jobs run ({len(started)} runs)"
    yield _figure(f"{what}, p50", times, lambda scrape: scrape[0].p50_ms)
    p99 = _figure(f"{what}, p99", times, lambda scrape: scrape[0].p99_ms)
    yield Figure(p99.what, p99.unit, p99.ours, p99.peer, PEER, at_most(5, "ms"))
    floor = [scrape[0].p99_ms for scrape in times["floor"]]
    yield Figure(p99.what, p99.unit, p99.ours, floor, "our server alone, beside it")


def _scrapes(
    server: SeriesServer | ExporterDaemon | NodeExporter, requests: int, connections: int, pause_seconds: float = 0.0
) -> Callable[[], Scrape]:
    load = Load("127.0.0.1", server.port, requests, connections=connections, pause_seconds=pause_seconds)

    def measured() -> Scrape:
        before = cpu_seconds(server.pid)
        answers = drive(load)
        return answers, (cpu_seconds(server.pid) - before) / requests * 1e3

    return measured


def _figure(what: str, times: dict[str, list[Scrape]], value: Callable[[Scrape], float]) -> Figure:
    return Figure(what, "ms", [value(s) for s in times["ours"]], [value(s) for s in times["peer"]], PEER)


@contextmanager
def _all_jobs(daemon: ExporterDaemon) -> Iterator[list[str]]:
    """Every task of the daemon one run after the other, all tasks side by side; the list grows by each run."""
    start = Starter(daemon)
    stop, started = threading.Event(), list[str]()

    def loop(task: str) -> None:
        while not stop.is_set():
            start(task)
            started.append(task)
            while not stop.wait(0.1) and f'sutazai_task_running{{task="{task}"}} 1\n' in _text(daemon.url):
                pass

    tasks = [entry["task"] for entry in get_json(f"{daemon.url}/api/v1/tasks")]
    threads = [threading.Thread(target=loop, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    try:
        yield started
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _text(url: str) -> str:
    return ask("GET", f"{url}/metrics").text


ROW = Row("scrape", "one scrape of /metrics over a kept connection, gzip", measure)
