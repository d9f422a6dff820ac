"""A PostgreSQL server. Every exchange with it has one deadline, kept on our side: a stopped server keeps none."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psycopg2
from psycopg2.extensions import connection, parse_dsn

from jobs.clients.discovery import LOCAL, listens, told
from jobs.clients.errors import Absent, ClientError, Refused
from jobs.clients.postgres_session import Session, wait
from jobs.core.settings import MAIN_SERVER, PostgresSettings

PORT = 5432
SOCKET_DIRECTORY = Path("/var/run/postgresql")

_STATUS = """
SELECT current_setting('server_version'), current_database(), pg_database_size(current_database()),
       (SELECT sum(numbackends) FROM pg_stat_database)::int, current_setting('max_connections')::int,
       pg_is_in_recovery()
"""
_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
# The server says no: psycopg2 has no SQLSTATE for errors of the connection itself, only libpq's text.
_NO_LOGIN = re.compile(
    r"authentication failed|no password supplied|pg_hba\.conf|not permitted to log in|[Pp]ermission denied"
    r"|(?:role|database) \".*\" does not exist"
)


@dataclass(frozen=True)
class PostgresStatus:
    """A server that answers, seen from one of its databases."""

    where: str
    version: str
    database: str
    database_bytes: int
    connections: int
    max_connections: int
    in_recovery: bool


class Postgres:
    """One server: the configured one, or else the one at PostgreSQL's usual local addresses."""

    def __init__(
        self,
        settings: PostgresSettings,
        *,
        name: str = MAIN_SERVER,
        socket_directory: Path = SOCKET_DIRECTORY,
        port: int = PORT,
    ) -> None:
        self.name = name
        self.container = settings.container
        """The container that it runs in, where that was configured."""
        self.programs = settings.programs
        """Directories in which its client programs may be."""
        self._settings, self._socket_directory, self._port = settings, socket_directory, port

    @property
    def configured(self) -> bool:
        """Whether somebody wants it to be there."""
        return self._settings.dsn is not None

    @property
    def wanted_databases(self) -> Sequence[str] | None:
        """The databases that are to be looked after; None for all of them."""
        return self._settings.databases

    @property
    def where(self) -> str:
        """Its host and port; raise Absent or ClientError as `parameters` does."""
        return _where(self.parameters())

    def status(self) -> PostgresStatus:
        """What the server says of itself.

        Raises Absent (nobody configured it, nobody is there), Refused (it does not let us in) or ClientError.
        """
        with self.session() as session:
            row = session.query(_STATUS)[0]
            return PostgresStatus(session.where, *row)

    def databases(self) -> Sequence[str]:
        """The configured databases that are there, else all that take connections and are no templates.

        Raises as `status`, and ClientError naming the configured ones that are missing.
        """
        with self.session() as session:
            there = [str(name) for (name,) in session.query(_DATABASES)]
        wanted = self._settings.databases
        if wanted is None:
            return there
        missing = [name for name in wanted if name not in there]
        if missing:
            raise ClientError(f"PostgreSQL at {self.where} has no database {', '.join(map(repr, missing))}")
        return wanted

    @contextmanager
    def session(self, database: str | None = None) -> Iterator[Session]:
        """A connection to `database` (else the DSN's), in autocommit mode, closed at the end of the `with`.

        Raises as `status`.
        """
        parameters = self.parameters(database)
        where, secrets = _where(parameters), [parameters[k] for k in ("password", "sslpassword") if k in parameters]
        opened: connection | None = None
        try:
            opened = self._opened(parameters, where, secrets)
            yield Session(opened, where, parameters.get("dbname", ""), secrets)
        finally:
            if opened is not None:
                opened.close()

    def _opened(self, parameters: Mapping[str, str], where: str, secrets: Sequence[str]) -> connection:
        limit = self._settings.connect_timeout_seconds
        options: dict[str, Any] = dict(parameters)
        opened: connection | None = None
        try:
            opened = psycopg2.connect(None, async_=True, **options)
            wait(opened, time.monotonic() + limit)
            return opened
        except (TimeoutError, psycopg2.Error) as error:
            if opened is not None:
                opened.close()
            if isinstance(error, TimeoutError):
                raise ClientError(f"PostgreSQL at {where}: no answer within {limit} s") from None
            kind = Refused if _NO_LOGIN.search(str(error)) else ClientError
            raise kind(f"PostgreSQL at {where}: {told(error, secrets)}") from None

    def parameters(self, database: str | None = None) -> dict[str, str]:
        """libpq's parameters, the DSN's first; the password (a secret) is the settings' where the DSN has none.

        Raises Absent where nothing is configured or found, ClientError for a DSN that cannot be understood.
        """
        dsn, password = self._settings.dsn, self._settings.password
        parameters = _parsed(dsn.get_secret_value()) if dsn else self._found()
        if password and not parameters.get("password"):
            parameters["password"] = password.get_secret_value()
        if database is not None:
            parameters["dbname"] = database
        return {"application_name": "sutazai-exporter", "client_encoding": "UTF8", **parameters}

    def _found(self) -> dict[str, str]:
        local = {"port": str(self._port), "dbname": "postgres"}
        if (self._socket_directory / f".s.PGSQL.{self._port}").is_socket():
            # A server that was killed leaves its socket: connecting says so, and that is a failure, not absence.
            return {"host": str(self._socket_directory), **local}
        if listens(LOCAL, self._port):
            return {"host": LOCAL, **local}
        raise Absent(f"no PostgreSQL at {self._socket_directory} or {LOCAL}:{self._port}; set postgres.dsn")


def _parsed(dsn: str) -> dict[str, str]:
    # libpq quotes the part that it does not understand, which may be the password: its messages are not told.
    try:
        parameters: dict[str, str] = parse_dsn(dsn)
    except psycopg2.Error:
        raise ClientError("postgres.dsn is neither a postgresql:// URL nor key=value pairs") from None
    user_part, at, _ = dsn.partition("://")[2].rpartition("@")
    _, colon, password = user_part.partition(":")
    if at and colon and unquote(password) != parameters.get("password"):
        raise ClientError("postgres.dsn: write special characters of the password as %XX ('@' is %40, '/' is %2F)")
    return parameters


def _where(parameters: Mapping[str, str]) -> str:
    host = parameters.get("host") or parameters.get("hostaddr") or "the local socket"
    return f"{host}:{parameters.get('port') or PORT}"
