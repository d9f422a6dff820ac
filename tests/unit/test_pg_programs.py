"""PostgreSQL's programs: the one that fits is found, names stay names, and a password stays with the program."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import parse_dsn

from jobs.clients.commands import Child
from jobs.clients.errors import Absent, ClientError
from jobs.clients.pg_programs import conninfo, find_program, login, major_of, passfile_line

HOSTILE = [
    "host=elsewhere",
    "--file=x",
    "a b;$(id)",
    "it's",
    "back\\slash",
    "\\'",
    "",
    " ",
    "postgresql://x/y",
    "ä\n\t",
]


def program(directory: Path, version: str, name: str = "pg_dump") -> Path:
    """A stand-in that knows its version: only one version of PostgreSQL can be installed here for certain."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
    path.chmod(0o755)
    return directory


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("jobs.clients.pg_programs.USUAL_DIRECTORIES", ())
    monkeypatch.setattr("jobs.clients.commands.find", _absent)


def _absent(name: str) -> str:
    raise Absent(f"{name} is not installed, or not in PATH")


def test_the_program_of_the_servers_version_is_preferred_to_a_newer_one(tmp_path: Path) -> None:
    directories = [program(tmp_path / v, v) for v in ("18.1", "14.3", "15.18")]
    found = find_program("pg_dump", 15, directories)
    assert (found.path, found.major) == (str(tmp_path / "15.18" / "pg_dump"), 15)
    assert found.version == "pg_dump (PostgreSQL) 15.18"


def test_the_next_newer_one_will_do(tmp_path: Path) -> None:
    directories = [program(tmp_path / v, v) for v in ("18beta1", "17.2 (Debian 17.2-1)", "13.9")]
    assert find_program("pg_dump", 15, directories).major == 17


def test_an_older_one_is_refused_in_words_that_help(tmp_path: Path) -> None:
    with pytest.raises(
        Absent, match=r"pg_dump 14 is older than the server, which is PostgreSQL 15: install postgresql"
    ):
        find_program("pg_dump", 15, [program(tmp_path / "a", "13.1"), program(tmp_path / "b", "14.2")])


def test_where_there_is_none_it_is_said_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="there is no pg_restore for PostgreSQL 16: install postgresql-client-16"):
        find_program("pg_restore", 16, [tmp_path])


def test_what_is_no_program_of_postgresql_is_passed_over(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "pg_dump").write_text("#!/bin/sh\necho 'Error: no version is installed' >&2; exit 1\n")
    (broken / "pg_dump").chmod(0o755)
    assert find_program("pg_dump", 15, [broken, program(tmp_path / "15", "15.1")]).major == 15


def test_versions_of_servers_are_understood() -> None:
    assert [major_of(number) for number in (90624, 100023, 150018, 180001)] == [9, 10, 15, 18]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_connection_string_says_what_was_meant_whatever_the_names(name: str) -> None:
    given = {"dbname": name, "user": name, "host": "127.0.0.1", "application_name": name}
    assert parse_dsn(conninfo(given)) == given


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))))
def test_any_name_survives_a_connection_string(name: str) -> None:
    assert parse_dsn(conninfo({"dbname": name, "user": "x"})) == {"dbname": name, "user": "x"}


@pytest.mark.parametrize("password", ["plain", "a:b", "back\\slash", "'quoted' \" $(id)", " ", "ä€"])
def test_a_password_is_in_a_file_that_only_the_program_has(password: str) -> None:
    with login({"dbname": "x", "password": password, "passfile": "/old", "client_encoding": "UTF8"}) as way_in:
        assert "passfile" not in way_in.conninfo
        assert "client_encoding" not in way_in.conninfo
        assert password == " " or password not in f"{way_in.conninfo}{way_in.environment}"
        script = "import os, sys; sys.stdout.buffer.write(open(os.environ['PGPASSFILE'], 'rb').read())"
        with Child(
            [sys.executable, "-c", script],
            timeout_seconds=10,
            environment=way_in.environment,
            pass_fds=way_in.pass_fds,
        ) as child:
            assert b"".join(child.chunks()) == passfile_line(password)
            child.wait()
        (descriptor,) = way_in.pass_fds
        assert stat.S_IMODE(os.fstat(descriptor).st_mode) == 0o600
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_program_without_need_of_the_file_does_not_get_it() -> None:
    with login({"password": "canary"}) as way_in, Child(["ls", "/proc/self/fd"], timeout_seconds=10) as child:
        listed = b"".join(child.chunks()).split()
        assert str(way_in.pass_fds[0]).encode() not in listed
        child.wait()


def test_without_a_password_there_is_no_file() -> None:
    with login({"dbname": "x", "passfile": "/home/x/.pgpass"}) as way_in:
        assert (way_in.environment, way_in.pass_fds) == ({}, ())
        assert "passfile='/home/x/.pgpass'" in way_in.conninfo


def test_what_no_file_can_hold_is_refused() -> None:
    with pytest.raises(ClientError, match="line end"):
        passfile_line("a\nb")
    with pytest.raises(ClientError, match="passphrase"), login({"sslpassword": "x"}):
        pass
