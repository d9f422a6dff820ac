"""PostgreSQL's own programs: the one that fits a server, and how it is told where to connect and nobody else is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobs.clients import commands
from jobs.clients.errors import Absent, ClientError

USUAL_DIRECTORIES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
"""Where the packages of Debian, and those of PostgreSQL for Red Hat, put the programs of each major version.

What Debian has in PATH is a wrapper that goes by the clusters of this host, which a server elsewhere is none of.
"""
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_VERSION_SECONDS = 10.0
_NOT_FOR_A_PROGRAM = ("password", "client_encoding", "sslpassword")


@dataclass(frozen=True)
class PgProgram:
    """A program of PostgreSQL's: where it is, what it calls itself, and its major version."""

    path: str
    version: str
    major: int


@dataclass(frozen=True)
class Login:
    """How a program gets in: a connection string for `--dbname`, the environment and descriptors that it needs.

    None of the first two holds a secret. The password is in a file without a name, which ends with the last process
    that has it open, however that ends.
    """

    conninfo: str
    environment: Mapping[str, str]
    pass_fds: tuple[int, ...]


def major_of(server_version: int) -> int:
    """The major version of a server: 15 for 150018."""
    return server_version // 10000


def find_program(name: str, major: int, directories: Sequence[Path] = ()) -> PgProgram:
    """The program of the server's major version, else of the next newer one, in `directories` first.

    Raise Absent where there is none: an older pg_dump refuses a newer server, and an older pg_restore a newer dump.
    """
    found: list[PgProgram] = []
    for path in _candidates(name, directories):
        version = _version_of(path)
        match = _VERSION.search(version)
        if match is None:
            continue
        found.append(PgProgram(path, version.strip()[:200], int(match[1])))
        if found[-1].major == major:
            return found[-1]
    fitting = sorted((program for program in found if program.major > major), key=lambda program: program.major)
    if fitting:
        return fitting[0]
    remedy = f"install postgresql-client-{major}, or set postgres.programs or the server's container"
    if found:
        newest = max(found, key=lambda program: program.major)
        raise Absent(f"{name} {newest.major} is older than the server, which is PostgreSQL {major}: {remedy}")
    raise Absent(f"there is no {name} for PostgreSQL {major}: {remedy}")


def conninfo(parameters: Mapping[str, str]) -> str:
    """A connection string of these parameters, whatever is in them: a database may be called `host=elsewhere`.

    Quoting as in https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE
    """
    pairs = ((name, value.replace("\\", "\\\\").replace("'", "\\'")) for name, value in parameters.items())
    return " ".join(f"{name}='{value}'" for name, value in pairs)


@contextmanager
def login(parameters: Mapping[str, str]) -> Iterator[Login]:
    """Given libpq's parameters, password included, how a program on this host gets in; raise ClientError.

    The encoding is left to the program: a dump is written in that of its database.
    """
    if parameters.get("sslpassword"):
        raise ClientError("a key of TLS with a passphrase cannot be given to PostgreSQL's programs; use one without")
    plain = {name: value for name, value in parameters.items() if name not in _NOT_FOR_A_PROGRAM}
    password = parameters.get("password")
    if not password:
        yield Login(conninfo(plain), {}, ())
        return
    plain.pop("passfile", None)
    descriptor = os.memfd_create("passfile", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)  # libpq ignores one that others may read
        os.write(descriptor, passfile_line(password))
        yield Login(conninfo(plain), {"PGPASSFILE": f"/proc/self/fd/{descriptor}"}, (descriptor,))
    finally:
        os.close(descriptor)


def passfile_line(password: str) -> bytes:
    """A line of a password file that holds for every server; ClientError for a password that none can hold."""
    if "\n" in password or "\r" in password:
        raise ClientError("the password has a line end in it, which no password file can hold; choose another")
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:*:{escaped}\n".encode()


def _version_of(path: str) -> str:
    try:
        said = commands.run([path, "--version"], timeout_seconds=_VERSION_SECONDS).stdout
    except ClientError:
        return ""  # Debian's wrapper without any version behind it
    return said.decode(errors="replace")


def _candidates(name: str, directories: Sequence[Path]) -> Iterator[str]:
    """Every program of that name, each once, those of `directories` first and what is in PATH last."""
    usual = (path for pattern in USUAL_DIRECTORIES for path in sorted(Path("/").glob(pattern.lstrip("/"))))
    seen = set()
    for directory in (*directories, *usual):
        path = directory / name
        if os.access(path, os.X_OK) and path.is_file() and path not in seen:
            seen.add(path)
            yield str(path)
    try:
        yield commands.find(name)
    except Absent:
        return
