"""The status page's file as people get it: made by a daemon and by commands, opened from the disk in Chromium."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.dashboard.file import PAGE, DashboardFile
from jobs.core.agents.state import State
from jobs.core.model import Severity
from tests.services.chromium import Chromium
from tests.services.exporter_daemon import ExporterDaemon, only
from tests.services.scenery import Scene, found
from tests.services.wait import wait_for


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    browser = Chromium()
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a host with some trouble, and names that want to be more than names."""
    scene = Scene(tmp_path_factory.mktemp("host"))
    scene.all_well()
    names = {f"agent-{number}": State.HEALTHY for number in range(30)}
    hostile = '<script>alert(1)</script><img src="x" onerror="alert(2)">\u202e'
    scene.agents(found("agent/agent-1", Severity.CRITICAL, "quarantined"), **names | {"agent-1": State.QUARANTINED})
    scene.ran("health-check", found(f"check/{hostile}", Severity.CRITICAL), found("check/" + "x" * 300),
              result={"report": {"a": 1}})  # fmt: skip
    scene.alert("DiskSlow", "warning", disk=hostile)
    assert DashboardFile().write(scene.sources(), serving=True)
    return scene.base_dir / PAGE


@pytest.mark.parametrize("look", [{"width": 1280}, {"width": 360}, {"width": 1280, "color_scheme": "dark"}], ids=str)
def test_it_is_shown_whole_and_does_nothing_else(chromium: Chromium, page: Path, look: dict[str, object]) -> None:
    with chromium.opened(page, **look) as opened:  # type: ignore[arg-type]
        assert opened.events == []
        assert opened.ask("window.violations") == []
        assert opened.grave_violations() == []
        assert opened.ask("document.documentElement.scrollWidth <= window.innerWidth"), "nothing sticks out sideways"
        assert "is quarantined" in opened.text("h1")
        assert "<script>alert(1)</script>" in opened.text("main")
        assert not opened.page.is_visible(".aged")


def test_its_style_is_applied_under_its_policy(chromium: Chromium, page: Path) -> None:
    with chromium.opened(page) as opened:
        assert opened.ask("getComputedStyle(document.querySelector('.aged')).visibility") == "hidden"
        # Ten minutes of the page's life, passed at once.
        opened.ask("document.getAnimations().forEach(one => one.finish())")
        assert opened.page.is_visible(".aged")
        opened.page.click("text=Load this page anew")
        opened.page.wait_for_function("document.getAnimations().length > 0")
        assert not opened.page.is_visible(".aged")
        assert opened.events == []


def test_a_link_opens_the_report(chromium: Chromium, page: Path) -> None:
    with chromium.opened(page) as opened:
        opened.page.click("text=daily_health_report_")
        assert "daily_health_report_" in opened.page.url


def test_the_daemon_writes_it_after_each_run_and_when_it_stops(
    exporter_daemon: Callable[..., ExporterDaemon],
) -> None:
    daemon = exporter_daemon({"agents": {"listed": [], "discover": False}, "jobs": only(health_check={})})
    file = daemon.base_dir / PAGE
    ran = '</time><span class="note">'
    wait_for(lambda: file.exists() and ran in file.read_text(), 60, "the page tells of a run")
    assert daemon.wait_metric("sutazai_status_page_written") == 1
    assert "see whether the daemon runs" in " ".join(file.read_text().split())
    daemon.stop()
    assert "no daemon served when it was made" in file.read_text()


def test_a_daemon_that_cannot_write_it_goes_on_and_says_so_once(
    exporter_daemon: Callable[..., ExporterDaemon], tmp_path: Path
) -> None:
    base_dir = tmp_path / "base"
    base_dir.mkdir()
    (base_dir / PAGE.parent).write_text("in the way")
    daemon = exporter_daemon(
        {"agents": {"listed": [], "discover": False}, "jobs": only(health_check={})}, base_dir=base_dir
    )
    daemon.wait_metric("sutazai_task_last_success_timestamp_seconds", {"task": "health-check"})
    daemon.wait_metric("sutazai_status_page_written", predicate=lambda value: value == 0)
    assert daemon.log().count("the status page is not written") == 1


def test_a_command_writes_it_where_no_daemon_does_and_a_dry_run_does_not(
    run_cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    file = tmp_path / "base" / PAGE
    run_cli("run", "log-rotation", "--dry-run")
    assert not file.exists()
    run_cli("run", "log-rotation")
    assert "no daemon served when it was made" in file.read_text()
    assert oct(file.stat().st_mode)[-3:] == "640"
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("in the way")
    done = run_cli("run", "log-rotation")
    assert done.returncode == 0
    assert "the status page is not written" in done.stderr
