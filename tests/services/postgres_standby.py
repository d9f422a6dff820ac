"""A replica of a private PostgreSQL server, streaming from it."""

from __future__ import annotations

import subprocess

from tests.services.postgres import PostgresServer
from tests.services.process import plain_environment


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
