"""The daemon as a whole: a ninth job is one new file, and /metrics is what scrapers take it for."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from tests.services.binaries import need
from tests.services.command_here import run_here
from tests.services.exporter_daemon import REPOSITORY, ExporterDaemon
from tests.services.trial_jobs import KEY, TASK, TrialPackage, operator, start, wait_runs, work
from tests.services.wait import wait_for

Run = Callable[..., subprocess.CompletedProcess[str]]

SAMPLES = """
result = Result(status="FAIR", verdict=1, score=75, report={"kind": "trial"}, samples=(
    Sample(family="sutazai_trial_value", value=0.5, labels={"thing": "a"}),
    Sample(family="sutazai_trial_things_total", value=2, labels={"thing": "a"}),
    Sample(family="sutazai_trial_score", value=75)))
"""


@pytest.fixture
def package(tmp_path: Path) -> TrialPackage:
    return TrialPackage(tmp_path / "package")


# A ninth job is one new file


def test_a_ninth_job_is_one_new_file(
    tmp_path: Path, exporter_daemon: Callable[..., ExporterDaemon], run_cli: Run
) -> None:
    package = TrialPackage(tmp_path / "package", real_jobs=True, cadences='(Cadence.parse("every 5 minutes: light"),)')
    assert len(list((package.directory / "jobs").glob("*.py"))) >= 3
    config = {"agents": {"listed": []}, "docker": {"url": f"unix://{tmp_path}/no-docker.sock"}, "jobs": {}}
    daemon = exporter_daemon(
        {
            **config,
            "jobs": {KEY: {"code": SAMPLES}, "agent_monitor": {"enabled": False}, "health_check": {"enabled": False}},
        },
        environment=package.environment,
    )

    def wait_ran(trigger: str) -> None:
        """Not by how many runs there were: the schedule may come round in between."""
        what = f"a run by {trigger} has worked"
        wait_for(lambda: trigger in [run["trigger"] for run in worked()], 60, what, detail=daemon.log)

    def worked() -> list[dict[str, str]]:
        return [run for run in daemon.get(f"/api/v1/runs?task={TASK}").json()["runs"] if run["outcome"] == "ok"]

    # It has a schedule,
    daemon.wait_metric("sutazai_task_runs_total", {"task": TASK, "outcome": "ok"}, lambda count: count >= 1)
    metrics = daemon.metrics()
    assert metrics.value("sutazai_task_next_run_timestamp_seconds", task=TASK) > 0
    assert metrics.value("sutazai_task_interval_seconds", task=TASK) == 300
    # its metrics are exposed and in the catalogue,
    assert metrics.value("sutazai_trial_score") == 75

    def told(*arguments: str) -> str:
        with package.in_process():
            done = run_here(*arguments, base_dir=daemon.base_dir, config=work(SAMPLES))
        assert done.returncode == 0, done
        return done.stdout

    assert "sutazai_trial_value" in told("metrics", "--format", "markdown")
    # a report with its link,
    link = daemon.base_dir / "reports" / "latest_trial_report.json"
    assert json.loads(link.read_text()) == {"kind": "trial"}
    assert link.is_symlink()
    # a command, whose run the daemon takes up,
    done = run_cli("run", TASK, base_dir=daemon.base_dir, config=work(SAMPLES), env=package.environment)
    assert done.stdout.startswith("trial-work: FAIR"), done
    wait_ran("command")
    # an API route,
    start(daemon)
    wait_ran("api")
    (row,) = [row for row in daemon.get("/api/v1/tasks").json() if row["task"] == TASK]
    assert row["cadences"] == ["every 5 minutes: light"]
    # a line in `tasks`, in the history and in the reference of settings,
    (line,) = [line for line in told("tasks").splitlines() if line.startswith(TASK)]
    assert "every 5 minutes: light" in line
    assert "Does what a test wants." in line
    assert told("history", "--task", TASK).count(TASK) >= 3
    assert "jobs.trial_work.max_run_seconds" in told("config", "reference")
    # and variables.
    done = run_cli("check-config", env={**package.environment, "SUTAZAI_JOBS__TRIAL_WORK__MAX_RUN_SECONDS": "5"})
    assert done.returncode == 0


def test_a_file_whose_job_has_another_name_is_refused(package: TrialPackage, run_cli: Run) -> None:
    file = package.add("misnamed")
    file.write_text(file.read_text().replace('name="misnamed"', 'name="other"'))
    done = run_cli("tasks", env=package.environment)
    assert done.returncode != 0
    assert "jobs/misnamed.py calls its job 'other'; a job is named as its file" in done.stderr


# /metrics


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> object:
    """One daemon with a run behind it, for all who only look."""
    package = TrialPackage(tmp_path_factory.mktemp("package") / "package")
    daemon = ExporterDaemon(work(SAMPLES), environment=package.environment)
    start(daemon)
    wait_runs(daemon, "ok")
    yield daemon
    daemon.close()


OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0"}


def test_the_text_format_by_default(served: ExporterDaemon) -> None:
    answer = served.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "content-encoding" not in answer.headers
    metrics = served.metrics()
    assert metrics.value("sutazai_trial_value", thing="a") == 0.5
    assert metrics.value("sutazai_trial_things_total", thing="a") == 2
    assert metrics.value("sutazai_build_info") == 1
    for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"):
        assert metrics.value(f"process_{name}") > 0


def test_openmetrics_by_negotiation(served: ExporterDaemon) -> None:
    answer = served.get("/metrics", headers=OPENMETRICS)
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("# EOF\n")
    families = {family.name: family for family in parse_openmetrics(answer.text)}
    assert families["sutazai_trial_things"].type == "counter"
    assert families["sutazai_task_duration_seconds"].type == "histogram"


@pytest.mark.parametrize("accept", [{}, OPENMETRICS])
def test_gzip_for_those_who_accept_it(served: ExporterDaemon, accept: dict[str, str]) -> None:
    answer = served.get("/metrics", headers={"Accept-Encoding": "gzip", **accept}, stream=True)
    assert answer.headers["content-encoding"] == "gzip"
    raw = answer.raw.read(decode_content=False)
    assert len(raw) == int(answer.headers["content-length"])
    assert b"sutazai_trial_value" in gzip.decompress(raw)
    assert len(raw) < len(gzip.decompress(raw))


@pytest.mark.parametrize("accept", [[], ["-H", "Accept: application/openmetrics-text; version=1.0.0"]])
def test_curl_reads_the_whole_compressed_body(served: ExporterDaemon, accept: list[str]) -> None:
    curl = need("curl", package="curl")
    url = f"{served.url}/metrics"
    done = subprocess.run(
        [curl, "--silent", "--show-error", "--fail", "--compressed", *accept, url], capture_output=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    last = b"# EOF\n" if accept else b"process_max_fds "
    assert last in done.stdout[-60:]
    assert b"sutazai_trial_value" in done.stdout


def test_promtool_finds_nothing_to_say_about_a_scrape(served: ExporterDaemon) -> None:
    promtool = need("promtool", package="prometheus")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=served.get("/metrics").text, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout + done.stderr == ""


def test_head_and_other_methods(served: ExporterDaemon) -> None:
    head = served.get("/metrics", headers={"Accept-Encoding": "identity"})
    import requests

    answer = requests.head(f"{served.url}/metrics", timeout=10)
    assert answer.status_code == 200
    assert answer.content == b""
    assert int(answer.headers["content-length"]) > 1000
    assert head.status_code == 200
    refused = served.post("/metrics")
    assert refused.status_code == 405
    assert refused.headers["allow"] == "GET, HEAD"


def test_the_path_can_be_another(package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon]) -> None:
    daemon = exporter_daemon(
        work(), environment=package.environment, arguments=["--web.telemetry-path", "/probe/metrics"]
    )
    assert "sutazai_build_info" in daemon.get("/probe/metrics").text
    assert daemon.get("/metrics").status_code == 404
    # Linked on the page, for those who have no script: below wherever a proxy puts the page.
    assert '<a href="probe/metrics">' in daemon.get("/").text


def test_ten_thousand_names_are_capped_counted_and_parsed(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon]
) -> None:
    code = """
import random
rng = random.Random(7)
letters = [*range(1, 0x250), 0xdc80, 0xd83d, 0x1f600]
names = ["".join(chr(rng.choice(letters)) for _ in range(12)) for _ in range(10_000)]
result = Result(status="X", samples=tuple(
    Sample(family="sutazai_trial_value", value=n, labels={"thing": name}) for n, name in enumerate(names)))
"""
    daemon = exporter_daemon(work(code, web={"max_series_per_family": 500}), environment=package.environment)
    start(daemon)
    wait_runs(daemon, "ok")
    for headers, parse in (({}, None), (OPENMETRICS, parse_openmetrics)):
        answer = daemon.get("/metrics", headers=headers)
        if parse:
            families = {family.name: family for family in parse(answer.content.decode())}
            assert len(families["sutazai_trial_value"].samples) == 500
        else:
            metrics = daemon.metrics()
            assert len(metrics.samples("sutazai_trial_value")) == 500
            assert metrics.value("sutazai_dropped_series", family="sutazai_trial_value") == 9_500
    daemon.configure(work("", web={"max_series_per_family": 500}))
    daemon.hangup()
    daemon.wait_log("configuration reloaded")
    start(daemon)
    daemon.wait_no_metric("sutazai_trial_value")
    assert daemon.metrics().value("sutazai_dropped_series", family="sutazai_trial_value") == 0


# Life


def test_the_first_scrape_is_complete(package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon]) -> None:
    config = work(SAMPLES, task={"schedule": ["every 5 minutes"]})
    daemon = exporter_daemon(config, environment=package.environment)
    metrics = daemon.metrics()
    for outcome in ("ok", "error", "timeout", "stopped", "skipped"):
        assert metrics.value("sutazai_task_runs_total", task=TASK, outcome=outcome) >= 0
    assert metrics.value("sutazai_store_up") == 1
    assert metrics.value("sutazai_config_last_reload_successful") == 1
    # What goes by intervals runs at once.
    daemon.wait_metric("sutazai_task_runs_total", {"task": TASK, "outcome": "ok"}, lambda count: count >= 1)


def test_the_log_is_logfmt_or_json_and_of_the_level_that_was_asked_for(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon]
) -> None:
    daemon = exporter_daemon(work(), environment=package.environment, arguments=["--log.format", "json"])
    start(daemon)
    wait_runs(daemon, "ok")
    daemon.wait_log("run ended")
    lines = [json.loads(line) for line in daemon.log().splitlines()]
    assert [line["msg"] for line in lines] == ["serving", "run started", "run ended"]
    assert {"ts", "level", "logger", "task", "outcome"} <= set(lines[-1])
    quiet = exporter_daemon(work(), environment=package.environment, arguments=["--log.level", "error"])
    start(quiet)
    wait_runs(quiet, "ok")
    assert quiet.log() == ""


def test_a_run_may_ask_for_another(package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon]) -> None:
    code = """
result = Result(status="X", run_again_seconds=0.1 if request.trigger != "follow-up" else None)
"""
    daemon = exporter_daemon(work(code), environment=package.environment)
    start(daemon, target="one")
    wait_runs(daemon, "ok", 2)
    runs = daemon.get("/api/v1/runs").json()["runs"]
    assert [(run["trigger"], run["target"]) for run in runs] == [
        ("follow-up", "one"),
        ("api", "one"),
    ]


def test_a_burst_of_the_same_request_is_one_run_and_one_waiting(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    code = f"while not Path({str(gate)!r}).exists(): time.sleep(0.02)"
    daemon = exporter_daemon(work(code), environment=package.environment)
    headers = operator(daemon)
    start(daemon, headers)
    daemon.wait_metric("sutazai_task_running", {"task": TASK}, lambda value: value == 1)
    (row,) = [row for row in daemon.get("/api/v1/tasks").json() if row["task"] == TASK]
    nothing_said = {"done": 0, "total": 0, "ratio": None, "message": "", "ours": True}
    assert row["running"] | {"since": ""} == {"since": "", **nothing_said}
    for _ in range(5):
        start(daemon, headers)
    wait_runs(daemon, "skipped", 4)
    gate.touch()
    wait_runs(daemon, "ok", 2)
    daemon.wait_metric("sutazai_task_running", {"task": TASK}, lambda value: value == 0)


def test_old_reports_go_as_new_ones_come(package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon]) -> None:
    daemon = exporter_daemon(work("", reports={"keep_per_task": 2}), environment=package.environment)
    headers = operator(daemon)
    for count in range(1, 5):
        start(daemon, headers)
        wait_runs(daemon, "ok", count)
    reports = daemon.base_dir / "reports" / "trial"
    wait_for(lambda: len(list(reports.iterdir())) == 2, 60, "two reports are left")
    assert (daemon.base_dir / "reports" / "latest_trial_report.json").resolve().exists()


def test_the_configuration_files_of_tests_are_what_users_write(served: ExporterDaemon) -> None:
    assert yaml.safe_load(served.config_file.read_text())["jobs"][KEY]["code"] == SAMPLES


def test_the_job_of_the_documentation_works_as_it_stands(tmp_path: Path, package: TrialPackage, run_cli: Run) -> None:
    page = (REPOSITORY / "docs" / "adding-a-job.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (package.directory / "jobs" / "scratch_cleanup.py").write_text(example)
    scratch = tmp_path / "base" / "scratch"
    scratch.mkdir(parents=True)
    old, fresh = scratch / "old", scratch / "fresh"
    old.touch()
    fresh.touch()
    os.utime(old, (0, 0))
    planned = run_cli("run", "scratch-cleanup", "--dry-run", env=package.environment)
    assert f"would: remove {old}" in planned.stdout, planned.stderr
    assert old.exists()
    done = run_cli("run", "scratch-cleanup", env=package.environment)
    assert done.returncode == 0
    assert "1 of 2 files" in done.stdout
    assert [file.name for file in scratch.iterdir()] == ["fresh"]
    report = json.loads((tmp_path / "base/reports/latest_scratch_cleanup_report.json").read_text())
    assert report == {"removed": ["old"], "left": 1}
