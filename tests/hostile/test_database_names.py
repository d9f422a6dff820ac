"""Names of databases, tables and indexes that look like something else are names, and passwords stay secret."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.services.maintenance import Maintenance, done, figures, postgres_of
from tests.services.postgres import PostgresServer

DATABASES = (
    "host=203.0.113.1 port=1",
    "postgresql://203.0.113.1/x",
    "--file=/tmp/sutazai-injected",
    "a b;$(touch /tmp/sutazai-injected)",
    'it\'s "quoted"',
    "-- DROP TABLE x; \\ %s {0}",
)
TABLE = 'odd "table"; DROP TABLE kept; -- %s $(id)'


@pytest.fixture
def maintenance(run_cli: Callable[..., Any], tmp_path: Path) -> Maintenance:
    return Maintenance(run_cli, tmp_path)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def test_odd_names_are_maintained_like_any_other(postgres_server: PostgresServer, maintenance: Maintenance) -> None:
    for database in DATABASES:
        postgres_server.create_database(database)
        postgres_server.execute("CREATE TABLE kept (i int)", database=database)
        postgres_server.execute(f"CREATE TABLE {quoted(TABLE)} (i int)".replace("%", "%%"), [], database=database)
        postgres_server.execute(
            f"INSERT INTO {quoted(TABLE)} SELECT 1 FROM generate_series(1, 9)".replace("%", "%%"), [], database=database
        )
    try:
        result = maintenance(postgres_of(postgres_server, *DATABASES), code=0)
        there = [
            postgres_server.execute("SELECT relname FROM pg_stat_user_tables ORDER BY 1", database=database)
            for database in DATABASES
        ]
        assert there == [[("kept",), (TABLE,)]] * len(DATABASES)
        vacuumed = postgres_server.execute(
            "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname <> 'kept'", database=DATABASES[0]
        )
        assert vacuumed == [(1,)]
        assert ("vacuum", "public.t") not in done(result)
        assert figures(result, "database_maintenance_success", part="postgres/main") == [1]
        for database in DATABASES:
            assert figures(result, "postgres_size_bytes", database=database) != []
        assert not os.path.lexists("/tmp/sutazai-injected")
    finally:
        for database in DATABASES:
            postgres_server.execute(f"DROP DATABASE {quoted(database)} WITH (FORCE)", database="postgres")


def test_the_password_is_nowhere_to_be_read(postgres_server: PostgresServer, maintenance: Maintenance) -> None:
    maintenance(postgres_of(postgres_server), code=0)
    secret = postgres_server.password
    assert secret not in maintenance.said
    written = [path for path in maintenance.base.rglob("*") if path.is_file()]
    assert [path for path in written if secret.encode() in path.read_bytes()] == []
    assert any(path.name.startswith("database_maintenance_report") for path in written)
