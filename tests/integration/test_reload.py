"""A new configuration is taken as a whole, or the old one stays and the reason is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.exporter_daemon import ExporterDaemon
from tests.services.trial_jobs import TASK, TrialPackage, operator, start, wait_runs, work
from tests.services.wait import wait_for

OK, TIME = "sutazai_config_last_reload_successful", "sutazai_config_last_reload_success_timestamp_seconds"


BEFORE = work("result = Result(status='OLD')")


@pytest.fixture(scope="module")
def served(package: TrialPackage) -> Iterator[ExporterDaemon]:
    """One daemon for all tests, which each begin with `daemon`."""
    running = ExporterDaemon(BEFORE, environment=package.environment)
    yield running
    running.close()


@pytest.fixture
def daemon(served: ExporterDaemon) -> ExporterDaemon:
    """It has the configuration `BEFORE` and nothing to do, whatever was tried before."""
    served.wait_metric("sutazai_task_running", {"task": TASK}, lambda value: value == 0)
    served.configure(BEFORE)
    assert by_post(served) == 200
    return served


@pytest.fixture
def own(package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon]) -> ExporterDaemon:
    """A daemon for those after whom something may still be under way: a reload, a run of a schedule."""
    return exporter_daemon(BEFORE, environment=package.environment)


def said_since(daemon: ExporterDaemon) -> Callable[[], str]:
    """What the log will say from now on."""
    before = len(daemon.log())
    return lambda: daemon.log()[before:]


def by_signal(daemon: ExporterDaemon) -> int:
    """Reload by SIGHUP; 200 or 422, as the log says."""
    said = said_since(daemon)
    daemon.hangup()
    wait_for(lambda: "configuration reloaded" in said() or "configuration not reloaded" in said(), 20, "it is told")
    return 422 if "configuration not reloaded" in said() else 200


def by_post(daemon: ExporterDaemon) -> int:
    return daemon.post("/-/reload", headers=operator(daemon)).status_code


def status_of_a_run(daemon: ExporterDaemon) -> str:
    count = daemon.metrics().value("sutazai_task_runs_total", task=TASK, outcome="ok")
    start(daemon)
    wait_runs(daemon, "ok", count + 1)
    return str(daemon.get("/api/v1/runs").json()["runs"][0]["status"])


@pytest.mark.parametrize(("reload", "seconds"), [(by_signal, 77), (by_post, 78)])
def test_a_good_configuration_counts_from_the_next_run_on(
    daemon: ExporterDaemon, reload: Callable[[ExporterDaemon], int], seconds: int
) -> None:
    before = daemon.metrics().value(TIME)
    daemon.configure(work("result = Result(status='NEW')", task={"max_run_seconds": seconds}))
    assert reload(daemon) == 200
    assert daemon.metrics().value(OK) == 1
    assert daemon.metrics().value(TIME) > before
    daemon.wait_metric("sutazai_task_max_run_seconds", {"task": TASK}, lambda value: value == seconds)
    assert status_of_a_run(daemon) == "NEW"


@pytest.mark.parametrize("reload", [by_signal, by_post])
@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("jobs: {trial_work: {max_run_seconds: 0}}", "jobs.trial_work.max_run_seconds: 0 is below 1"),
        ("jobs: [", "line 1"),
        ("web: {max_connections: 99}", "web: cannot change while running; restart the exporter"),
        ("base_dir: /elsewhere", ""),
        ("runs: {max_parallel: 3}", "runs.max_parallel: cannot change while running; restart the exporter"),
        ("docker: {url: 'tcp://127.0.0.1:1'}", "docker.url: cannot change while running; restart the exporter"),
    ],
)
def test_a_bad_one_is_refused_the_old_one_stays_and_the_reason_is_told(
    daemon: ExporterDaemon, reload: Callable[[ExporterDaemon], int], config: str, reason: str
) -> None:
    before, said = daemon.metrics().value(TIME), said_since(daemon)
    daemon.configure(config)
    if not reason:  # the variable of this test's environment wins over the file
        assert reload(daemon) == 200
        return
    assert reload(daemon) == 422
    assert daemon.metrics().value(OK) == 0
    assert daemon.metrics().value(TIME) == before
    assert reason in said()
    assert status_of_a_run(daemon) == "OLD"
    daemon.configure(work("result = Result(status='MENDED')"))
    assert reload(daemon) == 200
    assert daemon.metrics().value(OK) == 1
    assert status_of_a_run(daemon) == "MENDED"


def test_the_answer_to_a_bad_one_names_every_problem(daemon: ExporterDaemon) -> None:
    daemon.configure({"log": {"level": "loud"}, "redis": {"urll": "x"}})
    answer = daemon.post("/-/reload", headers=operator(daemon))
    assert answer.headers["content-type"] == "application/problem+json"
    detail = answer.json()["detail"]
    assert "log.level: 'loud' is not one of" in detail
    assert "redis.urll: unknown key; did you mean 'url'?" in detail


def test_a_refused_configuration_changes_nothing_not_even_the_log(daemon: ExporterDaemon) -> None:
    said = said_since(daemon)
    daemon.configure({**work(), "log": {"format": "json", "level": "error"}, "runs": {"max_parallel": 3}})
    assert by_post(daemon) == 422
    status_of_a_run(daemon)
    assert 'msg="run ended"' in said()


def test_the_log_follows_a_good_one(daemon: ExporterDaemon) -> None:
    daemon.configure({**work(), "log": {"format": "json"}})
    assert by_post(daemon) == 200
    assert daemon.log().splitlines()[-1].startswith('{"ts": ')


def test_a_new_schedule_takes_the_place_of_the_old(own: ExporterDaemon) -> None:
    next_run = "sutazai_task_next_run_timestamp_seconds"
    assert next_run not in own.metrics()
    own.configure(work(task={"schedule": ["every 5 minutes"]}))
    assert by_post(own) == 200
    own.wait_metric(next_run, {"task": TASK})
    own.configure(work(task={"schedule": ["every 5 minutes"], "enabled": False}))
    assert by_post(own) == 200
    own.wait_no_metric(next_run)


def test_a_run_under_way_keeps_the_configuration_it_began_with(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    code = f"while not Path({str(gate)!r}).exists(): time.sleep(0.02)\nresult = Result(status='OLD')"
    daemon = exporter_daemon(work(code), environment=package.environment)
    start(daemon)
    daemon.wait_metric("sutazai_task_running", {"task": TASK}, lambda value: value == 1)
    daemon.configure(work("result = Result(status='NEW')", task={"max_run_seconds": 1}))
    assert by_post(daemon) == 200
    gate.touch()
    wait_runs(daemon, "ok")
    assert daemon.get("/api/v1/runs").json()["runs"][0]["status"] == "OLD"


def test_many_reloads_at_once_end_in_the_newest(own: ExporterDaemon) -> None:
    headers = operator(own)
    own.configure(work("result = Result(status='NEWEST')"))
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(own.post("/-/reload", headers=headers).status_code))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
        own.hangup()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8
    assert status_of_a_run(own) == "NEWEST"
    assert "Traceback" not in own.log()


def test_a_missing_file_is_a_bad_one(daemon: ExporterDaemon) -> None:
    said = said_since(daemon)
    daemon.config_file.unlink()
    assert by_post(daemon) == 422
    assert "cannot be read for the configuration: No such file or directory" in said()
    assert status_of_a_run(daemon) == "OLD"
