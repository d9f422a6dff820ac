"""Another user at the command line, and the browser that a report is opened in."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.commandline.run_screen import LINE_SECONDS, CalmLines
from jobs.core.model import Request
from tests.services.exporter_daemon import command_line, environment_of
from tests.services.process import private_directory, remove_directory

Run = Callable[..., subprocess.CompletedProcess[str]]
NOBODY = 65534


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that everybody may look into."""
    directory = private_directory("shared")
    directory.chmod(0o755)
    yield directory
    remove_directory(directory)


def as_nobody(*arguments: str, base: Path) -> subprocess.CompletedProcess[str]:
    """The command as a user of its own, who can read this project."""
    lower = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return subprocess.run(
        [*lower, *command_line(*arguments)],
        env=environment_of(base),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_is_told_whose_the_store_is(run_cli: Run, shared: Path) -> None:
    base = shared / "base"
    base.mkdir(mode=0o755)
    run_cli("run", "log-rotation", "--mode", "watch", base_dir=base)
    for command in (["status"], ["history"], ["agents", "list"], ["run", "health-check", "--dry-run"]):
        done = as_nobody(*command, base=base)
        assert done.returncode == 69, done
        assert (
            done.stderr
            == f"sutazai-exporter: {base}/data/sutazai.db: is root's, and not to be read by others; run this as root\n"
        )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_is_told_of_secrets_that_he_may_not_see(shared: Path) -> None:
    base = shared / "base"
    (base / "secrets_secure").mkdir(mode=0o755, parents=True)
    (base / "secrets_secure").chmod(0o700)
    done = as_nobody("config", "show", base=base)
    assert (done.returncode, done.stdout) == (78, "")
    assert len(done.stderr.splitlines()) == 1
    assert (
        f"{base}/secrets_secure: cannot be searched for secrets: Permission denied; run this as its owner"
        in done.stderr
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_may_ask_what_needs_no_store(shared: Path) -> None:
    assert as_nobody("check-config", base=shared / "base").returncode == 0
    assert as_nobody("status", base=shared / "base").returncode == 3  # nothing has run


def test_a_report_is_opened_in_the_browser_that_is_set(run_cli: Run, tmp_path: Path) -> None:
    config = {"jobs": {"performance_report": {"sample_deadline_seconds": 5}}}
    run_cli("run", "performance-report", config=config)
    browser = tmp_path / "browser"
    browser.write_text('#!/bin/sh\necho "opened $1"\n')
    browser.chmod(0o755)
    done = run_cli("reports", "open", "latest", "--task", "performance-report", env={"BROWSER": str(browser)})
    assert done.returncode == 0, done
    opened = Path(done.stdout.removeprefix("opened ").strip())
    assert opened.parent == tmp_path / "base" / "reports" / "performance"
    assert opened.read_text().startswith("<!DOCTYPE html>")
    missing = run_cli("reports", "open", env={"BROWSER": "no-such-browser"})
    assert (missing.returncode, "there is no program 'no-such-browser'" in missing.stderr) == (69, True)
    browser.write_text("#!/bin/sh\nexit 3\n")
    failed = run_cli("reports", "open", env={"BROWSER": str(browser)})
    assert (failed.returncode, "could not open it (exit code 3)" in failed.stderr) == (69, True)


def test_a_report_is_read_whole_as_it_is_and_in_its_forms(run_here: Run, tmp_path: Path) -> None:
    run_here("run", "health-check")
    (file,) = (tmp_path / "base" / "reports").glob("daily_health_report_*.json")
    assert run_here("reports", "show", file.stem, "--raw", "json").stdout == file.read_text()
    assert json.loads(run_here("reports", "show", "latest", "--json").stdout) == json.loads(file.read_text())
    assert "total checks: " in run_here("reports", "show").stdout
    other = run_here("reports", "show", "--raw", "html")
    assert (other.returncode, "has no form 'html'; it has json" in other.stderr) == (64, True)
    near = run_here("reports", "show", f"{file.stem}0")
    assert (near.returncode, f"did you mean '{file.stem}'?" in near.stderr) == (64, True)
    page = run_here("reports", "open")
    assert (page.returncode, "has no page; `sutazai-exporter reports show" in page.stderr) == (69, True)
    file.write_text("{")
    damaged = run_here("reports", "show")
    assert (damaged.returncode, "is damaged" in damaged.stderr) == (69, True)


def test_calm_lines_are_few() -> None:
    now, lines = [100.0], list[str]()
    told = CalmLines(lines.append, lambda: now[0])
    for step in range(100):
        now[0] = 100 + step * 0.1 * LINE_SECONDS
        told(Request(task="long-work"), step, 100, f"step\n{step}")
    assert len(lines) == 9
    assert lines[0] == "long-work: 10%, 10 s: step 10"
