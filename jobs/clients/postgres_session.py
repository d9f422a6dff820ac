"""A connection to one database of a PostgreSQL server, on which every statement has its own deadline."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, connection

from jobs.clients.discovery import told
from jobs.clients.errors import ClientError

QUERY_SECONDS = 15.0


class QueryFailed(ClientError):
    """A statement failed. `sqlstate` is the server's code for why (55P03: a lock was not to be had), or empty.

    Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
    """

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Session:
    """One connection, in autocommit mode: VACUUM may run in it, and BEGIN opens a transaction."""

    def __init__(self, opened: connection, where: str, database: str, secrets: Sequence[str] = ()) -> None:
        self.where, self.database = where, database
        self._opened, self._secrets = opened, secrets
        self._limit_seconds = 0.0

    @property
    def server_version(self) -> int:
        """The server's version as libpq tells it: 150018 is 15.18."""
        return self._opened.server_version

    @property
    def parameters(self) -> dict[str, str]:
        """libpq's parameters for one more connection to this very server and database, the password included.

        A DSN may name several hosts, and take user and password from elsewhere: here is what came of it.
        """
        info = self._opened.info
        found = {"host": info.host, "port": str(info.port), "user": info.user, "dbname": info.dbname}
        return {name: value for name, value in {**found, "password": info.password}.items() if value}

    def cancel(self) -> None:
        """Ask the server to end the statement that another thread waits for; where it cannot, it goes on."""
        with contextlib.suppress(psycopg2.Error):
            self._opened.cancel()

    def query(
        self,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        timeout_seconds: float = QUERY_SECONDS,
    ) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows, none where it gives none; raise QueryFailed.

        Values go in by `%s` and `parameters`; names by `quoted`. Past its time the server ends it; where the server
        does not answer even that, it is left behind and the session is of no further use.
        """
        deadline = time.monotonic() + timeout_seconds
        try:
            if timeout_seconds != self._limit_seconds:
                self._run(f"SET statement_timeout = {timeout_seconds * 1000:.0f}", None, deadline)
                self._limit_seconds = timeout_seconds
            return self._run(sql, parameters, deadline + 1)
        except TimeoutError:
            self._opened.close()
            raise QueryFailed(f"PostgreSQL at {self.where}: no result within {timeout_seconds:g} s") from None
        except psycopg2.Error as error:
            code = error.pgcode or ""
            if code == "57014":  # query_canceled: in these words the server tells of its own time-out
                raise QueryFailed(f"PostgreSQL at {self.where}: no result within {timeout_seconds:g} s", code) from None
            raise QueryFailed(f"PostgreSQL at {self.where}: {told(error, self._secrets)}", code) from None

    def _run(self, sql: str, parameters: Any, deadline: float) -> list[tuple[Any, ...]]:
        with self._opened.cursor() as cursor:
            cursor.execute(sql, parameters)
            wait(self._opened, deadline)
            return cursor.fetchall() if cursor.description else []


def quoted(*names: str) -> str:
    """Names as SQL identifiers: `"public"."order"` whatever is in them."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def wait(opened: connection, deadline: float) -> None:
    """Let libpq work until it is done; raise TimeoutError at `deadline` (monotonic)."""
    while (state := opened.poll()) != POLL_OK:
        poller = select.poll()  # made anew: libpq changes sockets when it tries another address
        poller.register(opened.fileno(), select.POLLIN if state == POLL_READ else select.POLLOUT)
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError
        if time.monotonic() >= deadline:  # a server that drips is never quiet
            raise TimeoutError
