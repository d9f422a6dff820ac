"""A real daemon and real runs: what a job finds, and no longer finds, is in the outbox and on /metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.bridge.model import Message, News
from exporter.bridge.outgoing.outbox import Entry, Outbox
from exporter.store import Store
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.metrics import Metrics
from tests.services.ports import free_port
from tests.services.trial_jobs import TASK, TrialPackage, start, wait_runs, work

SECRET = "canary-77-secret"
CODE = """
if Path({fault!r}).exists():
    message = "m " + settings.password.get_secret_value()
    result = Result(status="BAD", findings=(Finding(kind="bad", subject="thing/a", severity="high", message=message),))
"""


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    return tmp_path / "fault"


def told(code: str, **sections: Any) -> dict[str, Any]:
    """A configuration with this job, and a webhook that nobody serves."""
    webhook = {"url": f"http://127.0.0.1:{free_port()}/", "completed": "none"}
    return work(code, task={"password": SECRET}, notifications={"webhook": webhook}, **sections)


def entries(base_dir: Path) -> list[Entry]:
    """Everything in the outbox, oldest first, in whatever state."""
    outbox = Outbox(Store(base_dir / "data" / "sutazai.db", read_only=True))
    states = ("pending", "sent", "dead", "withdrawn")
    return sorted((entry for state in states for entry in outbox.entries(state, 99)), key=lambda entry: entry.id)


def messages(base_dir: Path) -> list[Message]:
    return [entry.message for entry in entries(base_dir)]


def test_what_a_job_finds_and_finds_no_more_is_told_and_shown(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon], fault: Path
) -> None:
    daemon = exporter_daemon(told(CODE.format(fault=str(fault))), environment=package.environment)
    assert daemon.metrics().value("sutazai_notifications_pending", channel="webhook") == 0
    fault.touch()
    for count in (1, 2):
        start(daemon)
        wait_runs(daemon, "ok", count)
    daemon.wait_metric("sutazai_problems", {"task": TASK, "severity": "high"}, lambda value: value == 1)
    daemon.wait_metric("sutazai_notifications_pending", {"channel": "webhook"}, lambda value: value == 1)
    fault.unlink()
    start(daemon)
    wait_runs(daemon, "ok", 3)
    daemon.wait_no_metric("sutazai_problems")
    opened, cleared = messages(daemon.base_dir)
    assert (opened.news, opened.summary, opened.status) == (News.OPENED, "thing/a: m ***", "BAD")
    assert opened.report == ""
    assert (cleared.news, cleared.thread) == (News.CLEARED, opened.id)


def test_why_a_run_did_not_work_is_told_without_secrets(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon]
) -> None:
    code = 'raise JobError("no answer with " + settings.password.get_secret_value() + " from http://u:pw77@h/")'
    daemon = exporter_daemon(told(code), environment=package.environment)
    start(daemon)
    wait_runs(daemon, "error")
    (message,) = messages(daemon.base_dir)
    assert message.summary == f"{TASK} (full) did not work: no answer with *** from http://u:***@h/"
    assert SECRET not in message.model_dump_json()


def test_a_run_that_a_killed_daemon_left_is_told_by_the_next(
    package: TrialPackage, exporter_daemon: Callable[..., ExporterDaemon]
) -> None:
    daemon = exporter_daemon(told("time.sleep(600)"), environment=package.environment)
    start(daemon)
    daemon.wait_metric("sutazai_task_running", {"task": TASK}, lambda value: value == 1)
    daemon.kill()
    daemon.start()
    wait_runs(daemon, "error")
    (message,) = messages(daemon.base_dir)
    assert message.summary.startswith(f"{TASK} (full) did not work: cut off: ")


def test_a_run_from_the_command_line_tells_and_shows_the_same_in_the_textfile(
    package: TrialPackage, run_cli: Callable[..., Any], fault: Path, tmp_path: Path
) -> None:
    fault.touch()
    textfiles = tmp_path / "textfiles"
    textfiles.mkdir()
    config = told(CODE.format(fault=str(fault)), textfile={"directory": str(textfiles)})
    base_dir = tmp_path / "base"
    done = run_cli("run", TASK, base_dir=base_dir, config=config, env=package.environment)
    assert done.returncode == 0, done.stderr
    assert [message.news for message in messages(base_dir)] == [News.OPENED]
    (file,) = textfiles.iterdir()
    metrics = Metrics(file.read_text())
    assert metrics.value("sutazai_problems", task=TASK, severity="high") == 1
    assert metrics.value("sutazai_notifications_pending", channel="webhook") == 1


def test_a_planned_run_tells_nobody(
    package: TrialPackage, run_cli: Callable[..., Any], fault: Path, tmp_path: Path
) -> None:
    fault.touch()
    base_dir, config = tmp_path / "base", told(CODE.format(fault=str(fault)))
    run_cli("run", TASK, base_dir=base_dir, config=config, env=package.environment)
    before = entries(base_dir)
    fault.unlink()
    run_cli("run", TASK, "--dry-run", base_dir=base_dir, config=config, env=package.environment)
    assert entries(base_dir) == before
