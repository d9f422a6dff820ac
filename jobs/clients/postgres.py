"""The PostgreSQL server. Every exchange with it has one deadline, kept on our side: a stopped server keeps none."""

from __future__ import annotations

import re
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, connection, parse_dsn

from jobs.clients.discovery import LOCAL, listens, told
from jobs.clients.errors import Absent, ClientError, Refused
from jobs.core.settings import PostgresSettings

PORT = 5432
SOCKET_DIRECTORY = Path("/var/run/postgresql")
QUERY_SECONDS = 15.0

_STATUS = """
SELECT current_setting('server_version'), current_database(), pg_database_size(current_database()),
       (SELECT sum(numbackends) FROM pg_stat_database)::int, current_setting('max_connections')::int,
       pg_is_in_recovery()
"""
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
        self, settings: PostgresSettings, *, socket_directory: Path = SOCKET_DIRECTORY, port: int = PORT
    ) -> None:
        self._settings, self._socket_directory, self._port = settings, socket_directory, port

    def status(self) -> PostgresStatus:
        """What the server says of itself.

        Raises Absent (nobody configured it, nobody is there), Refused (it does not let us in) or ClientError.
        """
        with self._connected() as (opened, where, secrets):
            deadline = time.monotonic() + QUERY_SECONDS
            try:
                _run(opened, f"SET statement_timeout = {QUERY_SECONDS * 1000:.0f}", deadline)
                row = _run(opened, _STATUS, deadline)[0]
            except TimeoutError:
                raise ClientError(f"PostgreSQL at {where}: no result within {QUERY_SECONDS:g} s") from None
            except psycopg2.Error as error:
                raise ClientError(f"PostgreSQL at {where}: {told(error, secrets)}") from None
        return PostgresStatus(where, *row)

    @contextmanager
    def _connected(self) -> Iterator[tuple[connection, str, list[str]]]:
        parameters = self._parameters()
        where, secrets = _where(parameters), [parameters[k] for k in ("password", "sslpassword") if k in parameters]
        limit = self._settings.connect_timeout_seconds
        options: dict[str, Any] = dict(parameters)
        opened: connection | None = None
        try:
            opened = psycopg2.connect(None, async_=True, **options)
            _wait(opened, time.monotonic() + limit)
            yield opened, where, secrets
        except TimeoutError:
            raise ClientError(f"PostgreSQL at {where}: no answer within {limit} s") from None
        except psycopg2.Error as error:
            kind = Refused if _NO_LOGIN.search(str(error)) else ClientError
            raise kind(f"PostgreSQL at {where}: {told(error, secrets)}") from None
        finally:
            if opened is not None:
                opened.close()

    def _parameters(self) -> dict[str, str]:
        """libpq's parameters, the DSN's first; the password is the settings' where the DSN has none."""
        dsn, password = self._settings.dsn, self._settings.password
        parameters = _parsed(dsn.get_secret_value()) if dsn else self._found()
        if password and not parameters.get("password"):
            parameters["password"] = password.get_secret_value()
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
    if not re.fullmatch(r"[0-9,]*", parameters.get("port", "")):
        raise ClientError("postgres.dsn: the port is not a number")
    user_part, at, _ = dsn.partition("://")[2].rpartition("@")
    _, colon, password = user_part.partition(":")
    if at and colon and unquote(password) != parameters.get("password"):
        raise ClientError("postgres.dsn: write special characters of the password as %XX ('@' is %40, '/' is %2F)")
    return parameters


def _where(parameters: Mapping[str, str]) -> str:
    host = parameters.get("host") or parameters.get("hostaddr") or "the local socket"
    return f"{host}:{parameters.get('port') or PORT}"


def _run(opened: connection, sql: str, deadline: float) -> list[tuple[Any, ...]]:
    with opened.cursor() as cursor:
        cursor.execute(sql)
        _wait(opened, deadline)
        return cursor.fetchall() if cursor.description else []


def _wait(opened: connection, deadline: float) -> None:
    """Let libpq work until it is done; raise TimeoutError at `deadline` (monotonic)."""
    while (state := opened.poll()) != POLL_OK:
        poller = select.poll()  # made anew: libpq changes sockets when it tries another address
        poller.register(opened.fileno(), select.POLLIN if state == POLL_READ else select.POLLOUT)
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError
        if time.monotonic() >= deadline:  # a server that drips is never quiet
            raise TimeoutError
