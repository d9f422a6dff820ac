"""Runs of the making of backups in this process: real services, and a clock that a test moves ahead."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from exporter.store import Store
from jobs.backups.files import BackupFiles
from jobs.backups.making import backup_part
from jobs.backups.settings import BackupMaking
from jobs.clients import Clients
from jobs.clients.postgres import Postgres
from jobs.clients.postgres_content import Content, read_content
from jobs.core.backups import Backup, Format, Kind
from jobs.core.model import Request
from jobs.core.settings import DockerSettings, PostgresSettings, RedisSettings, World
from jobs.databases.part import STANDARD, Part
from tests.services.agent_runs import MovableClock
from tests.services.postgres import PostgresServer
from tests.services.process import plain_environment
from tests.services.reporters import KeepingReporter

SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE "odd ""table"";--" (person int REFERENCES people, amount numeric CHECK (amount > 0));
CREATE INDEX ON people (lower(name));
CREATE VIEW rich AS SELECT name FROM people JOIN "odd ""table"";--" ON person = id WHERE amount > 100;
INSERT INTO people SELECT i, 'name ' || i FROM generate_series(1, 2000) i;
INSERT INTO "odd ""table"";--" SELECT i, i FROM generate_series(1, 700) i;
"""
"""A schema with names that need quoting, and 2000 and 700 rows."""


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
        self.base_dir, self.clock, self.reporter = base_dir, MovableClock(), KeepingReporter()
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


class ConfigRuns(BackupRuns):
    """Runs without any server."""

    def clients(self) -> Clients:
        """New clients that know of no server, wherever one may be."""
        clients = super().clients()
        clients.__dict__["postgres_servers"] = ()
        return clients


def config_runs(base: Path, **settings: Any) -> ConfigRuns:
    """Runs that back up a small configuration and nothing else."""
    (base / "config").mkdir(exist_ok=True, parents=True)
    (base / "config" / "a.yml").write_text("a: 1\n" * 1000)
    return ConfigRuns(base, **settings)


@contextmanager
def databases(server: PostgresServer, *names: str) -> Iterator[None]:
    """Databases for the time of a test."""
    for name in names:
        server.create_database(name)
    try:
        yield
    finally:
        for name in names:
            quoted = name.replace('"', '""')
            server.execute(f'DROP DATABASE IF EXISTS "{quoted}" WITH (FORCE)', database="postgres")


def restored(server: PostgresServer, backup: Backup, name: str) -> Content:
    """What a new database holds that a backup was restored into by PostgreSQL's own programs."""
    environment = plain_environment(PGPASSWORD=server.password)
    where = ["-h", server.host, "-p", str(server.port), "-U", server.user, "-d", name]
    with databases(server, name):
        if backup.path.name.endswith(Format.SQL):
            load, text = [server.program("psql"), *where, "-q", "-v", "ON_ERROR_STOP=1"], backup.path.read_bytes()
            subprocess.run(load, env=environment, input=gzip.decompress(text), capture_output=True, check=True)
        else:
            load = [server.program("pg_restore"), *where, "--exit-on-error", "-j2", str(backup.path)]
            subprocess.run(load, env=environment, capture_output=True, check=True)
        with Postgres(PostgresSettings(dsn=SecretStr(server.dsn))).session(name) as session:
            return read_content(session, timeout_seconds=60)
