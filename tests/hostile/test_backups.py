"""Names of databases are names, whatever they look like; and a password is nowhere but where it must be."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from tests.services.backup_runs import BackupRuns
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer

NAMES = (
    "host=198.51.100.1 dbname=elsewhere",
    "--file=x",
    "-fx",
    "a b;$(touch made)",
    "`touch made`",
    "../../../outside",
    "postgresql://198.51.100.1/x",
    'quote\'d "twice" \\back',
    "two\nlines\x1b[31m",
    "ä" * 31,
    "%s%n{0}",
)


@contextmanager
def databases(server: PostgresServer) -> Iterator[None]:
    for place, name in enumerate(NAMES):
        server.create_database(name)
        execute(server, name, f"CREATE TABLE marker_{place} AS SELECT generate_series(1, {place + 1})")
    try:
        yield
    finally:
        for name in NAMES:
            quoted = name.replace('"', '""')
            server.execute(f'DROP DATABASE "{quoted}" WITH (FORCE)', database="postgres")


def execute(server: PostgresServer, database: str, sql: str) -> None:
    """Run a statement there; the fixture's own way puts the name into a URL."""
    where = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
    opened = psycopg2.connect(dbname=database, **where)
    try:
        opened.autocommit = True
        opened.cursor().execute(sql)
    finally:
        opened.close()


def test_each_database_is_backed_up_as_itself_whatever_it_is_called(
    tmp_path: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, base = tmp_path / "work", tmp_path / "base" / "deep" / "enough"
    work.mkdir()
    monkeypatch.chdir(work)
    with databases(postgres_server):
        runs = BackupRuns(base, dsn=postgres_server.dsn)
        part = runs.run()
    assert part.findings == ()
    found = {b.manifest.database: b.manifest.row_counts for b in runs.backups() if b.manifest}
    for place, name in enumerate(NAMES):
        shown = name.replace("\x1b", "\ufffd")
        assert found[shown] == {f'"public"."marker_{place}"': place + 1}, name
    assert list(work.iterdir()) == []
    outside = [path for path in tmp_path.rglob("*") if not path.is_relative_to(base) and path not in base.parents]
    assert outside == [work]
    texts = [*runs.reporter.lines, *(action.subject for action in part.actions)]
    texts += [label for sample in (*part.samples, *part.lasting) for label in sample.labels.values()]
    assert all(text.isprintable() for text in texts)


class Watch:
    """Looks at every process's arguments and environment, over and over, and keeps where it saw a secret."""

    def __init__(self, *secrets: str) -> None:
        self._secrets = [secret.encode() for secret in secrets]
        self.seen: set[str] = set()
        self.programs: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                for file in ("cmdline", "environ"):
                    self._look(process, file)

    def _look(self, process: Path, file: str) -> None:
        try:
            content = (process / file).read_bytes()
            name = (process / "comm").read_text().strip()
        except OSError:
            return
        self.programs.add(name)
        if any(secret in content for secret in self._secrets):
            self.seen.add(f"{file} of {name}")


def test_a_password_is_in_no_argument_environment_log_report_or_metric(
    tmp_path: Path,
    postgres_server: PostgresServer,
    redis_server: RedisServer,
    run_cli: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    server = postgres_server
    server.create_database("canary")
    server.execute("CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 200000) i", database="canary")
    try:
        config = {
            "postgres": {"dsn": server.dsn_of("canary"), "databases": ["canary", "no-such-database"]},
            "redis": {"url": redis_server.url},
            "textfile": {"directory": str(tmp_path / "textfile")},
            "jobs": {"database_maintenance": {"backup_min_free_mb": 1}},
        }
        (tmp_path / "textfile").mkdir()
        with Watch(server.password, str(redis_server.password)) as watch:
            done = run_cli("run", "database-maintenance", "--json", config=config)
    finally:
        server.execute('DROP DATABASE "canary" WITH (FORCE)', database="postgres")
    assert done.returncode == 2, done.stderr
    assert "pg_dump" in watch.programs
    assert watch.seen == set()
    findings = {finding["subject"] for finding in json.loads(done.stdout)["result"]["findings"]}
    assert "backup/main/no-such-database" in findings
    assert "backup/main/canary" not in findings
    base = tmp_path / "base"
    names = sorted(path.name for path in (base / "backups").rglob("*") if path.is_file())
    assert sum(name.endswith(".dump") for name in names) == 1
    assert sum(name.endswith(".rdb") for name in names) == 1
    assert sum(name.endswith(".tar.gz") for name in names) == 1
    written = [path for path in [*base.rglob("*"), *(tmp_path / "textfile").rglob("*")] if path.is_file()]
    for secret in (server.password, str(redis_server.password)):
        assert secret not in done.stdout + done.stderr
        assert [path.name for path in written if secret.encode() in path.read_bytes()] == []
    # The configuration file is in its backup, packed, which nobody else may read.
    assert {path.stat().st_mode & 0o777 for path in (base / "backups").rglob("*") if path.is_file()} == {0o600}
