"""Alerts taken in over one kept connection: checked, counted and on the disk before each body is answered."""

from __future__ import annotations

import http.client
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing

from benchmarks.harness import Figure, Gap, Goal, Row, at_most, in_turns
from benchmarks.machine import cpu_seconds
from benchmarks.ours import ModuleServer, daemon
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.sent_alerts import PATH, kept, sent, webhook
from tests.services.trial_jobs import operator

PEER = "http.server + a commit for each body"
GOAL = at_most(1.0, "ms")
"""1,000 alerts a second."""
BATCH, BATCHES, SINGLES = 64, 50, 500
"""Alerts of one body as Alertmanager groups them, bodies of one run, and bodies of one run of one alert each."""

Times = tuple[float, float]
"""Wall time and the server's CPU time of each alert, in milliseconds."""


def measure(runs: int) -> Iterator[Figure | Gap]:
    """First many alerts in a body, then one."""
    with daemon() as ours, closing(Peer()) as peer:
        headers, numbers = operator(ours, "alert"), itertools.count(1)
        for size, bodies in ((BATCH, BATCHES), (1, SINGLES)):
            sides = {
                "ours": _taken(ours, headers, numbers, size, bodies),
                "peer": _taken(peer, {}, numbers, size, bodies),
            }
            times = in_turns(sides, runs)
            what = f"one alert of {size} in a body" if size > 1 else "one alert, alone in its body"
            yield _figure(what, times, 0, GOAL if size > 1 else None)
            yield _figure(f"{what}: CPU", times, 1)
        _check(ours, runs * (BATCH * BATCHES + SINGLES))


class Peer(ModuleServer):
    """`benchmarks.alert_peer` on a port and a file of its own."""

    def __init__(self) -> None:
        super().__init__("benchmarks.alert_peer", "/", lambda directory: [str(directory / "alerts.db")])


def _figure(what: str, times: dict[str, list[Times]], which: int, goal: Goal | None = None) -> Figure:
    return Figure(what, "ms", [t[which] for t in times["ours"]], [t[which] for t in times["peer"]], PEER, goal)


def _taken(
    server: ExporterDaemon | Peer, headers: dict[str, str], numbers: Iterator[int], size: int, bodies: int
) -> Callable[[], Times]:
    """Send so many bodies of so many new alerts."""
    headers = {**headers, "Content-Type": "application/json"}

    def measured() -> Times:
        ready = [json.dumps(webhook([sent(next(numbers)) for _ in range(size)])).encode() for _ in range(bodies)]
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
            connection.connect()
            began, cpu = time.perf_counter(), cpu_seconds(server.pid)
            for body in ready:
                connection.request("POST", PATH, body, headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"an alert was refused: {text[:200]!r}")
            took, cpu = time.perf_counter() - began, cpu_seconds(server.pid) - cpu
        return took / (size * bodies) * 1e3, cpu / (size * bodies) * 1e3

    return measured


def _check(ours: ExporterDaemon, expected: int) -> None:
    """What was answered must be there: a figure of alerts that were lost would be worth nothing."""
    found = len(kept(ours))
    if found != expected:
        raise RuntimeError(f"{found} of {expected} alerts are in the inbox")


ROW = Row("alert_intake", "alerts of Alertmanager's webhook, each on the disk when it is answered", measure)
