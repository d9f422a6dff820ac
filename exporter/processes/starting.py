"""The two ways in which a process of ours begins: a new interpreter, or, for a run, a copy of this one.

Both get the descriptor to answer on, the one that their output goes to, those to keep open, and an environment.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from typing import NoReturn


def spawn(
    answer_end: int,
    output_end: int,
    keep_open: tuple[int, ...],
    environment: Mapping[str, str],
    module: str,
) -> subprocess.Popen[bytes]:
    """A new interpreter that runs `module`."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, str(answer_end)],
        stdin=subprocess.PIPE,
        stdout=output_end,
        stderr=output_end,
        pass_fds=(answer_end, *keep_open),
        env=environment,
        start_new_session=True,
    )


class Fork:
    """What OwnProcess uses of `subprocess.Popen`, for a copy of this process that goes on as `module`."""

    def __init__(
        self,
        answer_end: int,
        output_end: int,
        keep_open: tuple[int, ...],
        environment: Mapping[str, str],
        module: str,
    ) -> None:
        order_end, our_end = os.pipe()
        self._code: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._become_child(order_end, answer_end, output_end, keep_open, environment, module)
        os.close(order_end)
        self.stdin = os.fdopen(our_end, "wb")

    def poll(self) -> int | None:
        """The exit code (negative: the signal), or None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self, timeout: float) -> int:
        """Wait for the exit code; raise subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("run", timeout)
            time.sleep(0.01)
        return code

    def _become_child(
        self,
        order_end: int,
        answer_end: int,
        output_end: int,
        keep_open: tuple[int, ...],
        environment: Mapping[str, str],
        module: str,
    ) -> NoReturn:
        try:
            os.setsid()
            for sign in (signal.SIGTERM, signal.SIGINT):
                signal.signal(sign, signal.SIG_DFL)
            for ours, standard in ((order_end, 0), (output_end, 1), (output_end, 2)):
                os.dup2(ours, standard)
            kept = {0, 1, 2, answer_end, *keep_open}
            for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 (their numbers)
                if descriptor not in kept:
                    with contextlib.suppress(OSError):  # the one that the list was read by
                        os.close(descriptor)
            gc.freeze()  # what is there already is no garbage of ours, and to look at it would copy it
            gc.enable()
            os.environ.clear()
            os.environ.update(environment)
            import_module(module).main(answer_end)
        finally:
            os._exit(70)  # never back into the parent's code; 70 is EX_SOFTWARE of sysexits.h
