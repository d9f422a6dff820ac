"""pg_dump, told what to dump: by this host's program, or by the one in the server's own container."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from jobs.clients.commands import Child, CommandFailed, last_line
from jobs.clients.errors import ClientError
from jobs.clients.pg_programs import PgProgram, conninfo, find_program, login, major_of
from jobs.clients.postgres_session import Session
from jobs.core.backups import Format

if TYPE_CHECKING:
    from jobs.clients.docker import DockerEngine
    from jobs.clients.postgres import Postgres

PLAIN_END = b"PostgreSQL database dump complete"
"""How a plain dump ends; from 15.18 on a line that begins with `\\unrestrict` follows."""
_PLAIN_END_BYTES = 300
_CUSTOM_MAGIC = b"PGDMP"
_CUSTOM_FORMAT = 1
_CUSTOM_FORMAT_AT = 10
_FORMATS = {Format.CUSTOM_DUMP: ("--format=custom", "--compress=1"), Format.SQL: ("--format=plain",)}
# The server in a container is reached from within by its own socket: of the DSN these are of the way in from here.
_OF_OUR_WAY = (
    *("host", "hostaddr", "port", "password", "passfile", "client_encoding"),
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslnegotiation"),
)


class Program(Protocol):
    """A program that is running, here or in a container."""

    def chunks(self) -> Iterator[bytes]:
        """What it prints on standard output."""

    def wait(self) -> int:
        """Wait for its end; raise CommandFailed where it did not do its work."""


class Completeness:
    """Whether what passes is a whole dump, as far as that can be told without restoring it."""

    def __init__(self, form: Format) -> None:
        self._form = form
        self._head, self._tail = b"", b""

    def feed(self, chunk: bytes) -> None:
        """Take the next piece."""
        if len(self._head) <= _CUSTOM_FORMAT_AT:
            self._head += chunk[: _CUSTOM_FORMAT_AT + 1]
        self._tail = (self._tail + chunk[-_PLAIN_END_BYTES:])[-_PLAIN_END_BYTES:]

    def check(self) -> None:
        """Raise ClientError where it is none: no header of the custom format, no last words of a plain dump."""
        if self._form is Format.SQL:
            whole = PLAIN_END in self._tail
        else:
            form = self._head[_CUSTOM_FORMAT_AT : _CUSTOM_FORMAT_AT + 1]
            whole = self._head.startswith(_CUSTOM_MAGIC) and form == bytes([_CUSTOM_FORMAT])
        if not whole:
            raise ClientError("pg_dump ended as if all were well, but what it wrote is no whole dump")


@contextmanager
def dumping(
    postgres: Postgres,
    session: Session,
    snapshot: str,
    form: Format,
    docker: DockerEngine,
    *,
    timeout_seconds: float,
    lock_timeout_seconds: float,
) -> Iterator[tuple[Program, str]]:
    """A pg_dump under way of the database of `session`, in `snapshot`, and what it calls itself.

    Raise ClientError where there is none that fits, it cannot be started, or it does not do its work.
    """
    options = [
        *_FORMATS[form],
        "--no-password",
        f"--snapshot={snapshot}",
        f"--lock-wait-timeout={lock_timeout_seconds * 1000:.0f}",
    ]
    mark = f"sutazai-exporter pg_dump {os.getpid()}"
    parameters = {**postgres.parameters(), **session.parameters, "application_name": mark}
    if postgres.container:
        running = _in_container(docker, postgres.container, parameters, options, timeout_seconds)
    else:
        program = find_program("pg_dump", major_of(session.server_version), postgres.programs)
        running = _on_this_host(program, parameters, options, timeout_seconds)
    try:
        with running as found:
            yield found
    except CommandFailed as failure:
        raise ClientError(_explained(failure)) from None
    finally:
        if postgres.container:
            _end(session, mark)


@contextmanager
def _on_this_host(
    program: PgProgram, parameters: Mapping[str, str], options: Sequence[str], timeout_seconds: float
) -> Iterator[tuple[Program, str]]:
    # The host that answered was found by its name: of several addresses only one would be it.
    known = {name: value for name, value in parameters.items() if name != "hostaddr" or "," not in value}
    with login(known) as way_in:
        command = [program.path, *options, f"--dbname={way_in.conninfo}"]
        with Child(
            command, timeout_seconds=timeout_seconds, environment=way_in.environment, pass_fds=way_in.pass_fds
        ) as child:
            yield child, program.version


@contextmanager
def _in_container(
    docker: DockerEngine, container: str, parameters: Mapping[str, str], options: Sequence[str], timeout_seconds: float
) -> Iterator[tuple[Program, str]]:
    with docker.program(container, ["pg_dump", "--version"], environment={}, timeout_seconds=30) as asked:
        version = b"".join(asked.chunks())[:200].decode(errors="replace").strip()
        asked.wait()
    inside = {name: value for name, value in parameters.items() if name not in _OF_OUR_WAY}
    environment = {"PGPASSWORD": parameters["password"]} if parameters.get("password") else {}
    command = ["pg_dump", *options, f"--dbname={conninfo(inside)}"]
    with docker.program(container, command, environment=environment, timeout_seconds=timeout_seconds) as program:
        yield program, version


def _end(session: Session, mark: str) -> None:
    """End a dump in a container, which the engine cannot: without its connection it ends by itself."""
    with contextlib.suppress(ClientError):
        session.query("ROLLBACK")
        session.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", (mark,))


def _explained(failure: CommandFailed) -> str:
    """Why pg_dump failed: what it calls the error, where the last line of several only tells the statement."""
    lines = [" ".join(line.split()) for line in failure.output.splitlines()]
    error = next((line for line in lines if "error: " in line), "")
    return f"{str(failure).partition(': ')[0]}: {last_line(error)}" if error else str(failure)
