"""The database maintenance when a server stops, dies, or throws it out in mid-work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.services.maintenance import DIRTY, Maintenance, done, figures, kinds, postgres_of
from tests.services.ports import free_port
from tests.services.postgres import PostgresServer
from tests.services.wait import wait_for

OUR_WAITING = """
SELECT pid FROM pg_stat_activity
 WHERE application_name = 'sutazai-exporter' AND wait_event_type = 'Lock' AND query LIKE %s
"""


@pytest.fixture
def maintenance(run_cli: Callable[..., Any], tmp_path: Path) -> Maintenance:
    return Maintenance(run_cli, tmp_path)


@pytest.fixture
def server(postgres_factory: Callable[..., PostgresServer]) -> PostgresServer:
    return postgres_factory()


def dirty(server: PostgresServer, *names: str) -> None:
    for name in names:
        for statement in DIRTY.format(name=name, rows=1000).split(";\n"):
            server.execute(statement)


def further(server: PostgresServer, name: str) -> dict[str, Any]:
    return {"name": name, "dsn": server.dsn, "databases": ["sutazai"]}


def test_a_stopped_server_costs_its_connect_timeout_and_the_other_is_maintained(
    server: PostgresServer, postgres_server: PostgresServer, maintenance: Maintenance
) -> None:
    postgres_server.execute("CREATE TABLE IF NOT EXISTS beside (i int); INSERT INTO beside VALUES (1)")
    server.pause()
    section = {"dsn": server.dsn, "connect_timeout_seconds": 2, "servers": [further(postgres_server, "other")]}
    try:
        result = maintenance(section, code=3)
    finally:
        server.resume()
        postgres_server.execute("DROP TABLE beside")
    assert figures(result, "postgres_up", server="main") == [0]
    assert figures(result, "postgres_up", server="other") == [1]
    assert figures(result, "database_maintenance_success", part="postgres/main") == [0]
    assert figures(result, "database_maintenance_success", part="postgres/other") == [1]
    assert kinds(result, "critical") == {"down"}
    assert "no answer within 2 s" in str(result["findings"])
    assert ("vacuum", "public.beside") in done(result)
    # Nothing of what the server said before is told of one that says nothing.
    assert figures(result, "postgres_connections", server="main") == []
    assert maintenance.report["postgresql"]["servers"]["main"]["success"] is False


def test_a_configured_server_that_is_not_there_is_critical(maintenance: Maintenance) -> None:
    result = maintenance(
        {"dsn": f"postgresql://u:canary-password@127.0.0.1:{free_port()}/x"}, mode="statistics", code=3
    )
    assert kinds(result, "critical") == {"down"}
    assert figures(result, "postgres_up", server="main") == [0]
    assert "canary-password" not in maintenance.said


def waiting(server: PostgresServer, statement: str) -> int:
    """The process of our session that waits for a lock with such a statement."""
    rows: list[tuple[int]] = wait_for(lambda: server.execute(OUR_WAITING, [f"{statement}%"]), 60, "it waits for a lock")
    return rows[0][0]


def test_a_session_that_is_terminated_in_mid_maintenance_costs_its_table_and_no_other(
    server: PostgresServer, maintenance: Maintenance
) -> None:
    dirty(server, "held", *(f"t{i}" for i in range(6)))
    with closing(server.connect()) as holder, holder.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE held")
        running = in_background(maintenance, postgres_of(server), {"lock_timeout_seconds": 60})
        server.execute("SELECT pg_terminate_backend(%s)", [waiting(server, "VACUUM")])
    result = running()
    assert kinds(result) == {"maintenance_failed"}
    assert "terminating connection due to administrator command" in str(result["findings"])
    assert "public.held" in str(result["findings"])
    assert {name for _, name in done(result)} == {f"public.t{i}" for i in range(6)}
    assert figures(result, "database_maintenance_success", part="postgres/main") == [0]
    assert figures(result, "postgres_maintenance_work", outcome="failed") == [1]
    assert done(maintenance(postgres_of(server), code=0)) == {("vacuum", "public.held")}


def test_a_rebuilding_that_is_terminated_leaves_nothing_behind(
    server: PostgresServer, maintenance: Maintenance
) -> None:
    server.execute("CREATE TABLE big AS SELECT i, md5(i::text) AS word FROM generate_series(1, 40000) i")
    server.execute("CREATE INDEX big_word ON big (word)")
    server.execute("VACUUM ANALYZE big")
    server.execute("DELETE FROM big WHERE i % 4 <> 0")
    server.execute("VACUUM ANALYZE big")
    with closing(server.connect()) as old, old.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT count(*) FROM big")
        running = in_background(maintenance, postgres_of(server), {"lock_timeout_seconds": 60, "reindex_bloat_mb": 0.5})
        ours = waiting(server, "REINDEX")
        assert server.execute("SELECT 1 FROM pg_class WHERE relname = 'big_word_ccnew'") == [(1,)]
        server.execute("SELECT pg_terminate_backend(%s)", [ours])
    result = running()
    assert ("drop index", "public.big_word_ccnew") in done(result)
    assert ("reindex", "public.big_word") not in done(result)
    assert server.execute(
        "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = 'big'::regclass"
    ) == [("big_word", True)]
    assert kinds(result) == {"maintenance_failed"}


def test_a_server_that_dies_in_mid_maintenance_is_told_and_the_next_run_does_the_rest(
    server: PostgresServer, maintenance: Maintenance
) -> None:
    dirty(server, "held", "t0")
    with closing(server.connect()) as holder, holder.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE held")
        running = in_background(maintenance, postgres_of(server), {"lock_timeout_seconds": 60})
        waiting(server, "VACUUM")
        server.kill()
    result = running()
    assert kinds(result) & {"failed", "maintenance_failed"}
    assert figures(result, "database_maintenance_success", part="postgres/main") == [0]
    assert maintenance.report["postgresql"]["servers"]["main"]["success"] is False
    server.start()
    server.execute("UPDATE held SET word = ''")
    assert ("vacuum", "public.held") in done(maintenance(postgres_of(server), code=0))


def in_background(
    maintenance: Maintenance, section: dict[str, Any], settings: dict[str, Any]
) -> Callable[[], dict[str, Any]]:
    """Start a run; calling what this returns waits for its result."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(maintenance, section, settings=settings)
    pool.shutdown(wait=False)
    return lambda: future.result(timeout=90)
