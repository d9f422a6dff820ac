"""The demo's processes: each in a session of its own, so that Ctrl-C reaches the demo alone, which then ends them."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from demo.interrupts import interrupted_later
from demo.layout import DemoError

_STOP_SECONDS = 25.0
_PR_SET_PDEATHSIG = 1
_SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
_libc = ctypes.CDLL(None)


def program(*names: str, package: str) -> str:
    """The path of the first of these programs that is installed; DemoError naming what to install."""
    for name in names:
        if path := shutil.which(name, path=_SEARCH):
            return path
    raise DemoError(f"{names[-1]} is not installed: apt install {package} (no service of it need run)")


def environment(base_dir: Path, **more: str) -> dict[str, str]:
    """The caller's environment without settings of the exporter's, as these would be those of another one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SUTAZAI_")}
    return {**kept, "SUTAZAI_BASE_DIR": str(base_dir), "PYTHONUNBUFFERED": "1", **more}


def exporter(*arguments: str) -> list[str]:
    """The command `sutazai-exporter ARGUMENTS`."""
    return [sys.executable, "-m", "exporter", *arguments]


def command(argv: Sequence[str], env: Mapping[str, str]) -> str:
    """What a command prints; DemoError where it fails. However this is left, the command has ended then."""
    with ExitStack() as ending:
        with interrupted_later():
            begun = ending.enter_context(_piped(argv, env))
            ending.callback(_end, begun)  # subprocess.run would kill it when interrupted, and not wait until it is gone
        printed, complaint = begun.communicate()
    if begun.returncode != 0:
        said = (complaint.strip().splitlines() or ["it said nothing"])[-1]
        raise DemoError(f"{shlex.join(argv)} ended with {begun.returncode}: {said}")
    return printed


def _piped(argv: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        argv,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: _end_with_parent(signal.SIGTERM),
    )


class Child:
    """A program that runs until it is stopped, or until the demo is gone, however that ended: then it is `orphaned`."""

    def __init__(
        self, name: str, argv: Sequence[str], log_file: Path, env: Mapping[str, str], *, orphaned: int = signal.SIGTERM
    ) -> None:
        self.name, self._log_file = name, log_file
        with log_file.open("ab") as log:
            self._popen = subprocess.Popen(
                argv,
                env=dict(env),
                cwd=log_file.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: _end_with_parent(orphaned),
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    def check(self) -> None:
        """DemoError with its last words if it has ended."""
        if not self.runs:
            words = self._log_file.read_text(errors="replace").strip().splitlines()[-3:]
            said = " / ".join(words) or "nothing"
            raise DemoError(f"{self.name} ended with {self._popen.returncode}; it last said: {said}")

    def stop(self) -> None:
        """End it, by force if it does not by itself."""
        _end(self._popen)


def _end(begun: subprocess.Popen[Any]) -> None:
    """Have a program end, and wait until it has; one that has ended already is left alone."""
    if begun.poll() is None:
        begun.send_signal(signal.SIGCONT)
        begun.terminate()
        try:
            begun.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            begun.kill()
            begun.wait()


def _end_with_parent(number: int) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, number)
