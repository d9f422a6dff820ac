"""Runs of the log rotation in this process: a base directory, a real store, and a clock that a test moves ahead."""

from __future__ import annotations

import gzip
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exporter.store import Store
from jobs.clients import Clients
from jobs.core.model import Request, Result
from jobs.core.settings import DockerSettings, World
from jobs.log_rotation import JOB, Settings
from tests.services.agent_runs import MovableClock, QuietReporter

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


def lines(count: int, seed: int = 1) -> bytes:
    """Numbered lines of different lengths."""
    chance = random.Random(seed)
    return b"".join(b"%09d %s\n" % (number, b"x" * chance.randrange(20, 160)) for number in range(count))


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
