"""A scrape while many look on: twenty ask for the status again and again, all listeners listen, and much is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from benchmarks.harness import Figure, Gap, Row, at_most, in_turns
from benchmarks.load import Answers, Load, drive
from benchmarks.machine import cpu_seconds
from benchmarks.onlookers import Onlookers
from benchmarks.ours import Starter, daemon, with_job
from tests.services.exporter_daemon import ExporterDaemon

FINDINGS, ASKERS, LISTENERS = 2_000, 20, 32
REQUESTS, PAUSE_SECONDS = 1_000, 0.01
TASK = "troubled"
_JOB = f'''"""A job that finds much wrong: what a scrape feels of those who look on."""

from jobs.core.job import Job
from jobs.core.model import Finding, Result, Severity
from jobs.core.settings import JobSettings


def run(settings, clients, request):
    at = clients.clock.now()
    said = f"is not as it should be, as was seen at {{at}}, and somebody should look at it before it gets worse"
    found = [
        Finding(kind="wrong", subject=f"thing/{{i}}", severity=Severity.HIGH, message=f"{{i}} {{said}}", remedy=said)
        for i in range({FINDINGS})
    ]
    return Result(status="WRONG", verdict=2, findings=tuple(found))


JOB = Job("{TASK}", "Find much wrong.", cadences=(), settings=JobSettings, run=run)
'''

Crowded = tuple[Answers, float, float]
"""How a scrape was answered; answers of the status and events that the onlookers got, each second."""


def measure(runs: int) -> Iterator[Figure | Gap]:
    """The same daemon in turns: with its onlookers, and when nobody looks."""
    with with_job(TASK, _JOB) as packages, daemon(packages=packages) as ours:
        start = Starter(ours)
        start(TASK)
        ours.wait_metric("sutazai_task_last_success_timestamp_seconds", {"task": TASK})
        ours.wait_metric("sutazai_task_last_success_timestamp_seconds", {"task": "health-check"})
        load = Load("127.0.0.1", ours.port, REQUESTS, pause_seconds=PAUSE_SECONDS)
        times = in_turns({"crowd": _crowded(ours, start, load), "rest": lambda: (drive(load), 0.0, 0.0)}, runs)
    crowd, rest = times["crowd"], times["rest"]
    beside = "the same at rest"
    yield Figure("p50", "ms", [one[0].p50_ms for one in crowd], [one[0].p50_ms for one in rest], beside)
    p99 = [one[0].p99_ms for one in crowd], [one[0].p99_ms for one in rest]
    yield Figure("p99", "ms", *p99, beside, at_most(5, "ms"))
    yield Figure("answers of the status each second", "1/s", [one[1] for one in crowd])
    yield Figure("CPU of the daemon meanwhile, of one core", "", [one[2] for one in crowd])


def _crowded(ours: ExporterDaemon, start: Starter, load: Load) -> Callable[[], Crowded]:
    def measured() -> Crowded:
        with Onlookers(ours.port, ASKERS, LISTENERS) as onlookers:
            start(TASK)
            before, began = cpu_seconds(ours.pid), time.monotonic()
            answers = drive(load)
            seconds = time.monotonic() - began
            used = cpu_seconds(ours.pid) - before
        return answers, onlookers.answered / seconds, used / seconds

    return measured


ROW = Row("crowd", "a scrape while 20 ask for the status and 32 listen to 2,000 findings", measure)
