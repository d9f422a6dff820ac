"""A scratch database with an owner of its own who is no superuser: made for one restore, and gone after it.

Both are called `sutazai_drill_OURS_RANDOM`, where OURS stands for this host and base directory, and the database's
comment says who made it and when. So what a killed run leaves behind is known for ours.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from psycopg2.extensions import make_dsn
from pydantic import SecretStr

from jobs.clients.errors import ClientError
from jobs.clients.pg_load import LoadFailed
from jobs.clients.postgres import Postgres
from jobs.clients.postgres_session import QueryFailed, Session, quoted
from jobs.core.settings import PostgresSettings

PREFIX = "sutazai_drill"
_NAME = re.compile(rf"{PREFIX}_([0-9a-f]{{8}})_[0-9a-f]{{8}}")
_COMMENT = re.compile(r"sutazai-exporter: restore drill of \S+ since (\S+)")
_ABANDONED = timedelta(days=1)
_MAKE_SECONDS = 120.0
_FOR_LOADING = ("synchronous_commit = off", "maintenance_work_mem = '128MB'", "max_parallel_maintenance_workers = 0")
"""Nobody waits for a disk for what is dropped again; and a drill takes no more of a server than its connections."""
_PRIVILEGES = "SELECT rolsuper, rolcreatedb, rolcreaterole, rolname FROM pg_roles WHERE rolname = current_user"
_SCRATCH = """
SELECT d.datname, shobj_description(d.oid, 'pg_database'),
       EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)
  FROM pg_database d WHERE d.datname ~ %s
"""
_ROLES = "SELECT rolname FROM pg_roles WHERE rolname ~ %s"


@dataclass(frozen=True)
class Place:
    """Whose scratch databases ours are: those of a base directory on a host."""

    host: str
    mark: str

    @classmethod
    def of(cls, base_dir: Path) -> Place:
        """The place of a base directory on this host."""
        host = socket.gethostname()
        mark = hashlib.sha256(f"{host}\0{base_dir.resolve()}".encode()).hexdigest()[:8]
        return cls(re.sub(r"\s", "_", host) or "-", mark)

    def new_name(self) -> str:
        """A name that nobody else has."""
        return f"{PREFIX}_{self.mark}_{secrets.token_hex(4)}"

    def owns(self, name: str) -> bool:
        """Whether a name is one that was made here."""
        match = _NAME.fullmatch(name)
        return bool(match and match[1] == self.mark)


@dataclass(frozen=True)
class Scratch:
    """A scratch database, and libpq's parameters (with a secret) for its owner."""

    name: str
    parameters: dict[str, str]


def as_server(scratch: Scratch) -> Postgres:
    """A scratch database, to be asked what it holds, as its owner."""
    parameters = {name: value for name, value in scratch.parameters.items() if value}
    return Postgres(PostgresSettings(dsn=SecretStr(make_dsn(**parameters))), name=scratch.name)


@contextmanager
def scratch_database(
    server: Postgres, place: Place, now: datetime, *, extensions: tuple[str, ...] = (), own_role_allowed: bool = True
) -> Iterator[Scratch]:
    """Make a scratch database on a server and drop it at the end, whoever is still connected.

    Raises LoadFailed where the server's role may not do that, ClientError where the server fails.
    """
    name = place.new_name()
    with server.session() as session:
        [(is_superuser, makes_databases, makes_roles, own)] = session.query(_PRIVILEGES)
        if not (is_superuser or makes_databases):
            raise LoadFailed(f"role {own!r} may not create databases on {session.where}")
        with_role = is_superuser or (makes_roles and makes_databases)
        if not with_role and not own_role_allowed:
            raise LoadFailed(
                f"role {own!r} may not create roles on {session.where}, and an unknown dump is not restored as itself"
            )
        try:
            parameters = server.parameters(name)
            if with_role:
                parameters |= _make_role(session, name, is_superuser)
                # What our own role proves itself by is not this one's.
                for key in ("passfile", "service", "sslcert", "sslkey", "sslpassword"):
                    parameters.pop(key, None)
            comment = f"sutazai-exporter: restore drill of {place.host} since {now.isoformat(timespec='seconds')}"
            _make_database(session, name, name if with_role else own, comment)
            if is_superuser:
                _prepare(server, name, name, extensions)
            yield Scratch(name, parameters)
        finally:
            with suppress(ClientError):  # a server that is gone: the next run collects it
                _drop(server, name)


def collect(server: Postgres, place: Place, now: datetime, *, dry_run: bool = False) -> list[str]:
    """Drop what killed runs have left on a server, and return their names; raise ClientError.

    Only one run at a time is at work in a place, so whatever is of this one is left over. What others made is dropped
    only when its own comment says that it is older than a day and nobody is connected to it.
    """
    with server.session() as session:
        pattern = f"^{PREFIX}_[0-9a-f]{{8}}_[0-9a-f]{{8}}$"
        found = session.query(_SCRATCH, (pattern,))
        left = [str(n) for n, comment, used in found if place.owns(n) or (_abandoned(comment, now) and not used)]
        there = {str(n) for n, _, _ in found}
        roles = [str(n) for (n,) in session.query(_ROLES, (pattern,)) if place.owns(n) and n not in there]
    for name in () if dry_run else (*left, *roles):
        _drop(server, name)
    return [*left, *roles]


def _abandoned(comment: str | None, now: datetime) -> bool:
    match = _COMMENT.fullmatch(comment or "")
    if match is None:
        return False
    try:
        return datetime.fromisoformat(match[1]) < now - _ABANDONED
    except (ValueError, TypeError):
        return False


def _make_role(session: Session, name: str, is_superuser: bool) -> dict[str, str]:
    """Make the owner; its password reaches the server, and its log, only as a hash of it."""
    password = secrets.token_urlsafe(24)
    verifier = scram_verifier(password, secrets.token_bytes(16))
    # Rows hidden by a policy could not be counted; being exempt opens nothing outside of this database.
    exempt = "BYPASSRLS" if is_superuser else ""
    session.query(
        f"CREATE ROLE {quoted(name)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION {exempt} "
        f"CONNECTION LIMIT 8 PASSWORD '{verifier}'"
    )
    for setting in _FOR_LOADING:
        session.query(f"ALTER ROLE {quoted(name)} SET {setting}")
    if not is_superuser:
        session.query(f"GRANT {quoted(name)} TO CURRENT_USER")
    return {"user": name, "password": password}


def scram_verifier(password: str, salt: bytes, iterations: int = 4096) -> str:
    """What a server keeps instead of an ASCII password (RFC 5803, as in PostgreSQL's pg_authid)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    parts = [base64.b64encode(part).decode() for part in (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))]
    return f"SCRAM-SHA-256${iterations}:{parts[0]}${parts[1]}:{parts[2]}"


def _make_database(session: Session, name: str, owner: str, comment: str) -> None:
    # template0 is as empty as a dump expects.
    session.query(
        f"CREATE DATABASE {quoted(name)} OWNER {quoted(owner)} TEMPLATE template0", timeout_seconds=_MAKE_SECONDS
    )
    with suppress(QueryFailed):  # its name tells as much
        session.query(f"COMMENT ON DATABASE {quoted(name)} IS %s", (comment,))


def _prepare(server: Postgres, name: str, owner: str, extensions: tuple[str, ...]) -> None:
    with server.session(name) as session:
        session.query(f"ALTER SCHEMA public OWNER TO {quoted(owner)}")
        for extension in extensions:
            try:
                session.query(f"CREATE EXTENSION IF NOT EXISTS {quoted(extension)} CASCADE")
            except QueryFailed as error:
                raise LoadFailed(f"extension {extension!r} (drill_extensions) could not be created: {error}") from None


def _drop(server: Postgres, name: str) -> None:
    """Drop a scratch database and its role, on a connection of its own as the other may be broken."""
    with server.session() as session:
        force = " WITH (FORCE)" if session.server_version >= 130000 else ""
        if not force:
            session.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        session.query(f"DROP DATABASE IF EXISTS {quoted(name)}{force}", timeout_seconds=_MAKE_SECONDS)
        session.query(f"DROP ROLE IF EXISTS {quoted(name)}")
