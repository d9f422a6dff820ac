"""Runs of the log rotation in this process: a base directory, a real store, and a clock that a test moves ahead."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from exporter.store import Store
from jobs.clients import Clients
from jobs.core.job import JobError
from jobs.core.model import Request, Result
from jobs.core.settings import DockerSettings, World
from jobs.log_rotation import JOB, Settings
from tests.services.agent_runs import MovableClock, QuietReporter
from tests.services.binaries import need
from tests.services.exporter_daemon import REPOSITORY
from tests.services.process import plain_environment
from tests.services.wait import wait_for

MB = 1 << 20


class LogRuns:
    """The log rotation on one base directory. Each `run` has new clients, as a process of its own would have."""

    def __init__(self, base_dir: Path, *, docker_url: str | None = None, **settings: Any) -> None:
        self.base_dir, self.clock = base_dir, MovableClock()
        self.settings: dict[str, Any] = {
            "max_log_size_mb": 1,
            "min_free_mb": 0,
            "docker_logs": docker_url is not None,
            **settings,
        }
        self.world = World(base_dir=base_dir, docker=DockerSettings(url=docker_url))
        self.logs, self.archive_directory = base_dir / "logs", base_dir / "archive" / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        # Beside the base directory: a dry run leaves that as it is, to the byte.
        self.store = Store(base_dir.with_name(f"{base_dir.name}-store") / "store.db")

    def run(self, mode: str = "standard", *, dry_run: bool = False, **changes: Any) -> Result:
        """One run, with `changes` to the settings; what it observed is remembered."""
        clients = Clients(self.world, self.clock, QuietReporter(), lambda: self.store, lambda: self.store)
        request = Request(task=JOB.name, mode=mode, dry_run=dry_run)
        return JOB.run(Settings(**{**self.settings, **changes}), clients, request)

    def archives(self) -> list[Path]:
        """The archives, oldest first."""
        return sorted(self.archive_directory.glob("*.gz"), key=lambda path: (path.stat().st_mtime_ns, path.name))

    def close(self) -> None:
        """Close the store."""
        self.store.close()


class _Nothing:
    """Stands for a store in which nothing was ever put."""

    def points(self, series: str, since: datetime) -> Sequence[tuple[float, float]]:
        """None."""
        return []


def run_once(base_dir: Path, settings: dict[str, Any]) -> str:
    """One standard run in this process, without a store: what it found, or why it could not be made."""
    clients = Clients(
        World(base_dir=base_dir),
        MovableClock(),
        QuietReporter(),
        lambda: _Nothing(),
        lambda: _Nothing(),  # type: ignore[arg-type,return-value]
    )
    try:
        return " ".join(kinds(JOB.run(Settings(**settings), clients, Request(task=JOB.name, mode="standard"))))
    except JobError as error:
        return str(error)


class RunsUnderStrace:
    """Runs that strace meddles with. Each is a copy of one process that has everything loaded already."""

    def __init__(self, directory: Path, calls: str) -> None:
        self._calls, self._said, self._log = calls, directory / "said", directory / "strace"
        self._strace = need("strace", package="strace")
        argv = [sys.executable, "-m", "tests.services.log_runs", str(self._said)]
        # A module compiled for the first time is one more file that is written.
        env = plain_environment(PYTHONPATH=str(REPOSITORY), PYTHONDONTWRITEBYTECODE="1")
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(argv, env=env, cwd=REPOSITORY, stdin=pipe, stdout=pipe, text=True)

    def run(self, base_dir: Path, settings: dict[str, Any], inject: str = "") -> tuple[int, str, str]:
        """One run with `inject` (strace(1)): its exit code (negative: the signal), what it found, and strace's log."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([str(base_dir), settings]) + "\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        argv = [self._strace, "-f", "-qq", "-o", str(self._log), "-e", f"trace={self._calls}", "-p", str(pid)]
        with subprocess.Popen([*argv, *([f"--inject={inject}"] if inject else [])]):
            wait_for(lambda: _is_traced(pid), 30, "strace has it")
            os.kill(pid, signal.SIGCONT)
            code = int(self._process.stdout.readline())
        return code, self._said.read_text(), self._log.read_text()

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=30)


def _is_traced(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return "TracerPid:\t0\n" not in status and "State:\tT (stopped)" not in status


def _serve(said: Path) -> None:
    """For each order on standard input a copy of this process, which waits to be continued and then does it."""
    with tempfile.TemporaryDirectory() as warm_up:  # so that what is loaded on first use is there
        write_log(Path(warm_up, "logs", "app.log"), lines(20_000))
        run_once(Path(warm_up), {"max_log_size_mb": 1, "min_free_mb": 0, "docker_logs": False})
    for line in sys.stdin:
        said.write_text("")
        base_dir, settings = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
            said.write_text(run_once(Path(base_dir), settings))
            os._exit(0)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
        sys.stdout.flush()


def lines(count: int, seed: int = 1) -> bytes:
    """Numbered lines of different lengths."""
    chance = random.Random(seed)
    return b"".join(b"%09d %s\n" % (number, b"x" * chance.randrange(20, 160)) for number in range(count))


def never_aligned(count: int) -> bytes:
    """Lines of which none ends where a block of the disk does."""
    return b"y" * 32 + b"\n" + b"".join(b"%063d\n" % number for number in range(count))


def without_blanks(content: bytes) -> bytes:
    """The lines that hold something: a cut may leave an empty one behind."""
    return b"".join(line for line in content.splitlines(keepends=True) if line.strip())


def write_log(path: Path, content: bytes, *, days_old: float = 0) -> Path:
    """A log with that content, last written to so long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if days_old:
        at = time.time() - days_old * 86400
        os.utime(path, (at, at))
    return path


def unpacked(archives: Sequence[Path]) -> bytes:
    """What these archives hold, one after the other."""
    return b"".join(gzip.decompress(archive.read_bytes()) for archive in archives)


def kinds(result: Result) -> list[str]:
    """The kinds of a result's findings."""
    return [finding.kind for finding in result.findings]


def value(of: Result, family: str, /, **labels: str) -> float | None:
    """The value of one series; None where there is none."""
    found = [s.value for s in of.samples if s.family == family and dict(s.labels) == labels]
    return found[0] if found else None


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
