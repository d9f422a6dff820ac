"""A process of ours from the outside: started in a group of its own, listened to, and ended with all its children."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import exporter
from exporter.processes.marks import RUN_ID_VARIABLE, kill_marked
from exporter.processes.reader import Reader
from exporter.processes.starting import Fork, spawn

KILL_WAIT_SECONDS = 5.0
CODE = Path(exporter.__file__).parents[1]
"""Our processes must find the very code that their parent is made of, wherever that was started from."""


class Stoppable(Protocol):
    """What says that a process is to end: an event, or `exporter.runs.stopping.Stop`."""

    def is_set(self) -> bool:
        """Whether it is to end."""
        ...


class End(Enum):
    """Why a process ended."""

    BY_ITSELF = "by itself"
    TIMEOUT = "timeout"
    STOPPED = "stopped"
    TOO_LONG = "answer too long"


@dataclass(frozen=True)
class Exit:
    """How a process ended. `code` is None when it could not be ended; `stuck` then says what it waits for."""

    end: End
    code: int | None
    output_tail: str
    stuck: str = ""
    oom_killed: bool = False


class OwnProcess:
    """One started run, or another process of ours."""

    def __init__(
        self,
        order: Mapping[str, Any],
        name: int | str,
        module: str,
        keep_open: tuple[int, ...] = (),
        *,
        fork: bool = False,
    ) -> None:
        """Start `module` and hand it `order`; the descriptors `keep_open` live as long as it does.

        With `fork` it is a copy of this process, a run's always, which saves loading what is loaded already. No
        connection to a database may be open, and where there are other threads a process is started all the same: a
        copy of a lock that one of them holds would never be released.
        """
        self._marker = f"{RUN_ID_VARIABLE}={os.getpid()}-{name}"
        self._oom_kills = _oom_kills()
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            self._answers, answer_end = _pipe(ours, theirs)
            self._output, output_end = _pipe(ours, theirs)
            how = answer_end, output_end, keep_open, _environment(self._marker), module
            alone = fork and threading.active_count() == 1
            self._process: subprocess.Popen[bytes] | Fork = Fork(*how) if alone else spawn(*how)
            ours.pop_all()
        self.pid = self._process.pid
        self._hand_over(order)

    def _hand_over(self, order: Mapping[str, Any]) -> None:
        stdin = self._process.stdin
        if stdin is not None:
            # A child that died at once is told by its exit, not by a broken pipe here.
            with contextlib.suppress(BrokenPipeError):
                stdin.write(json.dumps(order).encode() + b"\n")
                stdin.flush()

    def listen(
        self,
        on_line: Callable[[bytes], None],
        *,
        limit_seconds: float,
        stop: Stoppable,
        stop_grace_seconds: float,
    ) -> Exit:
        """Pass each line of the answer to `on_line` until the process has ended; end it at its limit or on stop.

        Raise OSError if it cannot be listened to; then it has been killed.
        """
        try:
            with Reader(self._answers, self._output, on_line) as reader:
                end = self._await_end(reader, limit_seconds, stop)
                if end is not End.BY_ITSELF:
                    self._terminate(reader, stop_grace_seconds if end is End.STOPPED else KILL_WAIT_SECONDS)
                code = self._process.poll()
                self._kill_descendants()
                reader.drain()
        except BaseException:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                self._kill_descendants()
                self._process.wait(KILL_WAIT_SECONDS)
            raise
        finally:
            self._close()
        oom = code == -signal.SIGKILL and end is End.BY_ITSELF and _oom_kills() > self._oom_kills
        return Exit(end, code, reader.tail(), _stuck(self.pid) if code is None else "", oom)

    def _await_end(self, reader: Reader, limit_seconds: float, stop: Stoppable) -> End:
        deadline = time.monotonic() + limit_seconds
        with _exit_descriptor(self.pid) as exited:
            reader.watch(exited)
            while self._process.poll() is None:
                if stop.is_set():
                    return End.STOPPED
                if reader.too_long:
                    return End.TOO_LONG
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return End.TIMEOUT
                reader.read(min(remaining, 0.2))
            reader.unwatch(exited)
        return End.BY_ITSELF

    def _terminate(self, reader: Reader, grace_seconds: float) -> None:
        for sign, wait_seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, KILL_WAIT_SECONDS)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, sign)
            deadline = time.monotonic() + wait_seconds
            while self._process.poll() is None and time.monotonic() < deadline:
                reader.read(0.05)
            if self._process.poll() is not None:
                return

    def _kill_descendants(self) -> None:
        """Kill what is left of the group and whatever else carries the run's mark."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        kill_marked(self._marker, self.pid)

    def _close(self) -> None:
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        os.close(self._answers)
        os.close(self._output)


def _pipe(reading: contextlib.ExitStack, writing: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe whose ends are closed with these stacks."""
    ends = os.pipe()
    for stack, end in zip((reading, writing), ends, strict=True):
        stack.callback(os.close, end)
    return ends


@contextlib.contextmanager
def _exit_descriptor(pid: int) -> Iterator[int]:
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _environment(marker: str) -> dict[str, str]:
    """The environment without our own settings: some are secret, and a run gets its settings otherwise."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SUTAZAI_") and k != "CREDENTIALS_DIRECTORY"}
    name, _, value = marker.partition("=")
    path = os.pathsep.join([str(CODE), *filter(None, [kept.get("PYTHONPATH")])])
    return kept | {name: value, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _oom_kills() -> int:
    """How many processes the kernel has killed for memory since it started (proc(5), /proc/vmstat)."""
    for line in Path("/proc/vmstat").read_text().splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0


def _stuck(pid: int) -> str:
    """What a process that survives SIGKILL is waiting for."""
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0]
        waits = Path(f"/proc/{pid}/wchan").read_text() or "unknown"
        return f"state {state}, waiting in {waits}"
    return "state unknown"
