"""A replica of a private PostgreSQL server, streaming from it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.services.postgres import PostgresServer
from tests.services.process import plain_environment
from tests.services.wait import wait_for

_BETWEEN_WRITES_SECONDS = 0.5


class PostgresStandby(PostgresServer):
    """A hot standby of `primary`, with the primary's databases, user and password."""

    def __init__(self, primary: PostgresServer, **settings: object) -> None:
        self._primary = primary
        super().__init__(**settings)

    def create_database(self, name: str) -> None:
        """Nothing: a standby has its primary's databases."""

    def _create_cluster(self) -> None:
        self.password = self._primary.password
        made = subprocess.run(
            [
                self._primary.program("pg_basebackup"),
                f"--dbname={self._primary.dsn_of('postgres')}",
                f"--pgdata={self.data_dir}",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
            ],
            env=plain_environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        if made.returncode != 0:
            raise RuntimeError(f"pg_basebackup ended with {made.returncode}:\n{made.stdout}{made.stderr}")
        if self._system_user:
            subprocess.run(["chown", "-R", f"{self._system_user}:", str(self.directory)], check=True)


@contextmanager
def busy(primary: PostgresServer) -> Iterator[None]:
    """Have a primary write all the time: how late its replicas are is told only for as long as they replay something.

    It begins when that is told (`replay_lag` of pg_stat_replication is NULL some seconds after the last write).
    """
    over = threading.Event()

    def write() -> None:
        with closing(primary.connect()) as connection, connection.cursor() as cursor:
            while not over.wait(_BETWEEN_WRITES_SECONDS):
                cursor.execute("SELECT pg_logical_emit_message(true, 'test', 'x')")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        told = "SELECT 1 FROM pg_stat_replication WHERE replay_lag IS NOT NULL"
        wait_for(lambda: primary.execute(told), 60, "the lag of the replica is told")
        yield
    finally:
        over.set()
        writer.join()
