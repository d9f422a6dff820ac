"""A terminal with a program in it, as a person has it: what is shown, and the keys that are pressed."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import struct
import termios
from collections.abc import Mapping, Sequence
from fcntl import ioctl
from pathlib import Path

from tests.services.wait import wait_for

CTRL_C = b"\x03"


class Terminal:
    """A program that is running on a pseudo-terminal of so many columns and rows."""

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], cwd: Path, *, columns: int = 100, rows: int = 40
    ) -> None:
        self._shown = b""
        self._code: int | None = None
        self._open = True
        self.pid, self._side = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execvpe(argv[0], list(argv), {"TERM": "xterm-256color", **environment})

    def press(self, keys: bytes) -> None:
        """Press keys; Ctrl-C becomes the signal, as the terminal makes it."""
        os.write(self._side, keys)

    def hang_up(self) -> None:
        """Close it, as a connection that is lost does: the program gets SIGHUP, and nothing more is shown."""
        self.shown()
        os.close(self._side)
        self._open = False

    def shown(self) -> str:
        """All that was written to the terminal so far."""
        while self._open and self._code is None and select.select([self._side], [], [], 0)[0]:
            try:
                part = os.read(self._side, 1 << 16)
            except OSError:  # the program has gone
                break
            if not part:
                break
            self._shown += part
        return self._shown.decode(errors="replace")

    def wait_shown(self, text: str, timeout_seconds: float = 30) -> str:
        """Wait until a text was written, and return all that was."""
        wait_for(
            lambda: text in self.shown(), timeout_seconds, f"{text!r} is shown", detail=lambda: self.shown()[-2000:]
        )
        return self.shown()

    def wait(self, timeout_seconds: float = 30) -> int:
        """Wait for the program's end; return its exit code (negative: the signal)."""

        def ended() -> bool:
            self.shown()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
            return bool(pid)

        if self._code is None:
            wait_for(ended, timeout_seconds, "the program ends", detail=lambda: self.shown()[-2000:])
            code, self._code = self._code, None
            self.shown()
            self._code = code
        assert self._code is not None
        return self._code

    def close(self) -> None:
        """End the program, however it is."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, 9)
                os.waitpid(self.pid, 0)
        if self._open:
            os.close(self._side)
