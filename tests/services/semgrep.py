"""Semgrep for tests: installed once, into a virtual environment of its own beside the project's."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

_HOME = Path(__file__).parents[2] / ".venv-semgrep"
_VERSION = "semgrep>=1.100,<2"


def semgrep_program() -> str:
    """The path of Semgrep's program; the first process that asks installs it, others wait for it."""
    program, made = _HOME / "bin" / "semgrep", _HOME / ".made"
    _HOME.mkdir(exist_ok=True)
    with (_HOME / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _install(program)
            made.touch()
    return str(program)


def _install(program: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(_HOME)], check=True, timeout=300)
    pip = [str(program.with_name("pip")), "install", "--quiet", "--disable-pip-version-check", _VERSION]
    subprocess.run(pip, check=True, timeout=600)
    subprocess.run([str(program), "--version"], check=True, timeout=120, stdout=subprocess.DEVNULL)
