"""What the database maintenance does to a real PostgreSQL, and what it leaves alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.services.maintenance import DIRTY, Maintenance, done, figures, kinds, postgres_of
from tests.services.postgres import PostgresServer
from tests.services.trees import tree_digest

BLOATED = """
CREATE TABLE big (id int PRIMARY KEY, word text);
INSERT INTO big SELECT i, md5(i::text) FROM generate_series(1, 60000) i;
CREATE INDEX big_word ON big (word);
VACUUM ANALYZE big;
DELETE FROM big WHERE id % 4 <> 0;
VACUUM ANALYZE big
"""
SMALL_IS_ENOUGH = {"reindex_bloat_mb": 0.5}


@pytest.fixture(scope="module", params=["of Debian's packages", "newest"])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    newest = request.param == "newest"
    own = PostgresServer(newest=newest, shared_preload_libraries="pg_stat_statements", max_prepared_transactions=5)
    own.create_database("clean")
    own.execute("VACUUM ANALYZE", database="clean")
    yield own
    own.close()


@pytest.fixture
def database(server: PostgresServer) -> Iterator[str]:
    """An empty database, in which nothing is due."""
    name = "app"
    server.execute(f"CREATE DATABASE {name} TEMPLATE clean", database="postgres")
    yield name
    server.execute(f"DROP DATABASE {name} WITH (FORCE)", database="postgres")


@pytest.fixture
def maintenance(run_here: Callable[..., Any], tmp_path: Path) -> Maintenance:
    return Maintenance(run_here, tmp_path)


def run_all(server: PostgresServer, script: str, database: str) -> None:
    for statement in script.split(";\n"):
        server.execute(statement, database=database)


def dirty(server: PostgresServer, database: str, *names: str, rows: int = 1000) -> None:
    for name in names:
        run_all(server, DIRTY.format(name=name, rows=rows), database)


def clean(server: PostgresServer, database: str, *names: str) -> None:
    with closing(server.connect(database)) as connection, connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"CREATE TABLE {name} AS SELECT i FROM generate_series(1, 1000) i")
            # Else the server may count these rows only after the table was analyzed, as changes since then.
            cursor.execute("SELECT pg_stat_force_next_flush()")
            cursor.execute(f"VACUUM ANALYZE {name}")


def dead_rows(server: PostgresServer, database: str, name: str) -> int:
    [(count,)] = server.execute(
        "SELECT n_dead_tup FROM pg_stat_all_tables WHERE relid = %s::regclass", [name], database=database
    )
    return int(count)


def index_bytes(server: PostgresServer, database: str, name: str) -> int:
    [(size,)] = server.execute("SELECT pg_relation_size(%s)", [name], database=database)
    return int(size)


def test_dirty_tables_are_cleaned_and_clean_ones_left(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    dirty(server, database, "dirty_a", "dirty_b")
    clean(server, database, "clean_a")
    result = maintenance(postgres_of(server, database), code=0)
    assert done(result) == {("vacuum", "public.dirty_a"), ("vacuum", "public.dirty_b")}
    assert all(action["done"] for action in result["actions"])
    assert dead_rows(server, database, "dirty_a") == dead_rows(server, database, "dirty_b") == 0
    counts = server.execute(
        "SELECT relname, vacuum_count, analyze_count FROM pg_stat_user_tables ORDER BY 1", database=database
    )
    assert counts == [("clean_a", 1, 1), ("dirty_a", 1, 1), ("dirty_b", 1, 1)]


def test_stale_statistics_alone_are_only_analyzed(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    clean(server, database, "grown")
    server.execute("INSERT INTO grown SELECT 1 FROM generate_series(1, 500)", database=database)
    result = maintenance(postgres_of(server, database), code=0)
    assert done(result) == {("analyze", "public.grown")}


def test_full_does_every_table(server: PostgresServer, database: str, maintenance: Maintenance) -> None:
    clean(server, database, "clean_a", "clean_b")
    assert done(maintenance(postgres_of(server, database), code=0)) == set()
    result = maintenance(postgres_of(server, database), mode="full", code=0)
    assert {("vacuum", "public.clean_a"), ("vacuum", "public.clean_b")} <= done(result)
    assert ("vacuum", "pg_catalog.pg_class") in done(result, catalogs=True)
    assert maintenance.report["full_maintenance"] is True


def test_a_bloated_index_is_rebuilt_under_a_writer_and_not_again_the_next_night(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    run_all(server, BLOATED, database)
    before = index_bytes(server, database, "big_word")
    stop, written = threading.Event(), []

    def write() -> None:
        with closing(server.connect(database)) as own, own.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("INSERT INTO big VALUES (%s, 'new')", [100_000 + len(written)])
                written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        result = maintenance(postgres_of(server, database), settings=SMALL_IS_ENOUGH, code=0)
    finally:
        stop.set()
        writer.join()
    assert ("reindex", "public.big_word") in done(result)
    assert index_bytes(server, database, "big_word") < before / 2
    [(rows,)] = server.execute("SELECT count(*) FROM big WHERE word = 'new'", database=database)
    assert rows == len(written) > 0
    [reclaimed] = figures(result, "postgres_maintenance_reclaimed_bytes", database=database)
    assert reclaimed > before / 2
    # Bloated again at once: what makes it so is not cured by rebuilding it every night.
    server.execute("UPDATE big SET word = md5(word)", database=database)
    server.execute("DELETE FROM big WHERE id % 8 <> 0", database=database)
    server.execute("VACUUM ANALYZE big", database=database)
    assert done(maintenance(postgres_of(server, database), settings=SMALL_IS_ENOUGH, code=0)) == set()
    result = maintenance(postgres_of(server, database), mode="full", settings=SMALL_IS_ENOUGH, code=0)
    assert ("reindex", "public.big_word") in done(result)


def cut_off_rebuilding(server: PostgresServer, database: str, index: str) -> None:
    """Leave what a REINDEX CONCURRENTLY leaves that waited too long for an old transaction."""
    with closing(server.connect(database)) as old, old.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT count(*) FROM big")
        with closing(server.connect(database)) as own, own.cursor() as other:
            other.execute("SET lock_timeout = '200ms'")
            with pytest.raises(psycopg2.errors.LockNotAvailable):
                other.execute(f"REINDEX INDEX CONCURRENTLY {index}")


def indexes(server: PostgresServer, database: str) -> dict[str, bool]:
    rows = server.execute(
        "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid = 'big'::regclass",
        database=database,
    )
    return dict(rows)


def test_what_a_cut_off_rebuilding_left_is_removed_and_other_invalid_indexes_are_told(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    run_all(server, BLOATED, database)
    cut_off_rebuilding(server, database, "big_word")
    server.execute("INSERT INTO big VALUES (-1, 'same'), (-2, 'same')", database=database)
    with pytest.raises(psycopg2.errors.UniqueViolation):
        server.execute("CREATE UNIQUE INDEX CONCURRENTLY never_valid_ccnew ON big (word)", database=database)
    assert indexes(server, database)["big_word_ccnew"] is False
    result = maintenance(postgres_of(server, database), code=1)
    assert ("drop index", "public.big_word_ccnew") in done(result)
    assert indexes(server, database) == {"big_pkey": True, "big_word": True, "never_valid_ccnew": False}
    assert kinds(result) == {"invalid_indexes"}
    assert figures(result, "postgres_faulty_indexes", database=database, fault="invalid") == [1]


def test_a_rebuilding_that_would_wait_for_an_old_transaction_is_not_begun(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    run_all(server, BLOATED, database)
    with closing(server.connect(database)) as old, old.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT count(*) FROM big")
        settings = {**SMALL_IS_ENOUGH, "lock_timeout_seconds": 0.01}
        result = maintenance(postgres_of(server, database), settings=settings)
    assert "locked" in kinds(result)
    assert indexes(server, database) == {"big_pkey": True, "big_word": True}
    assert figures(result, "postgres_maintenance_work", database=database, outcome="locked") == [2]
    assert ("reindex", "public.big_word") not in done(result)


def test_a_locked_table_is_left_and_the_others_are_done(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    dirty(server, database, "held", "free")
    with closing(server.connect(database)) as holder, holder.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE held")
        result = maintenance(postgres_of(server, database), settings={"lock_timeout_seconds": 0.3}, code=0)
    assert done(result) == {("vacuum", "public.free")}
    assert kinds(result) == {"locked"}
    assert dead_rows(server, database, "held") == 500


def test_there_are_never_more_than_two_connections(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    dirty(server, database, *(f"t{i}" for i in range(30)), rows=3000)
    # Indexes large enough for a parallel vacuum, whose helpers would be connections as well.
    server.execute("ALTER SYSTEM SET min_parallel_index_scan_size = 0", database=database)
    server.execute("CREATE INDEX ON t0 (word)", database=database)
    server.execute("SELECT pg_reload_conf()", database=database)
    seen, stop = [0], threading.Event()

    def watch() -> None:
        with closing(server.connect()) as own, own.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sutazai-exporter'")
                seen.append(cursor.fetchall()[0][0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = maintenance(postgres_of(server, database), code=0)
    finally:
        stop.set()
        watcher.join()
        server.execute("ALTER SYSTEM RESET ALL")
        server.execute("SELECT pg_reload_conf()")
    assert len(done(result)) == 30
    assert max(seen) == 2


def test_a_dry_run_is_the_plan_and_changes_nothing(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    run_all(server, BLOATED, database)
    dirty(server, database, "dirty_a")
    clean(server, database, "grown")
    server.execute("INSERT INTO grown SELECT 1 FROM generate_series(1, 500)", database=database)
    cut_off_rebuilding(server, database, "big_pkey")
    maintenance(postgres_of(server, database), mode="statistics")
    before = tree_digest(maintenance.base)
    count_vacuums = "SELECT relname, vacuum_count, analyze_count, n_dead_tup FROM pg_stat_user_tables ORDER BY 1"
    there = server.execute(count_vacuums, database=database)
    planned = maintenance(postgres_of(server, database), dry_run=True, settings=SMALL_IS_ENOUGH)
    assert tree_digest(maintenance.base) == before
    assert server.execute(count_vacuums, database=database) == there
    assert not any(action["done"] for action in planned["actions"])
    assert planned["report"] is None
    assert figures(planned, "database_maintenance_success") == []
    carried_out = maintenance(postgres_of(server, database), settings=SMALL_IS_ENOUGH)
    assert done(carried_out, catalogs=True) == done(planned, catalogs=True)
    assert {verb for verb, _ in done(planned)} == {"vacuum", "analyze", "reindex", "drop index"}


def test_another_maintainer_is_not_met(server: PostgresServer, database: str, maintenance: Maintenance) -> None:
    dirty(server, database, "dirty_a")
    with closing(server.connect(database)) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(1400206433, 8020329)")
        result = maintenance(postgres_of(server, database), code=1)
    assert done(result) == set()
    assert kinds(result) == {"postponed"}
    assert done(maintenance(postgres_of(server, database), code=0)) == {("vacuum", "public.dirty_a")}


def test_nothing_is_touched_while_a_backup_is_being_made(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    dirty(server, database, "dirty_a")
    with closing(psycopg2.connect(server.dsn, application_name="pg_dump")):
        result = maintenance(postgres_of(server, database), code=1)
    assert done(result, catalogs=True) == set()
    assert kinds(result) == {"postponed"}
    (postponed,) = [finding["message"] for finding in result["findings"] if finding["kind"] == "postponed"]
    assert "pg_dump" in postponed


def test_old_rows_are_frozen_before_autovacuum_is_forced_to(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    clean(server, database, "old")
    server.execute(
        "CREATE PROCEDURE age() LANGUAGE plpgsql AS $$ BEGIN"
        " FOR i IN 1..300 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$",
        database=database,
    )
    server.execute("CALL age()", database=database)
    result = maintenance(postgres_of(server, database), settings={"vacuum_age_percent": 0.0001}, code=0)
    assert ("vacuum freeze", "public.old") in done(result)
    [(age,)] = server.execute("SELECT age(relfrozenxid) FROM pg_class WHERE relname = 'old'", database=database)
    assert age < 200


def test_the_figures_of_a_server_and_its_databases(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    dirty(server, database, "dirty_a")
    server.execute(
        "CREATE INDEX dirty_a_id ON dirty_a (id); CREATE UNIQUE INDEX twin ON dirty_a (id)", database=database
    )
    with closing(server.connect(database)) as own, own.cursor() as cursor:
        cursor.execute("BEGIN; SELECT pg_current_xact_id()")
        result = maintenance(
            postgres_of(server, database),
            mode="statistics",
            settings={"max_transaction_seconds": 0.001, "max_connection_percent": 1},
            code=1,
        )
    where = {"server": "main", "database": database}
    assert figures(result, "postgres_up", server="main") == [1]
    assert figures(result, "postgres_connections_max", server="main") == [50]
    assert figures(result, "postgres_dead_rows", **where) == [500]
    assert figures(result, "postgres_tables", **where) == [1]
    assert figures(result, "postgres_tables_never_vacuumed", **where) == [1]
    assert figures(result, "postgres_faulty_indexes", **where, fault="duplicate") == [1]
    [size] = figures(result, "postgres_size_bytes", **where)
    assert size > 5_000_000
    [ratio] = figures(result, "postgres_wraparound_ratio", **where)
    assert 0 < ratio < 0.001
    assert figures(result, "postgres_wraparound_ratio", database="template0") != []
    assert kinds(result) == {"long_transaction", "connections_high", "duplicate_indexes"}


def test_what_the_server_counts_becomes_increments(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    def deadlocks_and_rollbacks() -> float:
        result = maintenance(postgres_of(server, database), mode="statistics")
        return figures(result, "postgres_rollbacks_total", database=database)[0]

    assert deadlocks_and_rollbacks() == 0
    for _ in range(3):
        with pytest.raises(psycopg2.errors.DivisionByZero):
            server.execute("SELECT 1 / 0", database=database)
    assert deadlocks_and_rollbacks() == 3
    assert deadlocks_and_rollbacks() == 0
    server.execute("SELECT pg_stat_reset()", database=database)
    with pytest.raises(psycopg2.errors.DivisionByZero):
        server.execute("SELECT 1 / 0", database=database)
    assert deadlocks_and_rollbacks() == 1


def test_a_forgotten_prepared_transaction_is_counted(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    server.execute("BEGIN; CREATE TABLE x (); PREPARE TRANSACTION 'forgotten'", database=database)
    try:
        result = maintenance(postgres_of(server, database), mode="statistics")
        assert figures(result, "postgres_prepared_transactions") == [1]
    finally:
        server.execute("ROLLBACK PREPARED 'forgotten'", database=database)


def test_slow_statements_are_told_without_their_constants_and_never_a_password(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    server.execute("CREATE EXTENSION pg_stat_statements", database=database)
    server.execute("SELECT pg_sleep(0.05), 'canary-constant'", database=database)
    server.execute("CREATE ROLE told LOGIN PASSWORD 'canary-password'", database=database)
    server.execute("DROP ROLE told", database=database)
    maintenance(postgres_of(server, database), code=0)
    told = maintenance.report["postgresql"]["servers"]["main"]["databases"][database]["slow_statements"]
    assert any("pg_sleep" in one["query"] and one["calls"] == 1 for one in told)
    assert "canary" not in str(maintenance.report)


def test_statistics_keep_the_figures_of_the_last_maintenance_and_write_nothing_else(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    lasting = ("database_maintenance_success", "postgres_maintenance_duration_seconds", "postgres_index_bloat_bytes")
    first = maintenance(postgres_of(server, database), mode="statistics", code=0)
    assert [figures(first, name) for name in lasting] == [[], [], []]
    assert not (maintenance.base / "logs").exists() or not list((maintenance.base / "logs").iterdir())
    maintained = maintenance(postgres_of(server, database), code=0)
    later = maintenance(postgres_of(server, database), mode="statistics", code=0)
    assert later["report"] is None
    for name in lasting:
        assert figures(later, name) == figures(maintained, name) != []
    # Another server's figures are none of this one's.
    other = maintenance({**postgres_of(server, database), "servers": []}, mode="statistics")
    assert figures(other, "database_maintenance_success", part="postgres/main") == [1]


def test_remembered_figures_that_cannot_be_read_are_told_set_aside_and_made_anew(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    memory = maintenance.base / "data" / "database-maintenance"
    memory.mkdir(parents=True)
    for name in ("lasting.json", "reindexed.json"):
        (memory / name).write_text('{"parts": [')
    run_all(server, BLOATED, database)
    result = maintenance(postgres_of(server, database), settings=SMALL_IS_ENOUGH, code=1)
    assert [f["kind"] for f in result["findings"]].count("state_not_read") == 2
    assert len(list(memory.glob("*.corrupt-*"))) == 2
    assert maintenance(postgres_of(server, database), code=0)["status"] == "HEALTHY"


def test_the_report_has_the_keys_of_its_script_and_says_when_comes_next(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    dirty(server, database, "dirty_a")
    # Whatever day and time it is, the full one is not the next.
    full_day = f"{datetime.now().astimezone() + timedelta(days=3):%A}".lower()
    schedule = ["daily at 03:00: standard", f"{full_day} at 04:00: full"]
    maintenance(postgres_of(server, database), settings={"schedule": schedule}, code=0)
    report = maintenance.report
    assert list(report) == [
        "timestamp",
        "maintenance_type",
        "full_maintenance",
        "postgresql",
        "redis",
        "backup",
        "next_maintenance",
        "next_full_maintenance",
    ]
    assert (report["maintenance_type"], report["full_maintenance"]) == ("standard", False)
    assert "T03:00:00" in report["next_maintenance"]
    assert "T04:00:00" in report["next_full_maintenance"]
    told = report["postgresql"]["servers"]["main"]
    assert told["success"] is True
    assert told["databases"][database]["dead_rows_before"] >= 500
    assert "public.dirty_a" in [one["name"] for one in told["databases"][database]["work"]]


def test_tables_of_others_are_told_and_never_claimed_to_be_done(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    dirty(server, database, "theirs", "ours")
    server.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
    server.execute("ALTER TABLE ours OWNER TO plain", database=database)
    try:
        dsn = f"postgresql://plain:plain@127.0.0.1:{server.port}/{database}"
        result = maintenance({"dsn": dsn, "databases": [database]}, code=1)
        assert done(result, catalogs=True) == {("vacuum", "public.ours")}
        assert {f["kind"]: f["severity"] for f in result["findings"] if f["kind"] == "not_permitted"}
        assert "public.theirs" in str(result["findings"])
        assert figures(result, "postgres_oldest_transaction_seconds") == []
        assert dead_rows(server, database, "theirs") == 500
    finally:
        server.execute("DROP OWNED BY plain", database=database)
        server.execute("DROP ROLE plain")


def test_a_full_server_is_maintained_over_one_connection(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    dirty(server, database, "dirty_a", "dirty_b")
    server.execute("CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 1")
    server.execute("ALTER TABLE dirty_a OWNER TO few", database=database)
    server.execute("ALTER TABLE dirty_b OWNER TO few", database=database)
    try:
        dsn = f"postgresql://few:few@127.0.0.1:{server.port}/{database}"
        result = maintenance({"dsn": dsn, "databases": [database]})
        assert {("vacuum", "public.dirty_a"), ("vacuum", "public.dirty_b")} <= done(result)
    finally:
        server.execute("DROP OWNED BY few", database=database)
        server.execute("DROP ROLE few")


def test_nothing_configured_and_nothing_there_is_no_failure(
    maintenance: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = maintenance({}, code=0)
    assert result["status"] == "NOT_CONFIGURED"
    assert kinds(result) == set()
    assert figures(result, "postgres_up") == []


def test_a_missing_database_stops_no_other(server: PostgresServer, database: str, maintenance: Maintenance) -> None:
    dirty(server, database, "dirty_a")
    result = maintenance(postgres_of(server, "nowhere", database), code=2)
    assert done(result) == {("vacuum", "public.dirty_a")}
    assert kinds(result) == {"missing"}
    assert figures(result, "database_maintenance_success", part="postgres/main") == [0]
    assert maintenance.report["postgresql"]["servers"]["main"]["success"] is False


def test_progress_tells_each_table(server: PostgresServer, database: str, run_cli: Callable[..., Any]) -> None:
    dirty(server, database, "dirty_a")
    config = {
        "postgres": postgres_of(server, database),
        "jobs": {"database_maintenance": {"backup_enabled": False}},
    }
    said = run_cli("run", "database-maintenance", config=config)
    assert said.returncode == 0, said.stderr
    assert "vacuum main/app public.dirty_a 500 dead rows beside 500" in said.stdout


def test_work_that_would_begin_too_late_is_left_to_the_next_run(
    server: PostgresServer, database: str, maintenance: Maintenance
) -> None:
    dirty(server, database, "dirty_a")
    result = maintenance(postgres_of(server, database), settings={"max_run_seconds": 1.05}, code=1)
    assert done(result) == set()
    assert kinds(result) == {"postponed"}
    assert "time is used up" in str(result["findings"])
