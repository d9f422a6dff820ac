"""Semgrep for tests: installed once, into a virtual environment of its own beside the project's."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

from tests.services.process import plain_environment

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
    """By the newest pip, as one of Python's own age takes thrice the time; compiled as it is used: half of the rest."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(_HOME)], check=True, timeout=300)
    options = ["--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(_HOME), *options, "pip>=25"], check=True, timeout=300)
    own_pip = [str(_HOME / "bin" / "python"), "-m", "pip", *options, "--no-compile"]
    subprocess.run([*own_pip, _VERSION], check=True, timeout=600)
    # Without asking for newer versions: where nobody answers it waits for more than a minute.
    environment = plain_environment(SEMGREP_ENABLE_VERSION_CHECK="0")
    subprocess.run([str(program), "--version"], check=True, timeout=120, stdout=subprocess.DEVNULL, env=environment)
