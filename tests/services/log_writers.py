"""A program that writes numbered lines to a log, as fast as it can or when it is told to."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Self

_PROGRAM = """
import os, signal, sys
path, count, flags, chunk = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
def reopen(*_):
    global log
    old, log = log, os.open(path, flags, 0o644)
    os.close(old)
log = os.open(path, flags, 0o644)
signal.signal(signal.SIGHUP, reopen)
def put(data):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    while data:
        data = data[os.write(log, data):]
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
sys.stdout.write("open\\n"); sys.stdout.flush()
line = b"%09d one line of a log that is written at full speed %s\\n"
for first in range(0, count, chunk):
    put(b"".join(line % (n, b"." * (n % 70)) for n in range(first, min(first + chunk, count))))
os.write(int(sys.argv[5]), b"written")
for line in sys.stdin.buffer:
    if line == b"end\\n":
        break
    put(sys.stdin.buffer.read(int(line)))
    sys.stdout.write("put\\n"); sys.stdout.flush()
"""


class Writer:
    """A process with the log open. It writes `count` lines (`chunk` to a call), then `first` and what `write` gives it.

    `reopens`: SIGHUP has it open the log anew; without, it takes no notice. `appends` says how it opens the log.
    """

    def __init__(
        self,
        path: Path,
        *,
        count: int,
        first: bytes = b"",
        appends: bool = True,
        reopens: bool = False,
        chunk: int = 1,
    ) -> None:
        self.count = count
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if appends else 0)
        program = _PROGRAM if reopens else _PROGRAM.replace("signal.SIGHUP, reopen", "signal.SIGHUP, signal.SIG_IGN")
        self._done, end = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, str(path), str(count), str(flags), str(chunk), str(end)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[end],
        )
        os.close(end)
        self._said()
        if first:
            self.write(first)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(30)
        os.close(self._done)

    def write(self, content: bytes) -> None:
        """Have it write that, and wait until it has."""
        assert self._process.stdin
        self._process.stdin.write(b"%d\n" % len(content) + content)
        self._process.stdin.flush()
        self._said()

    def lines_are_written(self) -> bool:
        """Whether it has written the lines that it writes by itself."""
        return bool(select.select([self._done], [], [], 0)[0])

    def finish(self) -> None:
        """Let it write all its lines and end."""
        self._process.communicate(b"end\n", timeout=120)
        assert self._process.returncode == 0

    def written(self) -> bytes:
        """The lines that it writes by itself."""
        line = b"%09d one line of a log that is written at full speed %s\n"
        return b"".join(line % (n, b"." * (n % 70)) for n in range(self.count))

    def _said(self) -> None:
        assert self._process.stdout
        assert self._process.stdout.readline()
