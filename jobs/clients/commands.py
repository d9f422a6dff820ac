"""Other programs, run the one way allowed here: a list of arguments, a time limit, an environment of our choosing.

A program gets no standard input unless it is fed, its own process group, and of the caller's environment only what
every program needs: secrets of the exporter never reach it. What it prints is capped. Secrets that it does need go
into `environment` or a file, never into its arguments, which every user of the machine can read.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from jobs.clients.errors import Absent, ClientError

MAX_OUTPUT_BYTES = 1 << 20
"""Of what a program prints, so much is kept; the rest is read and dropped."""
CHUNK_BYTES = 1 << 20
_KILL_WAIT_SECONDS = 5.0
# SUTAZAI_RUN_ID is the mark by which a run's descendants are found and ended with it.
_PASSED_ON = ("PATH", "HOME", "TZ", "TMPDIR", "SUTAZAI_RUN_ID")


class CommandFailed(ClientError):
    """A program did not do its work: it ended with another code than 0, or was ended at its limit.

    `code` is its exit code, negative for a signal, None where it had to be ended; `output` the end of what it printed
    on standard error.
    """

    def __init__(self, message: str, code: int | None, output: str = "") -> None:
        super().__init__(message)
        self.code, self.output = code, output


@dataclass(frozen=True)
class Done:
    """A program that has ended by itself, and what it printed (at most MAX_OUTPUT_BYTES of each)."""

    code: int
    stdout: bytes
    stderr: str


def find(program: str) -> str:
    """Where a program is; Absent where it is not installed."""
    path = shutil.which(program, path=_plain_environment()["PATH"])
    if path is None:
        raise Absent(f"{program} is not installed, or not in PATH")
    return path


def run(
    argv: Sequence[str],
    *,
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | int | None = None,
    check: bool = True,
) -> Done:
    """Run a program to its end and return what it printed.

    Raise Absent where it is not there, CommandFailed past its time and, with `check`, for a code other than 0.
    """
    with Child(argv, timeout_seconds=timeout_seconds, environment=environment, cwd=cwd, user=user) as child:
        kept = bytearray()
        for chunk in child.chunks():
            kept += chunk[: MAX_OUTPUT_BYTES - len(kept)]
        code = child.wait(check=check)
    return Done(code, bytes(kept), child.stderr())


class Child:
    """A program that is running: read its output with `chunks` or give it its input with `feed`, then `wait`.

    To be used in a `with`: leaving it by an exception ends the program with its whole process group, as its
    time limit does. `user` is whom it runs as (only root may choose), `pass_fds` what it keeps open of ours. With
    `ends_whole` what it leaves behind in its process group is ended once it has ended itself.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        timeout_seconds: float,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | int | None = None,
        fed: bool = False,
        pass_fds: Sequence[int] = (),
        ends_whole: bool = False,
    ) -> None:
        self.name = Path(argv[0]).name
        self._ends_whole = ends_whole
        self._timeout_seconds = timeout_seconds
        self._deadline = time.monotonic() + timeout_seconds
        self._errors = bytearray()
        self._timed_out = threading.Event()
        try:
            self._process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**_plain_environment(), **(environment or {})},
                cwd=cwd,
                user=user,
                group=_group_of(user),
                extra_groups=None if user is None else [],
                process_group=0,
                pass_fds=pass_fds,
                bufsize=0,
            )
        except (FileNotFoundError, NotADirectoryError):
            raise Absent(f"{argv[0]} is not installed, or not in PATH") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ClientError(f"{self.name} cannot be started: {reason}") from None
        self._helpers = [threading.Thread(target=self._drain_errors, daemon=True)]
        self._guard = threading.Timer(timeout_seconds, self._time_out)
        self._guard.daemon = True
        self._helpers[0].start()
        self._guard.start()

    @property
    def pid(self) -> int:
        """Its process id, which is also its process group's."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._guard.cancel()
        if self._process.poll() is None:
            self._kill()
        self._helpers[0].join(_KILL_WAIT_SECONDS)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def chunks(self, size: int = CHUNK_BYTES) -> Iterator[bytes]:
        """What it prints on standard output, in pieces of up to `size` bytes, until it closes it."""
        stream = _opened(self._process.stdout)
        with contextlib.suppress(OSError):  # beyond what this user may have in pipes it stays as small as it is
            fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, CHUNK_BYTES)
        while chunk := stream.read(size):
            yield chunk

    def feed(self, chunks: Iterable[bytes]) -> None:
        """Write to its standard input, then close it. A program that ends before it has read everything is no error

        here: `wait` says what became of it.
        """
        stream = _opened(self._process.stdin)
        drain = threading.Thread(target=self._drain_output, daemon=True)
        drain.start()
        self._helpers.append(drain)
        with contextlib.suppress(BrokenPipeError):
            for chunk in chunks:
                view = memoryview(chunk)
                while view:
                    view = view[stream.write(view) :]
        with contextlib.suppress(BrokenPipeError):
            stream.close()

    def wait(self, *, check: bool = True) -> int:
        """Its exit code, once it has ended; CommandFailed past its time and, with `check`, for other codes than 0."""
        try:
            code = self._process.wait(max(0.0, self._deadline - time.monotonic()) + _KILL_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
            code = None
        if self._ends_whole:
            self._kill()
        for helper in self._helpers:
            helper.join(_KILL_WAIT_SECONDS)
        if code is None or self._timed_out.is_set():
            raise CommandFailed(f"{self.name} was not done after {self._timeout_seconds:g} s", None, self.stderr())
        if check and code != 0:
            how = f"ended with {code}" if code > 0 else f"was ended by signal {-code}"
            said = last_line(self.stderr())
            raise CommandFailed(f"{self.name} {how}{': ' if said else ''}{said}", code, self.stderr())
        return code

    def stderr(self) -> str:
        """The end of what it has printed on standard error so far."""
        return bytes(self._errors).decode(errors="replace").strip()

    def _drain_errors(self) -> None:
        stream = _opened(self._process.stderr)
        with contextlib.suppress(OSError, ValueError):
            while chunk := stream.read(1 << 16):
                self._errors += chunk
                del self._errors[:-MAX_OUTPUT_BYTES]

    def _drain_output(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for _ in self.chunks(1 << 16):
                pass

    def _time_out(self) -> None:
        if self._process.poll() is None:
            self._timed_out.set()
            self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_WAIT_SECONDS)


def last_line(text: str) -> str:
    """The last line of what a program printed that says something, at most 300 characters of it."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    said = next((line for line in reversed(lines) if line), "")
    return said if len(said) <= 300 else f"{said[:299]}…"


def _plain_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # Debian's sbin is not in every user's PATH, and cron's has next to nothing.
    path = ":".join(dict.fromkeys([*kept.get("PATH", os.defpath).split(":"), "/usr/local/bin", "/usr/sbin", "/sbin"]))
    return {**kept, "PATH": path, "LC_ALL": "C.UTF-8"}


def _group_of(user: str | int | None) -> int | None:
    if user is None:
        return None
    import pwd

    try:
        entry = pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except KeyError:
        raise Absent(f"there is no user {user!r}") from None
    return entry.pw_gid


def _opened(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("this program was started without that stream")
    return stream
