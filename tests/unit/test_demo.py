"""What the demo takes for its own, and what it makes of the bundled rules."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from demo import processes
from demo.agents import ProcessAgents
from demo.breaks import ALERTS
from demo.configuration import shorten
from demo.ground import Ground
from demo.interrupts import interrupt_once
from demo.layout import DemoError, Layout
from demo.playing import Course, table
from tests.services.exporter_daemon import REPOSITORY
from tests.services.ports import free_row


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "demo", free_row(5))


@pytest.fixture
def taken(layout: Layout) -> Iterator[int]:
    """One of the ports, where somebody else listens."""
    with socket.create_server(("127.0.0.1", layout.ports[-1])) as somebody:
        yield somebody.getsockname()[1]


def alerts_in(directory: Path) -> dict[str, dict[str, Any]]:
    documents = (yaml.load(file.read_text(), yaml.CSafeLoader) for file in directory.glob("*.rules.yml"))
    groups = [group for document in documents for group in document["groups"]]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def test_alerts_of_the_breaks_alone_are_quicker_and_those_that_say_otherwise_say_so(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    for file in (REPOSITORY / "alert_rules").glob("*.rules.yml"):
        if any(f"alert: {name}\n" in file.read_text() for name in ALERTS):
            shutil.copy(file, tmp_path / "rules")
    bundled = alerts_in(tmp_path / "rules")
    shorten(tmp_path / "rules")
    shortened = alerts_in(tmp_path / "rules")
    changed = {name for name, rule in shortened.items() if rule != bundled[name]}
    assert "TaskStale" in changed and changed <= ALERTS <= set(bundled)
    assert all(shortened[name].get("for", "2s") == "2s" for name in ALERTS)
    assert bundled["TaskStale"]["expr"].count("2 * ") == 2 and "2 * " not in shortened["TaskStale"]["expr"]
    assert "an hour" in bundled["AgentPaused"]["annotations"]["summary"]
    assert "is paused" in shortened["AgentPaused"]["annotations"]["summary"]
    assert "more than one interval and its longest run" in " ".join(
        shortened["TaskStale"]["annotations"]["description"].split()
    )


def test_a_directory_is_one_demos_until_that_lets_it_go(layout: Layout) -> None:
    first = Ground(layout)
    with pytest.raises(DemoError, match="running here already"):
        Ground(layout)
    first.release()
    Ground(layout).release()


def test_what_the_last_demo_left_is_there_until_a_new_one_can_start(layout: Layout, taken: int) -> None:
    ground = Ground(layout)
    (layout.directory / "exporter.log").write_text("of the last one")
    with pytest.raises(DemoError, match=rf"port {taken} is taken; .*DEMO_PORT="):
        ground.clear()
    assert [path.name for path in sorted(layout.directory.iterdir())] == ["exporter.log", layout.mark.name]
    ground.release()


def test_a_new_demo_removes_what_the_last_one_left(layout: Layout, tmp_path: Path) -> None:
    ground, elsewhere = Ground(layout), tmp_path / "elsewhere"
    (layout.base / "logs").mkdir(parents=True)
    elsewhere.mkdir()
    (layout.directory / "link").symlink_to(elsewhere)
    ground.clear()
    assert list(layout.directory.iterdir()) == [layout.mark] and elsewhere.is_dir()
    ground.release()


def test_a_break_that_went_wrong_is_marked_in_the_table() -> None:
    courses = [Course("kill-agent", {"alert": 4.04}, failed=True), Course("stop-job", {"over": 1.0}, left_out=True)]
    head, *rows = table(courses)
    assert head.split() == ["broken", "alert", "repair", "verified", "over"]
    assert rows[0].split() == ["kill-agent", "-", "4.0", "s", "-", "-", "-", "NOT", "as", "expected"]
    assert rows[1].endswith("left out")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as the demo takes it."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    interrupt_once()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _run_command(layout: Layout) -> None:
    processes.command([sys.executable, "-c", "import time; time.sleep(1000)"], processes.environment(layout.base))


def _start_agents(layout: Layout) -> None:
    layout.directory.mkdir()
    agents = ProcessAgents(layout)
    try:
        agents.start()
    finally:
        agents.stop()


@pytest.mark.parametrize("start", [_run_command, _start_agents])
def test_what_is_just_being_started_when_ctrl_c_comes_is_ended_too(
    start: Callable[[Layout], None], layout: Layout, interruptible: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In the new process, before it becomes the program: the demo knows of it only when it has.
    monkeypatch.setattr(processes, "_end_with_parent", lambda number: os.kill(os.getppid(), signal.SIGINT))
    before = set(psutil.Process().children())
    with pytest.raises(KeyboardInterrupt):
        start(layout)
    assert set(psutil.Process().children()) <= before
