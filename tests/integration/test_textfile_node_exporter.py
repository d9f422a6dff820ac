"""A real node_exporter reads our textfile, whoever wrote it."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.services.exporter_daemon import ExporterDaemon
from tests.services.node_exporter import NodeExporter
from tests.services.trial_jobs import TASK, TrialPackage, start, wait_runs, work
from tests.services.wait import wait_for

CODE = """
bad = b"not utf-8 \\xff".decode(errors="surrogateescape")
names = ["plain", 'with "quotes" and \\\\ and \\n', "ünïcødé \\U0001f600", bad]
result = Result(status="X", samples=(
    *(Sample(family="sutazai_trial_value", value=n + 0.5, labels={"thing": name}) for n, name in enumerate(names)),
    Sample(family="sutazai_trial_things_total", value=2, labels={"thing": "a"}),
    Sample(family="sutazai_trial_score", value=88)))
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "textfiles"
    made.mkdir()
    return made


def check(directory: Path, exporter: NodeExporter) -> None:
    file = directory / "sutazai.prom"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert [found.name for found in directory.iterdir() if not found.name.startswith(".")] == ["sutazai.prom"]
    for line in file.read_text().splitlines():
        assert line.startswith("# ") or len(line.rpartition("}")[2].split()) <= 2, line  # a timestamp would be one more
    metrics = exporter.metrics()
    assert metrics.value("node_textfile_scrape_error") == 0
    assert metrics.value("sutazai_trial_score") == 88
    assert metrics.value("sutazai_trial_things_total", thing="a") == 2
    assert metrics.value("sutazai_task_runs_total", task=TASK, outcome="ok") == 1
    assert metrics.value("sutazai_task_duration_seconds_count", task=TASK) == 1
    assert {sample.labels["thing"] for sample in metrics.samples("sutazai_trial_value")} == {
        "plain",
        'with "quotes" and \\ and \n',
        "ünïcødé \U0001f600",
        "not utf-8 \ufffd",
    }
    assert metrics.families["sutazai_task_duration_seconds"].type == "histogram"
    assert "A value." in metrics.families["sutazai_trial_value"].documentation


def test_a_command_without_a_daemon(
    package: TrialPackage, directory: Path, node_exporter: Callable[..., NodeExporter], run_cli: Callable[..., Any]
) -> None:
    config = work(CODE, textfile={"directory": str(directory)})
    done = run_cli("run", TASK, config=config, env=package.environment)
    assert done.returncode == 0, done
    check(directory, node_exporter(directory))


def test_the_daemon_after_each_run(
    package: TrialPackage,
    directory: Path,
    node_exporter: Callable[..., NodeExporter],
    exporter_daemon: Callable[..., ExporterDaemon],
) -> None:
    daemon = exporter_daemon(work(CODE, textfile={"directory": str(directory)}), environment=package.environment)
    start(daemon)
    wait_runs(daemon, "ok")
    wait_for((directory / "sutazai.prom").exists, 60, "the textfile is written")
    check(directory, node_exporter(directory))


def test_the_file_of_a_daemon_that_cannot_write_it_is_an_error_in_the_log_alone(
    package: TrialPackage, directory: Path, exporter_daemon: Callable[..., ExporterDaemon]
) -> None:
    (directory / "file").write_text("")
    config = work(CODE, textfile={"directory": str(directory / "file")})
    daemon = exporter_daemon(config, environment=package.environment)
    start(daemon)
    wait_runs(daemon, "ok")
    daemon.wait_log("textfile not written")
    assert "Traceback" not in daemon.log()
    assert daemon.metrics().value("sutazai_trial_score") == 88


def test_a_run_of_another_command_keeps_what_the_first_has_shown(
    package: TrialPackage, directory: Path, node_exporter: Callable[..., NodeExporter], run_cli: Callable[..., Any]
) -> None:
    config = work(CODE, textfile={"directory": str(directory)})
    run_cli("run", TASK, config=config, env=package.environment)
    narrowed = work("result = Result(status='X', scope={'thing': 'plain'})", textfile={"directory": str(directory)})
    run_cli("run", TASK, "--target", "plain", config=narrowed, env=package.environment)
    metrics = node_exporter(directory).metrics()
    assert metrics.value("sutazai_trial_score") == 88
    assert not metrics.samples("sutazai_trial_value", thing="plain")
    assert len(metrics.samples("sutazai_trial_value")) == 3
