"""A process of ours from the outside: started in a group of its own, listened to, and ended with all its children."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, Self

from exporter.processes.marks import RUN_ID_VARIABLE, kill_marked
from exporter.processes.starting import Fork, spawn

MAX_ANSWER_BYTES = 64 << 20
"""An answer longer than this is not read further and the run fails."""
OUTPUT_TAIL_BYTES = 16 << 10
"""Of what a run prints outside its answer, so much is kept."""
KILL_WAIT_SECONDS = 5.0


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


class RunProcess:
    """One started run, or another process of ours."""

    def __init__(
        self,
        order: Mapping[str, Any],
        run_id: int | str,
        keep_open: tuple[int, ...] = (),
        *,
        fork: bool = False,
        module: str = "exporter.runs.child",
    ) -> None:
        """Start `module` and hand it `order`; the descriptors `keep_open` live as long as it does.

        With `fork` it is a copy of this process, a run's always, which saves loading what is loaded already. No
        connection to a database may be open, and where there are other threads a process is started all the same: a
        copy of a lock that one of them holds would never be released.
        """
        self._marker = f"{RUN_ID_VARIABLE}={os.getpid()}-{run_id}"
        self._oom_kills = _oom_kills()
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            self._answers, answer_end = _pipe(ours, theirs)
            self._output, output_end = _pipe(ours, theirs)
            ends = answer_end, output_end, keep_open, _environment(self._marker)
            alone = fork and threading.active_count() == 1
            self._process: subprocess.Popen[bytes] | Fork = Fork(*ends) if alone else spawn(*ends, module)
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
            with _Reader(self._answers, self._output, on_line) as reader:
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

    def _await_end(self, reader: _Reader, limit_seconds: float, stop: Stoppable) -> End:
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

    def _terminate(self, reader: _Reader, grace_seconds: float) -> None:
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


class _Reader:
    """Reads both pipes as they fill: whole lines go to `on_line`, the rest of the output leaves only its tail."""

    def __init__(self, answers: int, output: int, on_line: Callable[[bytes], None]) -> None:
        self._on_line = on_line
        self._line, self._tail = bytearray(), bytearray()
        self._answer_bytes = 0
        self.too_long = False
        self._selector = selectors.DefaultSelector()
        for descriptor, take in ((answers, self._take_answer), (output, self._take_output)):
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ, take)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def watch(self, descriptor: int) -> None:
        """Return from `read` as well when this descriptor is ready."""
        self._selector.register(descriptor, selectors.EVENT_READ, None)

    def unwatch(self, descriptor: int) -> None:
        """Forget a watched descriptor."""
        self._selector.unregister(descriptor)

    def read(self, timeout_seconds: float) -> bool:
        """Take what is there within the time; say whether there was anything."""
        took = False
        for key, _ in self._selector.select(timeout_seconds):
            if key.data is None:
                continue
            try:
                chunk = os.read(int(key.fd), 1 << 16)
            except BlockingIOError:
                continue
            if chunk:
                key.data(chunk)
                took = True
            else:
                self._selector.unregister(key.fd)
        return took

    def drain(self) -> None:
        """Take what is still in the pipes, without waiting for descendants that hold them open."""
        for _ in range(64):
            if not self.read(0):
                break

    def tail(self) -> str:
        """The end of what was printed."""
        return self._tail.decode(errors="replace").strip()

    def _take_output(self, chunk: bytes) -> None:
        self._tail += chunk
        del self._tail[:-OUTPUT_TAIL_BYTES]

    def _take_answer(self, chunk: bytes) -> None:
        self._answer_bytes += len(chunk)
        if self._answer_bytes > MAX_ANSWER_BYTES:
            self.too_long = True
            return
        self._line += chunk
        if b"\n" in chunk:
            *lines, self._line = self._line.split(b"\n")
            for line in lines:
                self._on_line(bytes(line))


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
    # The run must find the very code that its parent is made of, wherever that was started from.
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [kept.get("PYTHONPATH")])])
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
