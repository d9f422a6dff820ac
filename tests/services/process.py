"""One process of a service: started, waited for, stopped by its own process id, its log kept."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from tests.services.wait import wait_for

READY_SECONDS = 60.0
"""How long a service may take to answer; generous, for a loaded machine."""

STOP_SECONDS = 20.0

_MEMORY = Path("/dev/shm")


def private_directory(service: str, *, memory_bytes: int = 0) -> Path:
    """A new directory that only its owner can enter; its path is short, for the sockets in it.

    It is in memory where there is room for so many bytes, and as many for others: a disk takes long to write what need
    not outlive it, and to let go of it.
    """
    roomy = memory_bytes and min(psutil.virtual_memory().available, _free_bytes(_MEMORY)) > 2 * memory_bytes
    return Path(tempfile.mkdtemp(prefix=f"sutazai-test-{service}-", dir=_MEMORY if roomy else None))


def quick_directory() -> tempfile.TemporaryDirectory[str]:
    """A directory for files that need not outlive a power cut (as those of a process that is killed): in memory, where
    there is such a place, as a busy disk takes its time to sync."""
    return tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None)


def _free_bytes(directory: Path) -> int:
    return shutil.disk_usage(directory).free if directory.is_dir() else 0


def remove_directory(directory: Path) -> None:
    """Remove a directory of a stopped service."""
    shutil.rmtree(directory, ignore_errors=True)


def plain_environment(**extra: str) -> dict[str, str]:
    """An environment with nothing in it that could tell a service about the machine's own configuration."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOME": "/nonexistent", **extra}


class Process:
    """A running program. `user` is whom it runs as, where this process may choose."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log_file: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.argv, self.log_file, self._stop_signal = list(argv), log_file, stop_signal
        with log_file.open("ab") as log:
            self.popen = subprocess.Popen(
                [*_ends_with_us(), *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else plain_environment(),
                cwd=cwd or log_file.parent,
                # Of its own, so that Ctrl-C reaches it only through stop().
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=[] if user else None,
            )

    @property
    def pid(self) -> int:
        """The process id of the program itself."""
        return self.popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.popen.poll() is None

    def log(self) -> str:
        """Everything it has written so far."""
        return self.log_file.read_text(errors="replace")

    def wait_ready(
        self,
        condition: Callable[[], object],
        what: str,
        *,
        ignoring: tuple[type[Exception], ...] = (OSError,),
        timeout_seconds: float = READY_SECONDS,
    ) -> None:
        """Wait for `condition`; raise with the log when the process ends first or takes too long."""

        def ready() -> object:
            if not self.running:
                raise RuntimeError(f"{self.argv[0]} ended with {self.popen.returncode} before {what}:\n{self.log()}")
            return condition()

        wait_for(ready, timeout_seconds, what, ignoring=ignoring, detail=self.log)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it has not ended."""
        self.popen.send_signal(number)

    def pause(self) -> None:
        """SIGSTOP it and all its children: it keeps its connections and answers nothing."""
        self._signal_family(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self._signal_family(signal.SIGCONT)

    def kill(self) -> int:
        """SIGKILL it (not its children) and return its exit status."""
        self.popen.kill()
        return self.popen.wait(STOP_SECONDS)

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> int:
        """End it, by force if it does not by itself, and return its exit status."""
        if self.running:
            children = self._family()[1:]
            self.resume()
            self.send(self._stop_signal)
            try:
                self.popen.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                for child in children:
                    if child.is_running():  # psutil compares start times: never a stranger with the same id
                        child.kill()
        return self.popen.wait(STOP_SECONDS)

    def _signal_family(self, number: signal.Signals) -> None:
        for process in self._family():
            # Those that were about to end do so between our look and our signal.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _family(self) -> list[psutil.Process]:
        try:
            parent = psutil.Process(self.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


class Service:
    """What runs as one process, which a test may stop and freeze. `start` sets `process`; files are in `directory`."""

    process: Process
    directory: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def stop(self) -> None:
        """Shut it down; `start` brings it back."""
        self.process.stop()

    def pause(self) -> None:
        """SIGSTOP it and its children: connections are taken by the kernel, nothing answers."""
        self.process.pause()

    def resume(self) -> None:
        """Undo `pause`."""
        self.process.resume()

    def close(self) -> None:
        """Stop it and remove its files; it may have come to nothing."""
        if hasattr(self, "process"):
            self.process.stop()
        remove_directory(self.directory)


def _ends_with_us() -> list[str]:
    """A prefix that has the kernel end the program when the test run is killed and cannot.

    The kernel watches the thread that started it, so only the main thread's children can be bound.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return []
    return [setpriv, "--pdeathsig", "TERM"]
