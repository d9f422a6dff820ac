"""A command on a terminal of its own, as a person has it: what it shows is waited for, and lines are typed."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.services.wait import wait_for

PATIENCE_SECONDS = 60.0
INTERRUPT = "\x03"


class Terminal:
    """A running command with a terminal for its standard input, output and error; used in a `with`."""

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None) -> None:
        self._ours, theirs = pty.openpty()
        try:
            self._process = subprocess.Popen(
                list(argv), stdin=theirs, stdout=theirs, stderr=theirs, env=dict(env), cwd=cwd,
                start_new_session=True, preexec_fn=_take_terminal,
            )  # fmt: skip
        finally:
            os.close(theirs)
        self._shown = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._seen = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join(PATIENCE_SECONDS)
        os.close(self._ours)

    @property
    def shown(self) -> str:
        """Everything that was shown so far."""
        return bytes(self._shown).decode(errors="replace")

    def expect(self, text: str) -> None:
        """Wait until it shows a text, beyond what was waited for before."""
        wait_for(lambda: self._place_of(text) >= 0, PATIENCE_SECONDS, f"{text!r}", detail=lambda: self.shown)
        self._seen = self._place_of(text) + len(text)

    def _place_of(self, text: str) -> int:
        return self.shown.find(text, self._seen)

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._ours, f"{text}\n".encode())

    def press(self, keys: str) -> None:
        """Press keys, without Enter."""
        os.write(self._ours, keys.encode())

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, and type the answer."""
        self.expect(question)
        self.type(text)

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        code = self._process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return code

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._ours, 4096)
            except OSError:  # Linux's way to say that nobody has the other side open
                return
            if not piece:
                return
            self._shown += piece


def _take_terminal() -> None:
    """Make the terminal that of the new session, so that Ctrl-C reaches it."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
