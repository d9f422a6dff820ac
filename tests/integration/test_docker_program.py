"""Programs in a container: their output comes whole, their end is known, and none is waited for without end."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from jobs.clients.commands import CommandFailed
from jobs.clients.docker import DockerEngine as Client
from jobs.clients.docker import NoSuchContainer
from jobs.core.backups import Kind
from jobs.core.settings import DockerSettings
from tests.services.backup_runs import SCHEMA, BackupRuns, databases, restored
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.postgres import PostgresServer
from tests.services.wait import wait_for

NAME = "box"
PG_IMAGE = "sutazai-test-pg-dump"


@pytest.fixture
def box(docker_clean: DockerEngine) -> Client:
    docker_clean.run(AGENT_IMAGE, NAME, command=["sleep", "1000"])
    return Client(DockerSettings(url=docker_clean.url, timeout_seconds=20))


def output(client: Client, *argv: str, timeout_seconds: float = 30, **environment: str) -> bytes:
    with client.program(NAME, argv, environment=environment, timeout_seconds=timeout_seconds) as program:
        said = b"".join(program.chunks())
        program.wait()
    return said


def test_output_comes_whole_however_much_there_is(box: Client) -> None:
    with box.program(NAME, ["seq", "1", "3000000"], environment={}, timeout_seconds=60) as program:
        found = hashlib.sha256()
        for chunk in program.chunks():
            found.update(chunk)
        assert program.wait() == 0
    wanted = hashlib.sha256("".join(f"{i}\n" for i in range(1, 3_000_001)).encode())
    assert found.hexdigest() == wanted.hexdigest()


def test_short_answers_lose_nothing_however_often_they_are_asked_for(box: Client) -> None:
    assert [output(box, "echo", str(number)) for number in range(20)] == [b"%d\n" % n for n in range(20)]


def test_arguments_are_not_read_by_a_shell_and_the_environment_arrives(box: Client) -> None:
    assert output(box, "echo", "$(id)", "a b") == b"$(id) a b\n"
    assert output(box, "sh", "-c", 'echo "$SECRET"', SECRET="it's") == b"it's\n"


def test_a_program_that_fails_is_told_with_its_last_words(box: Client) -> None:
    with pytest.raises(CommandFailed, match=r"^sh in the container box: ended with 3: the reason$") as failure:
        output(box, "sh", "-c", "echo out; echo more >&2; echo the reason >&2; exit 3")
    assert failure.value.code == 3


def test_a_program_that_is_not_in_the_image_is_told(box: Client) -> None:
    with pytest.raises((CommandFailed, NoSuchContainer, Exception), match=r"no-such-program") as failure:
        output(box, "no-such-program")
    assert "not found" in str(failure.value)


def test_a_container_that_is_gone_is_told(box: Client) -> None:
    with pytest.raises(NoSuchContainer), box.program("nobody", ["true"], environment={}, timeout_seconds=10):
        pass


@pytest.mark.parametrize("argv", [["sleep", "100"], ["yes"]])
def test_a_program_without_an_end_is_given_up(box: Client, argv: list[str]) -> None:
    with (
        pytest.raises(CommandFailed, match="not done after 1 s"),
        box.program(NAME, argv, environment={}, timeout_seconds=1) as program,
    ):
        for _ in program.chunks():
            pass


# --- a dump by the program in the server's own container ---


def pg_image(engine: DockerEngine, pg_dump: str) -> str:
    """An image with pg_dump and what it needs, out of this host's files."""
    libraries = re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", pg_dump], capture_output=True, text=True).stdout)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as tar:
        tar.add(pg_dump, "bin/pg_dump")
        for library in libraries:
            tar.add(library, library.lstrip("/"))
        busybox = Path(subprocess.run(["which", "busybox"], capture_output=True, text=True).stdout.strip())
        tar.add(busybox, "bin/sleep")
    engine.client.api.import_image_from_data(buffer.getvalue(), repository=PG_IMAGE, tag="latest")
    return PG_IMAGE


@pytest.fixture
def container(docker_clean: DockerEngine, postgres_server: PostgresServer) -> DockerEngine:
    """A container called `db` that stands for the server's own: its pg_dump finds the server without being told where.

    The server itself runs beside it; of the container only pg_dump and what it knows are of interest.
    """
    image = pg_image(docker_clean, postgres_server.program("pg_dump"))
    own = {"PGHOST": postgres_server.host, "PGPORT": str(postgres_server.port)}
    docker_clean.run(image, "db", command=["/bin/sleep", "1000"], environment=own)
    return docker_clean


def runs_of(base: Path, engine: DockerEngine, server: PostgresServer, name: str, **settings: object) -> BackupRuns:
    postgres = {"databases": (name,), "container": "db"}
    return BackupRuns(base, dsn=server.dsn, docker_url=engine.url, postgres=postgres, **settings)


@pytest.mark.parametrize("form", ["custom", "sql"])
def test_a_dump_from_within_the_container_is_as_good(
    tmp_path: Path, container: DockerEngine, postgres_server: PostgresServer, form: str
) -> None:
    with databases(postgres_server, "within"):
        postgres_server.execute(SCHEMA, database="within")
        runs = runs_of(tmp_path, container, postgres_server, "within", backup_format=form)
        part = runs.run()
        assert (part.failed, part.findings) == (False, ())
        (backup,) = runs.backups()
        assert backup.manifest is not None
        found = restored(postgres_server, backup, "within_again")
    assert found.row_counts == backup.manifest.row_counts
    assert found.schema_fingerprint == backup.manifest.schema_fingerprint


def test_a_dump_in_a_container_that_fails_leaves_nothing_behind(
    tmp_path: Path, container: DockerEngine, postgres_server: PostgresServer
) -> None:
    server = postgres_server
    with databases(server, "within"):
        server.execute(SCHEMA, database="within")
        holder = server.connect("within")
        try:
            with holder.cursor() as cursor:
                cursor.execute("BEGIN; LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
            runs = runs_of(tmp_path, container, server, "within", backup_timeout_seconds=8.0)
            part = runs.run()
            others = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'sutazai-exporter%'"
            wait_for(lambda: server.execute(others) == [(0,)], 20, "nobody of ours is connected any more")
        finally:
            holder.close()
    assert "pg_dump in the container db: not done after 8 s" in part.findings[0].message
    assert runs.names(Kind.DATABASE) == []


def test_an_older_pg_dump_in_the_container_is_refused(
    tmp_path: Path, docker_clean: DockerEngine, postgres_server: PostgresServer
) -> None:
    """The script stands for an older client: only one version is installed here."""
    container = docker_clean.run(AGENT_IMAGE, "db", command=["sleep", "1000"])
    script, buffer = b"#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n", io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("pg_dump")
        entry.size, entry.mode = len(script), 0o755
        tar.addfile(entry, io.BytesIO(script))
    container.put_archive("/bin", buffer.getvalue())
    part = runs_of(tmp_path, docker_clean, postgres_server, postgres_server.database).run()
    assert "pg_dump 9 in the container db is older than the server (PostgreSQL 15)" in part.findings[0].message


def test_a_container_without_pg_dump_is_told(
    tmp_path: Path, docker_clean: DockerEngine, postgres_server: PostgresServer
) -> None:
    docker_clean.run(AGENT_IMAGE, "db", command=["sleep", "1000"])
    runs = runs_of(tmp_path, docker_clean, postgres_server, postgres_server.database)
    part = runs.run()
    assert "pg_dump" in part.findings[0].message
    assert "not found" in part.findings[0].message
    assert runs.names() == []
