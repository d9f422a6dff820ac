"""The command line at a terminal: progress while a run goes, the screen that renews itself, Ctrl-C, colours."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.services.exporter_daemon import command_line, environment_of, write_config
from tests.services.terminal import CTRL_C, Terminal
from tests.services.trial_jobs import TASK, TrialPackage, work
from tests.services.wait import wait_for

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
STEPS = """
for step in range(1, 4):
    clients.report.progress(step, 4, f"step number {step}")
    while not Path(GATE.format(step)).exists():
        time.sleep(0.02)
result = Result(status="GOOD", summary="all steps done", findings=(
    Finding(kind="k", subject="s/t", severity="high", message="look"),))
"""

Open = Callable[..., Terminal]


@pytest.fixture
def terminal(package: TrialPackage, tmp_path: Path) -> Iterator[Open]:
    opened: list[Terminal] = []

    def open_terminal(
        *arguments: str,
        config: dict[str, Any] | None = None,
        columns: int = 100,
        before: tuple[str, ...] = (),
        **environment: str,
    ) -> Terminal:
        env = environment_of(tmp_path / "base", {**package.environment, **environment})
        env["SUTAZAI_CONFIG_FILE"] = str(write_config(tmp_path / "exporter.yml", config or {}))
        opened.append(Terminal([*before, *command_line(*arguments)], env, tmp_path, columns=columns))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


def in_steps(tmp_path: Path) -> dict[str, Any]:
    return work(f"GATE = {str(tmp_path / 'gate-{}')!r}\n{STEPS}")


def test_a_bar_shows_how_far_a_run_is_while_it_goes(terminal: Open, tmp_path: Path) -> None:
    run = terminal("run", TASK, config=in_steps(tmp_path))
    for step in (1, 2, 3):
        shown = COLOUR.sub("", run.wait_shown(f"step number {step}"))
        assert f"{step}/4" in shown
        assert "━" in shown
        assert "all steps done" not in shown
        (tmp_path / f"gate-{step}").touch()
    assert run.wait() == 0
    shown = run.shown()
    assert "\x1b[1mtrial-work: GOOD" in shown
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")  # the cursor is there again
    assert "all steps done" in shown


def test_without_a_terminal_a_short_run_says_nothing_on_the_way(
    run_cli: Callable[..., Any], package: TrialPackage
) -> None:
    config = work("clients.report.progress(1, 2, 'half')")
    done = run_cli("run", TASK, config=config, env=package.environment)
    assert done.stderr == ""


def test_a_terminal_that_knows_no_commands_gets_none(terminal: Open, tmp_path: Path) -> None:
    for step in (1, 2, 3):
        (tmp_path / f"gate-{step}").touch()
    run = terminal("run", TASK, config=in_steps(tmp_path), TERM="dumb")
    assert run.wait() == 0
    assert "trial-work: GOOD" in run.shown() and "\x1b" not in run.shown()


def test_no_color_takes_the_colours_and_leaves_the_words(terminal: Open, tmp_path: Path) -> None:
    for step in (1, 2, 3):
        (tmp_path / f"gate-{step}").touch()
    run = terminal("run", TASK, config=in_steps(tmp_path), NO_COLOR="1")
    assert run.wait() == 0
    assert "trial-work: GOOD" in run.shown()
    coloured = re.findall(r"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7])[;m]", run.shown())
    assert coloured == []


def test_ctrl_c_ends_the_run_and_is_130(
    terminal: Open, tmp_path: Path, run_cli: Callable[..., Any], package: TrialPackage
) -> None:
    run = terminal("run", TASK, config=in_steps(tmp_path))
    run.wait_shown("step number 1")
    run.press(CTRL_C)
    assert run.wait() == 130
    assert "trial-work: stopped after" in COLOUR.sub("", run.shown())
    told = json.loads(run_cli("history", "--json", env=package.environment).stdout)
    assert [one["outcome"] for one in told["runs"]] == ["stopped"]


def test_a_run_whose_terminal_is_closed_is_entered_as_stopped(
    terminal: Open, tmp_path: Path, run_cli: Callable[..., Any], package: TrialPackage
) -> None:
    run = terminal("run", TASK, config=in_steps(tmp_path))
    run.wait_shown("step number 1")
    run.hang_up()
    assert run.wait() == 4
    told = json.loads(run_cli("history", "--json", env=package.environment).stdout)
    assert [(one["outcome"], one["error"]) for one in told["runs"]] == [("stopped", "stopped with the exporter")]
    assert (tmp_path / "base" / "dashboard" / "automation-status.html").exists()


def test_a_run_that_nohup_began_outlives_its_terminal(
    terminal: Open, tmp_path: Path, run_cli: Callable[..., Any], package: TrialPackage
) -> None:
    run = terminal("run", TASK, config=in_steps(tmp_path), before=("nohup",))
    wait_for(lambda: psutil.Process(run.pid).children(), 20, "its run has begun")
    run.hang_up()
    for step in (1, 2, 3):
        (tmp_path / f"gate-{step}").touch()
    assert run.wait() == 0
    told = json.loads(run_cli("history", "--json", env=package.environment).stdout)
    assert [one["outcome"] for one in told["runs"]] == ["ok"]


def test_a_status_that_renews_itself_gives_the_screen_back_when_it_is_ended(terminal: Open) -> None:
    watch = terminal("status", "--watch")
    watch.wait_shown("trial-work")
    os.kill(watch.pid, signal.SIGTERM)
    assert watch.wait() == 143
    assert "\x1b[?1049l" in watch.shown()


def test_the_status_renews_itself_until_ctrl_c(
    terminal: Open, run_cli: Callable[..., Any], package: TrialPackage
) -> None:
    watch = terminal("status", "--watch", "--interval", "0.5")
    watch.wait_shown("trial-work")
    assert "LATERWORD" not in watch.shown()
    run_cli("run", TASK, config=work("result = Result(status='LATERWORD')"), env=package.environment)
    watch.wait_shown("LATERWORD")
    watch.press(CTRL_C)
    assert watch.wait() == 130
    assert "Traceback" not in watch.shown()
    assert "\x1b[?1049l" in watch.shown()  # the screen from before is there again


@pytest.mark.parametrize("kind", ["xterm-256color", "dumb"])
def test_no_name_is_cut_on_a_narrow_terminal(
    terminal: Open, run_cli: Callable[..., Any], package: TrialPackage, tmp_path: Path, kind: str
) -> None:
    run_cli("run", TASK, env=package.environment)
    (file,) = (tmp_path / "base" / "reports" / "trial").glob("trial_report_*.json")
    for arguments, name in ((("reports", "list"), file.stem), (("config", "show"), "jobs.trial_work.max_memory_mb")):
        shown = terminal(*arguments, columns=40, TERM=kind)
        assert shown.wait() == 0
        assert name in COLOUR.sub("", shown.shown())
    shown = terminal("history", columns=40, TERM=kind)
    assert shown.wait() == 0
    assert "what came of it" in COLOUR.sub("", shown.shown())
