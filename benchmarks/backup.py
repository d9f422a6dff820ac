"""Backups of a database beside `pg_dump | gzip` and `pg_dump -Fc`; ours with sha256, row counts and fsync."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.harness import Figure, Gap, Row, in_turns, ratio_at_most
from tests.services.backup_runs import BackupRuns
from tests.services.postgres import PostgresServer
from tests.services.process import plain_environment

DATABASE_MIB = 500
_TABLES = 8
_ROWS_PER_MIB = 5_650
"""Rows of the table below that make up 1 MiB, its index included."""
_TABLE = """
CREATE TABLE orders_{number} (
  id bigint PRIMARY KEY, customer int, at timestamptz, status text, amount numeric(10, 2), token text, note text);
INSERT INTO orders_{number}
SELECT i, i * 37 % 100003, '2026-01-01'::timestamptz + i * interval '7 seconds',
       (ARRAY['new', 'paid', 'shipped', 'returned'])[1 + i % 4], i * 7 % 100000 / 100.0, md5(i::text),
       'customer ' || i % 997 || ' asked for delivery before noon at door ' || i * 31 % 613
  FROM generate_series(1, {rows}) i
"""


def measure(runs: int) -> Iterator[Figure | Gap]:
    """Both sides write to the same file system; the server does not sync, so that neither waits for it."""
    with (
        closing(PostgresServer(shared_buffers="128MB", max_wal_size="4GB")) as server,
        tempfile.TemporaryDirectory(prefix="sutazai-bench-") as directory,
    ):
        for number in range(_TABLES):
            server.execute(_TABLE.format(number=number, rows=DATABASE_MIB * _ROWS_PER_MIB // _TABLES))
        server.execute("VACUUM ANALYZE")
        [(size,)] = server.execute("SELECT pg_database_size(current_database())")
        sql, custom = _ours(server, Path(directory), "sql"), _ours(server, Path(directory), "custom")
        piped = _peer(server, Path(directory), "--format=plain | gzip")
        own = _peer(server, Path(directory), "--format=custom")
        times = in_turns({"sql": sql, "piped": piped, "custom": custom, "own": own}, runs)
    what = f"of a database of {size >> 20} MiB"
    yield Figure(f".sql.gz {what}", "s", times["sql"], times["piped"], "pg_dump | gzip", ratio_at_most(1 / 2))
    yield Figure(f"custom format {what}", "s", times["custom"], times["own"], "pg_dump -Fc")


def _ours(server: PostgresServer, directory: Path, form: str) -> Callable[[], float]:
    made = BackupRuns(directory / form, dsn=server.dsn, postgres={"databases": (server.database,)}, backup_format=form)

    def measured() -> float:
        began = time.perf_counter()
        part = made.run()
        seconds = time.perf_counter() - began
        if part.failed:
            raise RuntimeError(part.findings[0].message)
        for backup in made.backups():
            made.files.remove(backup)
        return seconds

    return measured


def _peer(server: PostgresServer, directory: Path, rest: str) -> Callable[[], float]:
    where = f"--host={server.host} --port={server.port} --username={server.user} --dbname={server.database}"
    file = directory / "peer"
    command = ["bash", "-c", f"set -o pipefail; {server.program('pg_dump')} {where} {rest} > {file}"]

    def measured() -> float:
        began = time.perf_counter()
        subprocess.run(command, env=plain_environment(PGPASSWORD=server.password), check=True)
        seconds = time.perf_counter() - began
        file.unlink()
        return seconds

    return measured


ROW = Row("backup", "a database dumped, compressed and described in one pass", measure, runs=3)
