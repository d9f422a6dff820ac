"""Backups of real servers: they hold what the manifest says, fail alone, and go when they are old."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.core.backups import Format, Kind, Manifest, Proof, Verified
from jobs.core.model import Severity
from jobs.core.rdb import RdbCheck
from jobs.databases.part import STATISTICS
from tests.services.backup_runs import SCHEMA, BackupRuns, ConfigRuns, config_runs, databases, restored, value
from tests.services.postgres import PostgresServer
from tests.services.postgres_standby import PostgresStandby
from tests.services.redis import RedisServer
from tests.services.trees import tree_digest
from tests.services.wait import wait_for

FORMATS = {"custom": Format.CUSTOM_DUMP, "sql": Format.SQL}


@pytest.fixture(params=["postgres_server", "newest_postgres_server"])
def server(request: pytest.FixtureRequest) -> PostgresServer:
    found: PostgresServer = request.getfixturevalue(request.param)
    return found


def runs_of(base: Path, server: PostgresServer, *names: str, **settings: object) -> BackupRuns:
    programs = Path(server.program("pg_dump")).parent
    return BackupRuns(base, dsn=server.dsn, postgres={"databases": names or None, "programs": (programs,)}, **settings)


def programs_in(directory: Path, name: str, script: str) -> Path:
    """A directory with a program of that name that does what the script says."""
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)
    return directory


# --- what is in a backup ---


@pytest.mark.parametrize("form", FORMATS)
def test_a_backup_restores_to_what_its_manifest_says(tmp_path: Path, server: PostgresServer, form: str) -> None:
    with databases(server, "made"):
        server.execute(SCHEMA, database="made")
        runs = runs_of(tmp_path, server, "made", backup_format=form)
        part = runs.run()
        assert (part.failed, part.findings) == (False, ())
        (backup,) = runs.backups()
        assert backup.manifest is not None
        manifest = backup.manifest
        content = backup.path.read_bytes()
        assert (manifest.format, manifest.source, manifest.database) == (FORMATS[form], "main/made", "made")
        assert (manifest.bytes, manifest.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert manifest.tool.startswith("pg_dump (PostgreSQL) ")
        assert manifest.server_version.split(".")[0] == str(server.execute("SHOW server_version")[0][0]).split(".")[0]
        assert manifest.row_counts == {'"public"."people"': 2000, '"public"."odd ""table"";--"': 700}
        found = restored(server, backup, "made_again")
        assert (found.schema_fingerprint, found.row_counts) == (manifest.schema_fingerprint, manifest.row_counts)
    assert {path.stat().st_mode & 0o777 for path in backup.path.parent.iterdir()} == {0o600}
    assert runs.names() == [backup.path.name, f"{backup.path.name}.manifest.json"]


def test_the_guides_name_is_kept_for_the_database_of_the_dsn(tmp_path: Path, postgres_server: PostgresServer) -> None:
    runs = runs_of(tmp_path, postgres_server, postgres_server.database, "postgres", backup_format="sql")
    runs.run()
    first, second = sorted(backup.path.name for backup in runs.backups())
    assert first.startswith("postgres@main_backup_")
    assert datetime.strptime(second, "sutazai_backup_%Y%m%d_%H%M%S.sql.gz").astimezone()


def test_the_rows_are_counted_in_the_snapshot_that_is_dumped(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """While somebody inserts without end, dump and count still agree."""
    server, stop = postgres_server, threading.Event()

    def insert() -> None:
        with closing(server.connect("busy")) as connection, connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("INSERT INTO busy SELECT generate_series(1, 10)")

    with databases(server, "busy"):
        server.execute("CREATE TABLE busy (id int)", database="busy")
        writer = threading.Thread(target=insert)
        writer.start()
        try:
            wait_for(lambda: server.execute("SELECT count(*) > 500 FROM busy", database="busy")[0][0], 20, "rows")
            runs = runs_of(tmp_path, server, "busy")
            for _ in range(3):
                assert not runs.run().failed
        finally:
            stop.set()
            writer.join()
        for backup in runs.backups():
            assert backup.manifest is not None
            assert restored(server, backup, "busy_again").row_counts == backup.manifest.row_counts


def test_a_standby_is_backed_up_like_any_other(tmp_path: Path, postgres_factory: Callable[..., PostgresServer]) -> None:
    primary = postgres_factory()
    primary.execute(SCHEMA)
    standby = PostgresStandby(primary)
    try:
        runs = runs_of(tmp_path, standby, standby.database)
        part = runs.run()
    finally:
        standby.close()
    assert part.findings == ()
    (backup,) = runs.backups()
    assert backup.manifest is not None
    assert restored(primary, backup, "standby_again").row_counts == backup.manifest.row_counts


def test_two_connections_are_enough(tmp_path: Path, postgres_server: PostgresServer) -> None:
    server = postgres_server
    server.execute("CREATE ROLE narrow LOGIN SUPERUSER PASSWORD 'narrow'")
    with databases(server, "wide"):
        server.execute(SCHEMA, database="wide")
        seen: list[int] = []
        stop = threading.Event()

        def count() -> None:
            with closing(server.connect()) as connection, connection.cursor() as cursor:
                while not stop.is_set():
                    cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'narrow'")
                    seen.append((cursor.fetchone() or (0,))[0])

        counter = threading.Thread(target=count)
        counter.start()
        try:
            dsn = f"postgresql://narrow:narrow@{server.host}:{server.port}/wide"
            part = BackupRuns(tmp_path, dsn=dsn, postgres={"databases": ("wide",)}).run()
        finally:
            stop.set()
            counter.join()
            server.execute("DROP ROLE narrow")
    assert not part.failed
    assert max(seen) == 2


def test_a_backup_of_redis_is_a_whole_rdb_file(tmp_path: Path, redis_factory: type[RedisServer]) -> None:
    server = redis_factory(repl_diskless_sync_delay=0)
    with server.client() as client:
        for number in range(500):
            client.set(f"key-{number}", "x" * 100)
    runs = BackupRuns(tmp_path, redis_url=server.url)
    part = runs.run()
    assert not part.failed
    (backup,) = runs.backups(Kind.REDIS)
    assert backup.manifest is not None
    check = RdbCheck()
    check.feed(backup.path.read_bytes())
    assert check.finish().keys == backup.manifest.keys == 500
    assert backup.path.name.startswith("redis_backup_")
    assert backup.path.stat().st_mode & 0o777 == 0o600


def test_configuration_and_certificates_are_archived(tmp_path: Path) -> None:
    base, elsewhere = tmp_path / "base", tmp_path / "etc" / "exporter.yml"
    for path in (base / "config" / "a.yml", base / "ssl" / "cert.pem", elsewhere, tmp_path / "more" / "b.conf"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(path))
    runs = BackupRuns(base, config_file=elsewhere, backup_config_paths=(tmp_path / "more",))
    part = runs.run()
    assert not part.failed
    (config,), (certificates,) = runs.backups(Kind.CONFIG), runs.backups(Kind.CERTIFICATES)
    assert config.manifest is not None
    assert certificates.manifest is not None
    assert set(config.manifest.members) == {"config/a.yml", f"root{elsewhere}", f"root{tmp_path}/more/b.conf"}
    assert set(certificates.manifest.members) == {"ssl/cert.pem"}


def test_where_there_is_nothing_to_back_up_it_is_absent(tmp_path: Path) -> None:
    part = ConfigRuns(tmp_path / "base").run()
    assert (part.absent, part.failed, part.findings) == (True, False, ())
    assert BackupRuns(tmp_path / "base", backup_enabled=False).run().absent
    assert not (tmp_path / "base").exists()


# --- what fails, fails alone ---


def test_a_dead_redis_does_not_keep_the_databases_from_their_backup(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    name = postgres_server.database
    runs = BackupRuns(
        tmp_path, dsn=postgres_server.dsn, redis_url="redis://127.0.0.1:1/0", postgres={"databases": (name,)}
    )
    part = runs.run()
    assert len(runs.backups()) == 1
    (finding,) = part.findings
    assert (finding.kind, finding.subject, finding.severity) == ("backup_failed", "backup/redis", Severity.HIGH)
    assert part.failed
    assert value(part, "sutazai_backup_failed", kind="redis", source="redis") == 1
    assert value(part, "sutazai_backup_failed", kind="database", source=f"main/{name}") == 0
    assert value(part, "sutazai_backups_made_total", kind="redis", result="failed") == 1
    assert runs.names(Kind.REDIS) == []


def test_a_missing_database_is_a_failure_and_the_others_are_backed_up(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    runs = runs_of(tmp_path, postgres_server, "no-such-database", postgres_server.database)
    part = runs.run()
    (finding,) = part.findings
    assert finding.subject == "backup/main/no-such-database"
    assert 'database "no-such-database" does not exist' in finding.message
    assert [backup.source for backup in runs.backups()] == [f"main/{postgres_server.database}"]
    assert [one["source"] for one in part.report["made"]] == [f"main/{postgres_server.database}"]
    assert [one["source"] for one in part.report["failed"]] == ["main/no-such-database"]


def test_a_server_that_is_gone_publishes_nothing_and_what_was_there_stays(
    tmp_path: Path, postgres_factory: type[PostgresServer]
) -> None:
    server = postgres_factory()
    runs = runs_of(tmp_path, server)
    assert not runs.run().failed
    before = tree_digest(runs.files.directory)
    made_at = value(runs.run(dry_run=True), "sutazai_backups", kind="database")
    server.stop()
    part = runs.run()
    assert part.failed
    assert [finding.subject for finding in part.findings] == ["backup/main"]
    assert "connection" in part.findings[0].message.lower()
    assert tree_digest(runs.files.directory) == before
    assert value(part, "sutazai_backups", kind="database") == made_at == 2


def test_a_server_that_does_not_answer_is_given_up_within_its_time_and_the_others_are_backed_up(
    tmp_path: Path, postgres_server: PostgresServer, postgres_factory: Callable[..., PostgresServer]
) -> None:
    paused = postgres_factory()
    other = {"name": "other", "dsn": postgres_server.dsn, "databases": (postgres_server.database,)}
    postgres = {"databases": (paused.database,), "connect_timeout_seconds": 2, "servers": (other,)}
    runs = BackupRuns(tmp_path, dsn=paused.dsn, postgres=postgres)
    paused.pause()
    try:
        part = runs.run()
    finally:
        paused.resume()
    assert "no answer within 2 s" in part.findings[0].message
    assert [backup.source for backup in runs.backups()] == [f"other/{postgres_server.database}"]
    assert runs.backups()[0].path.name.startswith(f"{postgres_server.database}@other_backup_")


def test_what_the_role_may_not_see_whole_is_not_dumped_in_part(tmp_path: Path, postgres_server: PostgresServer) -> None:
    server = postgres_server
    with databases(server, "guarded"):
        server.execute(SCHEMA + "ALTER TABLE people ENABLE ROW LEVEL SECURITY;", database="guarded")
        server.execute("CREATE ROLE reader LOGIN PASSWORD 'reader'")
        server.execute("GRANT pg_read_all_data TO reader")
        try:
            dsn = f"postgresql://reader:reader@{server.host}:{server.port}/guarded"
            runs = BackupRuns(tmp_path, dsn=dsn, postgres={"databases": ("guarded",)})
            part = runs.run()
        finally:
            server.execute("DROP OWNED BY reader", database="guarded")
            server.execute("DROP ROLE reader")
    assert "row-level security" in part.findings[0].message
    assert runs.names() == []


def test_a_table_that_somebody_has_locked_fails_its_database_alone(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    server = postgres_server
    with databases(server, "locked"):
        server.execute(SCHEMA, database="locked")
        holder = server.connect("locked")
        try:
            with holder.cursor() as cursor:
                cursor.execute("BEGIN; LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
            runs = runs_of(tmp_path, server, "locked", server.database, backup_lock_timeout_seconds=0.5)
            part = runs.run()
        finally:
            holder.close()
    (finding,) = part.findings
    assert finding.subject == "backup/main/locked"
    assert "pg_dump ended with 1: somebody has locked a table for longer than 0.5 s" in finding.message
    assert [backup.source for backup in runs.backups()] == [f"main/{server.database}"]


def test_a_dump_past_its_time_is_ended_and_leaves_no_backend(tmp_path: Path, postgres_server: PostgresServer) -> None:
    server = postgres_server
    with databases(server, "slow"):
        server.execute(SCHEMA, database="slow")
        holder = server.connect("slow")
        try:
            with holder.cursor() as cursor:
                cursor.execute("BEGIN; LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
            part = runs_of(tmp_path, server, "slow", backup_timeout_seconds=1.0).run()
        finally:
            holder.close()
        assert "not done after 1 s" in part.findings[0].message or "within 1 s" in part.findings[0].message
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'slow' AND pid <> pg_backend_pid()"
        wait_for(lambda: server.execute(others, database="slow") == [(0,)], 20, "nobody is connected any more")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('printf "PGDMP but no more"', "no whole dump"),
        ("true", "no whole dump"),
        ("echo 'pg_dump: error: something broke' >&2; exit 1", "pg_dump ended with 1: pg_dump: error: something broke"),
        ("kill -9 $$", "was ended by signal 9"),
    ],
)
@pytest.mark.parametrize("form", FORMATS)
def test_a_program_that_does_not_give_a_whole_dump_publishes_nothing(
    tmp_path: Path, postgres_server: PostgresServer, script: str, reason: str, form: str
) -> None:
    """The script stands for a pg_dump that fails in ways that a real one can hardly be made to."""
    say = 'if [ "$1" = --version ]; then echo "pg_dump (PostgreSQL) 15.18"; exit; fi'
    programs = programs_in(tmp_path / "programs", "pg_dump", f"{say}\n{script}")
    postgres = {"databases": (postgres_server.database,), "programs": (programs,)}
    runs = BackupRuns(tmp_path / "base", dsn=postgres_server.dsn, postgres=postgres, backup_format=form)
    part = runs.run()
    assert reason in part.findings[0].message
    assert runs.names() == []


# --- the plan ---


def test_a_dry_run_tells_exactly_what_a_run_then_does_and_touches_nothing(
    tmp_path: Path, postgres_server: PostgresServer, redis_factory: type[RedisServer]
) -> None:
    started = tmp_path / "started"
    programs = programs_in(tmp_path / "programs", "pg_dump", f"touch {started}; exit 1")
    base = tmp_path / "base"
    (base / "config").mkdir(parents=True)
    (base / "config" / "a.yml").write_text("a")
    runs = BackupRuns(
        base,
        dsn=postgres_server.dsn,
        redis_url=redis_factory(repl_diskless_sync_delay=0).url,
        postgres={"databases": (postgres_server.database, "postgres"), "programs": (programs,)},
    )
    for age in (50, 40, 31):
        old_backup(runs, age)
    (runs.files.of(Kind.DATABASE) / ".x.dump.0123456789abcdef.tmp").write_text("left")
    before = tree_digest(tmp_path)
    planned = runs.run(dry_run=True)
    assert tree_digest(tmp_path) == before
    assert not started.exists()
    assert not any(action.done for action in planned.actions)
    assert planned.lasting == ()
    (programs / "pg_dump").unlink()
    done = runs.run()
    assert all(action.done for action in done.actions)
    plain = [[(a.verb, a.subject, _undated(a.detail)) for a in part.actions] for part in (planned, done)]
    assert plain[0] == plain[1]
    assert {verb for verb, _, _ in plain[0]} == {"back up", "remove"}
    assert sum(verb == "remove" for verb, _, _ in plain[0]) == 4


def _undated(detail: str) -> str:
    return "".join(character for character in detail if not character.isdigit())


def old_backup(runs: BackupRuns, age_days: float, source: str = "main/sutazai", **fields: object) -> Path:
    """A backup of earlier days."""
    created = runs.clock.now() - timedelta(days=age_days)
    path = runs.files.new_path(Kind.DATABASE, "sutazai_backup", created, Format.CUSTOM_DUMP)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"old")
    manifest = Manifest(
        kind=Kind.DATABASE,
        format=Format.CUSTOM_DUMP,
        file=path.name,
        source=source,
        created=created,
        bytes=3,
        sha256=hashlib.sha256(b"old").hexdigest(),
    )
    runs.files.write_manifest(path, manifest.model_copy(update=fields))
    return path


# --- what goes ---


def test_every_backup_that_is_too_old_goes_in_one_run(tmp_path: Path) -> None:
    runs = config_runs(tmp_path)
    old = [old_backup(runs, age) for age in range(31, 41)]
    kept = [old_backup(runs, age) for age in (1, 29.9)]
    part = runs.run()
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in kept)
    assert value(part, "sutazai_backups_removed_total", kind="database") == 10
    assert [a.done for a in part.actions if a.verb == "remove"] == [True] * 10
    assert sum("removing" in line and "older than 30 days" in line for line in runs.reporter.lines) == 10


def test_the_newest_and_the_newest_that_was_restored_are_never_removed(tmp_path: Path) -> None:
    runs = config_runs(tmp_path)
    paths = {age: old_backup(runs, age) for age in (40, 50, 60, 70)}
    sha256 = hashlib.sha256(b"old").hexdigest()
    proof = Verified(sha256=sha256, at=runs.clock.now(), proof=Proof.RESTORED, seconds=1)
    runs.files.write_verified(paths[60], proof)
    lonely = old_backup(runs, 90, source="other/database")
    runs.run()
    assert [age for age, path in paths.items() if path.exists()] == [40, 60]
    assert lonely.exists()


def test_a_backup_that_cannot_be_removed_is_a_finding_and_stops_nothing(tmp_path: Path) -> None:
    runs = config_runs(tmp_path)
    paths = [old_backup(runs, age) for age in (50, 40, 35)]
    old_backup(runs, 1)
    subprocess.run(["chattr", "+i", str(paths[1])], check=True)
    try:
        part = runs.run()
    finally:
        subprocess.run(["chattr", "-i", str(paths[1])], check=True)
    assert [path.exists() for path in paths] == [False, True, False]
    (finding,) = part.findings
    assert (finding.kind, finding.subject) == ("backup_not_removed", f"backups/database/{paths[1].name}")
    assert "Operation not permitted" in finding.message
    assert value(part, "sutazai_backups_removed_total", kind="database") == 2
    assert len(runs.backups(Kind.CONFIG)) == 1


def test_nothing_is_removed_by_a_clock_that_was_set(tmp_path: Path) -> None:
    """Fault 31."""
    runs = config_runs(tmp_path)
    runs.run()
    old = old_backup(runs, 20)
    old_backup(runs, 0)
    runs.clock.advance(86400 * 15)
    assert [finding.kind for finding in runs.run(dry_run=True).findings] == ["clock_set"]
    part = runs.run()
    assert [finding.kind for finding in part.findings] == ["clock_set"]
    assert "no backup is removed" in part.findings[0].message
    assert old.exists()
    assert runs.run().findings == ()
    assert not old.exists()


def test_what_is_kept_for_how_long_can_be_told(tmp_path: Path) -> None:
    runs = config_runs(tmp_path, backup_retention_days=3)
    old = old_backup(runs, 4)
    old_backup(runs, 1)
    runs.run()
    assert not old.exists()


# --- figures ---


def test_statistics_count_what_is_there_and_change_nothing(tmp_path: Path) -> None:
    runs = config_runs(tmp_path)
    runs.run()
    old_backup(runs, 50)
    old_backup(runs, 40)
    before = tree_digest(tmp_path)
    part = runs.run(STATISTICS)
    assert tree_digest(tmp_path) == before
    assert (part.lasting, part.actions, part.findings) == ((), (), ())
    assert value(part, "sutazai_backups", kind="database") == 2
    assert value(part, "sutazai_backups", kind="config") == 1
    assert value(part, "sutazai_backups", kind="redis") == 0
    assert value(part, "sutazai_backups_stored_bytes", kind="database") == 6
    free = os.statvfs(tmp_path)
    found = value(part, "sutazai_backup_storage_free_bytes")
    assert found is not None
    assert abs(found - free.f_bavail * free.f_frsize) < 1 << 30


def test_the_figures_of_a_source_are_measured_and_outlive_a_failure(tmp_path: Path) -> None:
    runs = config_runs(tmp_path, backup_max_archive_mb=1)
    first = runs.run()
    labels = {"kind": "config", "source": "config"}
    made_at = value(first, "sutazai_backup_last_success_timestamp_seconds", **labels)
    (backup,) = runs.backups(Kind.CONFIG)
    assert made_at == backup.created.timestamp()
    assert value(first, "sutazai_backup_bytes", **labels) == backup.path.stat().st_size
    assert value(first, "sutazai_backup_failed", **labels) == 0
    assert (value(first, "sutazai_backup_duration_seconds", **labels) or 0) > 0
    (tmp_path / "config" / "large").write_bytes(secrets.token_bytes(2 << 20))
    second = runs.run()
    assert second.failed
    assert value(second, "sutazai_backup_failed", **labels) == 1
    assert value(second, "sutazai_backup_last_success_timestamp_seconds", **labels) == made_at
    assert value(second, "sutazai_backup_bytes", **labels) == backup.path.stat().st_size
    assert value(second, "sutazai_backup_duration_seconds", **labels) is None


def test_how_far_it_is_is_told(tmp_path: Path) -> None:
    runs = config_runs(tmp_path)
    (tmp_path / "ssl").mkdir()
    (tmp_path / "ssl" / "cert.pem").write_text("x")
    runs.run()
    assert [line for line in runs.reporter.lines if line.startswith("backup of")] == [
        "backup of config",
        "backup of certificates",
    ]
    assert any(re.fullmatch(r"info: backed up config: .*\(\d+ bytes, \d\.\d s\)", line) for line in runs.reporter.lines)


def test_a_clock_that_cannot_be_remembered_is_a_finding_and_the_backup_counts(tmp_path: Path) -> None:
    runs = config_runs(tmp_path)
    (tmp_path / "data").write_text("in the way")
    part = runs.run()
    assert [finding.kind for finding in part.findings] == ["state_not_saved"]
    assert len(runs.backups(Kind.CONFIG)) == 1


def test_a_run_without_time_left_fails_what_it_cannot_begin(tmp_path: Path) -> None:
    part = config_runs(tmp_path, max_run_seconds=30).run()
    assert "no time left" in part.findings[0].message
    assert part.failed
