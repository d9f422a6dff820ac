"""Runs of the making of backups in this process: real services, and a clock that a test moves ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from exporter.store import Store
from jobs.backups.files import BackupFiles
from jobs.backups.making import backup_part
from jobs.backups.settings import BackupMaking
from jobs.clients import Clients
from jobs.core.backups import Backup, Kind
from jobs.core.model import Request
from jobs.core.settings import DockerSettings, PostgresSettings, RedisSettings, World
from jobs.databases.part import STANDARD, Part
from tests.services.agent_runs import MovableClock


class LoggingReporter:
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def progress(self, done: int, total: int, message: str) -> None:
        """Keep the message."""
        self.lines.append(message)

    def log(self, level: str, message: str) -> None:
        """Keep the line."""
        self.lines.append(f"{level}: {message}")


class BackupRuns:
    """The making of backups on one base directory. Each `run` has new clients, as a process of its own would have.

    Without `dsn` and `redis_url` there are no such services: their usual addresses are not looked at.
    """

    def __init__(
        self,
        base_dir: Path,
        *,
        dsn: str | None = None,
        redis_url: str | None = None,
        docker_url: str | None = None,
        postgres: Mapping[str, Any] | None = None,
        config_file: Path | None = None,
        **settings: Any,
    ) -> None:
        self.base_dir, self.clock, self.reporter = base_dir, MovableClock(), LoggingReporter()
        self.files, self.config_file = BackupFiles(base_dir), config_file
        self.settings: dict[str, Any] = {
            "backup_min_free_mb": 1,
            "backup_redis": redis_url is not None,
            "max_run_seconds": 600,
            **settings,
        }
        self.world = World(
            base_dir=base_dir,
            docker=DockerSettings(url=docker_url, timeout_seconds=20),
            postgres=PostgresSettings(
                dsn=SecretStr(dsn) if dsn else None, **{"connect_timeout_seconds": 20, **(postgres or {})}
            ),
            redis=RedisSettings(url=SecretStr(redis_url) if redis_url else None, timeout_seconds=20),
        )

    def run(self, mode: str = STANDARD, *, dry_run: bool = False, **changes: Any) -> Part:
        """One run, with `changes` to the settings."""
        request = Request(task="database-maintenance", mode=mode, dry_run=dry_run)
        return backup_part(BackupMaking(**{**self.settings, **changes}), self.clients(), request)

    def clients(self) -> Clients:
        """New clients."""
        return Clients(self.world, self.clock, self.reporter, self._no_store, self._no_store, self.config_file)

    def backups(self, kind: Kind = Kind.DATABASE) -> Sequence[Backup]:
        """What is there now, newest first."""
        return self.files.list(kind)

    def names(self, kind: Kind = Kind.DATABASE) -> list[str]:
        """Everything in the directory of a kind, hidden files too."""
        directory = self.files.of(kind)
        return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []

    def _no_store(self) -> Store:
        raise AssertionError("the backups need no store")


def value(part: Part, family: str, /, **labels: str) -> float | None:
    """The value of one series of a part; None where there is none."""
    found = [s.value for s in (*part.samples, *part.lasting) if s.family == family and dict(s.labels) == labels]
    return found[0] if found else None
