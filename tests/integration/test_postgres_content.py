"""What a database holds is told the same of a restored copy, and differently of anything else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from jobs.clients.postgres import Postgres
from jobs.clients.postgres_content import Content, read_content
from jobs.clients.postgres_session import QueryFailed
from jobs.core.settings import PostgresSettings
from tests.services.postgres import PostgresServer
from tests.services.process import plain_environment

# Definitions that come back from a restore in other words are the point of `status`, `recent` and `state`.
SCHEMA = r"""
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE owner (id int PRIMARY KEY, name text UNIQUE NOT NULL, feels mood DEFAULT 'ok');
CREATE TABLE "odd ""table"";--" (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  owner int REFERENCES owner ON DELETE CASCADE,
  state varchar(10) DEFAULT 'new' CHECK (state IN ('new', 'done', 'lost')),
  share percent,
  at timestamptz DEFAULT now() CHECK (at > '2000-01-01'::timestamptz),
  double int GENERATED ALWAYS AS (owner * 2) STORED
);
CREATE INDEX "part only" ON "odd ""table"";--" (lower(state), at DESC) WHERE state IN ('new', 'lost');
CREATE TABLE measured (at date NOT NULL, value int) PARTITION BY RANGE (at);
CREATE TABLE measured_2026 PARTITION OF measured FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE VIEW recent AS SELECT o.*, w.name FROM "odd ""table"";--" o LEFT JOIN owner w ON w.id = o.owner
  WHERE o.state IN ('new', 'done') AND o.at > now() - interval '1 day';
CREATE MATERIALIZED VIEW counted AS SELECT state, count(*) AS n FROM "odd ""table"";--" GROUP BY 1;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.at := now(); RETURN NEW; END $$;
CREATE TRIGGER touched BEFORE UPDATE ON "odd ""table"";--" FOR EACH ROW WHEN (NEW.state IN ('new', 'lost'))
  EXECUTE FUNCTION touch();
ALTER TABLE owner ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON owner USING (name IN ('a', current_user::text));
CREATE EXTENSION pg_trgm;
INSERT INTO owner SELECT i, 'n' || i FROM generate_series(1, 7) i;
INSERT INTO "odd ""table"";--" (owner) SELECT 1 + i % 7 FROM generate_series(1, 500) i;
INSERT INTO measured SELECT date '2026-01-01' + i, i FROM generate_series(0, 29) i;
"""


def content(server: PostgresServer, database: str) -> Content:
    postgres = Postgres(PostgresSettings(dsn=SecretStr(server.dsn), connect_timeout_seconds=20))
    with postgres.session(database) as session:
        return read_content(session, timeout_seconds=60)


@pytest.fixture(scope="module", params=["postgres_server", "newest_postgres_server"])
def server(request: pytest.FixtureRequest) -> PostgresServer:
    """The oldest and the newest major version at hand."""
    found: PostgresServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def original(server: PostgresServer) -> Iterator[str]:
    server.create_database("content")
    server.execute(SCHEMA, database="content")
    server.execute('DROP ROLE IF EXISTS "plain"')
    server.execute('CREATE ROLE "plain"')
    yield "content"
    for name in ("content", "content_copy", "content_empty"):
        server.execute(f'DROP DATABASE IF EXISTS "{name}"', database="postgres")
    server.execute('DROP ROLE "plain"')


def test_the_rows_of_every_table_are_counted(server: PostgresServer, original: str) -> None:
    counts = {'"public"."owner"': 7, '"public"."odd ""table"";--"': 500, '"public"."measured_2026"': 30}
    assert content(server, original).row_counts == counts


def test_a_restored_copy_has_the_same_content_whoever_owns_it(server: PostgresServer, original: str) -> None:
    server.create_database("content_copy")
    environment = plain_environment(PGPASSWORD=server.password)
    where = ["-h", server.host, "-p", str(server.port), "-U", server.user]
    dump = [server.program("pg_dump"), *where, "-d", original, "--no-owner"]
    text = subprocess.run(dump, env=environment, capture_output=True, check=True).stdout
    load = [server.program("psql"), *where, "-d", "content_copy", "-q", "-v", "ON_ERROR_STOP=1"]
    subprocess.run(load, env=environment, input=text, capture_output=True, check=True)
    server.execute("ALTER TABLE owner OWNER TO plain", database="content_copy")
    assert content(server, "content_copy") == content(server, original)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE owner ADD COLUMN more int",
        "ALTER TABLE owner ALTER COLUMN name DROP NOT NULL",
        "ALTER TABLE owner ALTER COLUMN feels SET DEFAULT 'sad'",
        "ALTER TABLE measured ALTER COLUMN value TYPE bigint",
        "ALTER TYPE mood ADD VALUE 'happy'",
        'DROP INDEX "part only"',
        'DROP TRIGGER touched ON "odd ""table"";--"',
        "DROP POLICY own ON owner",
        "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
        'CREATE OR REPLACE VIEW recent AS SELECT o.*, w.name FROM "odd ""table"";--" o JOIN owner w ON w.id = o.owner',
        "CREATE SCHEMA empty",
        "DROP EXTENSION pg_trgm",
        "CREATE TABLE more (id int)",
    ],
)
def test_any_change_of_the_schema_changes_the_fingerprint(server: PostgresServer, original: str, change: str) -> None:
    before = content(server, original).schema_fingerprint
    with Postgres(PostgresSettings(dsn=SecretStr(server.dsn))).session(original) as session:
        session.query("BEGIN")  # never committed
        session.query(change)
        assert read_content(session, timeout_seconds=60).schema_fingerprint != before


def test_what_a_role_may_not_see_whole_is_refused_and_not_counted_in_part(
    server: PostgresServer, original: str
) -> None:
    server.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO plain", database=original)
    postgres = Postgres(PostgresSettings(dsn=SecretStr(server.dsn)))
    with postgres.session(original) as session, pytest.raises(QueryFailed, match="row-level security") as refusal:
        session.query("SET ROLE plain")
        read_content(session, timeout_seconds=60)
    assert refusal.value.sqlstate == "42501"


def test_a_statement_past_its_time_is_ended_by_the_server(server: PostgresServer) -> None:
    postgres = Postgres(PostgresSettings(dsn=SecretStr(server.dsn)))
    with postgres.session() as session:
        with pytest.raises(QueryFailed, match=r"no result within 0\.2 s") as failure:
            session.query("SELECT pg_sleep(60)", timeout_seconds=0.2)
        assert failure.value.sqlstate == "57014"
        assert session.query("SELECT %s, %s", ("a'b", 1)) == [("a'b", 1)]


def test_the_databases_of_a_server_are_those_that_take_connections(server: PostgresServer, original: str) -> None:
    dsn = SecretStr(server.dsn)
    found = Postgres(PostgresSettings(dsn=dsn)).databases()
    assert {"postgres", "sutazai", original} <= set(found)
    assert "template0" not in found
    assert Postgres(PostgresSettings(dsn=dsn, databases=(original,))).databases() == (original,)
