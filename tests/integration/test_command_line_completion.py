"""Completion in the shells themselves: each is asked what it would offer after a TAB."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.exporter_daemon import environment_of
from tests.services.trial_jobs import TASK, TrialPackage

Offer = Callable[..., list[str]]

BASH = """
set -e
source <(sutazai-exporter completion bash)
COMP_WORDS=(sutazai-exporter {words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_sutazai_exporter_completion sutazai-exporter
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
# zsh completes in its line editor only: what the function hands to it is printed instead.
ZSH = """
compdef() {{ :; }}
_describe() {{ local -a found; found=("${{(@P)3}}"); print -rl -- "${{found[@]%%:*}}"; }}
compadd() {{ local name="${{@[-1]}}"; print -rl -- "${{(@P)name}}"; }}
eval "$(sutazai-exporter completion zsh)"
words=(sutazai-exporter {words})
CURRENT=${{#words}}
_sutazai_exporter_completion
"""
FISH = """
sutazai-exporter completion fish | source
complete --do-complete {line}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the program in its `bin`, and a base directory in which something ran."""
    home = tmp_path_factory.mktemp("home")
    package = TrialPackage(home / "package", real_jobs=True)
    program = home / "bin" / "sutazai-exporter"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m exporter "$@"\n')
    program.chmod(0o755)
    env = _environment(home, package)
    ran = subprocess.run(
        [program, "run", TASK, "--json"], env=env, cwd=home, capture_output=True, text=True, check=True
    )
    assert json.loads(ran.stdout)["report"].startswith("reports/trial/trial_report_")
    return home


def _environment(home: Path, package: TrialPackage | None = None) -> dict[str, str]:
    env = environment_of(home / "base", {"PYTHONPATH": str(home / "package")})
    return {**env, "PATH": f"{home / 'bin'}:{env['PATH']}", "HOME": str(home)}


@pytest.fixture(params=["bash", "zsh", "fish"])
def offer(request: pytest.FixtureRequest, home: Path) -> Offer:
    shell: str = request.param

    def ask(*words: str) -> list[str]:
        quoted = " ".join(map(shlex.quote, words))
        line = shlex.quote(f"sutazai-exporter {' '.join(words)}")
        script = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell].format(words=quoted, line=line)
        options = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
        done = subprocess.run(
            [shell, *options, "-c", script],
            env=_environment(home),
            cwd=home,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return [line.split("\t")[0] for line in done.stdout.splitlines() if line]

    return ask


def test_commands_and_their_members_are_offered(offer: Offer) -> None:
    assert {"run", "status", "reports", "completion"} <= set(offer(""))
    assert "reference" not in offer("")
    assert offer("sta") == ["status"]
    assert offer("agents", "re") == ["release", "restart"]


def test_tasks_with_their_flags_modes_and_values_are_offered(offer: Offer) -> None:
    assert offer("run", "log") == ["log-rotation"]
    assert {"--force", "--dry-run"} <= set(offer("run", "log-rotation", "--"))
    assert set(offer("run", "log-rotation", "--mode", "")) == {"standard", "force", "watch"}
    assert offer("run", "performance-report", "--period", "w") == ["weekly"]
    assert offer("history", "--task", "trial") == [TASK]


def test_reports_and_settings_are_offered(offer: Offer, home: Path) -> None:
    found = offer("reports", "show", "")
    assert "latest" in found
    assert any(name.startswith("trial_report_") for name in found)
    assert "jobs.log_rotation.max_log_size_mb" in offer("config", "show", "jobs.log_rotation.max_log")


def test_what_cannot_be_read_is_no_reason_to_complain(home: Path) -> None:
    env = {**_environment(home), "SUTAZAI_NO_SUCH_SETTING": "1", "_SUTAZAI_EXPORTER_COMPLETE": "bash_complete"}
    words = {"COMP_WORDS": "sutazai-exporter\nreports\nshow\n", "COMP_CWORD": "3"}
    done = subprocess.run([home / "bin" / "sutazai-exporter"], env={**env, **words}, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
