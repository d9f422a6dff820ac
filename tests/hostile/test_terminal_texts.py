"""Texts from containers, files and alerts never command the terminal, whichever command shows them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.services.trial_jobs import TASK, TrialPackage, work

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m[red]bold[/red] \r\nnext\x7f end"
CODE = f"""
HOSTILE = {HOSTILE!r}
result = Result(
    status="X " + HOSTILE, verdict=1, summary=HOSTILE, score=50,
    findings=(Finding(kind="k", subject="s/" + HOSTILE, severity="critical", message=HOSTILE, remedy=HOSTILE),),
    actions=(Action(verb="restart", subject=HOSTILE, detail=HOSTILE, done=True),),
    deductions=(Deduction(points=5, reason=HOSTILE),),
    report={{"name": HOSTILE, "list": [{{"name": HOSTILE, HOSTILE: HOSTILE}}], HOSTILE: [HOSTILE]}},
)
"""
Run = Callable[..., subprocess.CompletedProcess[str]]

COMMANDS = [
    ["run", TASK],
    ["run", TASK, "--verbose"],
    ["status"],
    ["tasks"],
    ["findings"],
    ["history"],
    ["history", "--run", "1"],
    ["reports", "show"],
    ["reports", "list"],
]


@pytest.fixture
def trial(package: TrialPackage, run_here: Run) -> Iterator[Run]:
    """`run_here` where there is the trial task and no other."""
    with package.in_process():
        yield partial(run_here, env=package.environment)


def controls(text: str) -> set[str]:
    return {
        character for character in text if (ord(character) < 32 and character != "\n") or 127 <= ord(character) < 160
    }


def test_no_control_character_is_printed(trial: Run) -> None:
    config = work(CODE)
    trial("run", TASK, config=config)
    for command in COMMANDS:
        done = trial(*command, config=config)
        assert "Traceback" not in done.stderr, done
        assert controls(done.stdout + done.stderr) == set(), command
        if command[0] in ("findings", "history"):
            assert "[red]bold[/red]" in done.stdout  # no markup of ours


def test_json_holds_the_texts_as_data(trial: Run) -> None:
    config = work(CODE)
    trial("run", TASK, config=config)
    for command in (["status"], ["findings"], ["history"], ["reports", "show"]):
        done = trial(*command, "--json", config=config)
        json.loads(done.stdout)
        assert controls(done.stdout) == set(), command


def test_progress_and_the_log_of_a_run_are_clean(trial: Run) -> None:
    code = f"clients.report.progress(1, 2, {HOSTILE!r}); clients.report.log('warning', {HOSTILE!r})"
    done = trial("run", TASK, "--verbose", config=work(code))
    assert controls(done.stdout + done.stderr) == set()
    failed = trial("run", TASK, config=work(f"raise JobError({HOSTILE!r})"))
    assert controls(failed.stdout + failed.stderr) == set()


def test_a_hostile_name_on_the_command_line_is_quoted(run_cli: Run, tmp_path: Path) -> None:
    for arguments in (
        ["\x1b[2Jx"],
        ["run", "\x1b[2J"],
        ["run", "health-check", "--\x1b[2J"],
        ["reports", "show", "\x1b[2J"],
    ):
        done = run_cli(*arguments)
        assert done.returncode == 64
        assert controls(done.stderr) == set(), done
