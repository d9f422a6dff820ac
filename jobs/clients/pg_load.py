"""Loading a dump into an empty database, as a role that may do nothing else, and with every error fatal.

Nothing in a dump reaches a shell: custom dumps are read by pg_restore, which sends their SQL to the server; plain ones
are taken apart here. COPY ... PROGRAM is the server's to refuse, as the role is no superuser.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from psycopg2.extensions import make_dsn

from jobs.clients import commands
from jobs.clients.commands import Child, CommandFailed
from jobs.clients.discovery import told
from jobs.clients.errors import ClientError
from jobs.clients.pg_programs import login
from jobs.core.plain_dump import NOT_RESTORED, PlainDump, Unusable

MAX_LISTING_SECONDS = 60.0
_LISTED_VERSION = re.compile(r"^;\s+Dumped from database version: (\S.*)$", re.MULTILINE)
_ENTRY = re.compile(rf"^\d+; \d+ \d+ (?:(?:{'|'.join(sorted(NOT_RESTORED))}) |COMMENT - EXTENSION )")
# These speak of the place that it was to be loaded into, and not of the dump.
_NOT_THE_DUMPS_FAULT = re.compile(
    r"permission denied|must be (?:super|owner|a? ?member)|is not available|extension control file"
    r"|unrecognized configuration parameter|unsupported version"
    r"|No space left|could not extend file|out of shared memory"
    r"|out of memory|too many connections|remaining connection slots|role \".*\" does not exist"
    r"|could not connect|connection to server|server closed the connection|terminating connection|starting up"
    r"|the database system is|encoding .* does not match|has no equivalent in encoding"
)

# No honest dump asks the server for programs or files.
_HOSTILE = re.compile(r"external program|pg_(?:execute_server_program|read_server_files|write_server_files)")


class DumpRejected(ClientError):
    """The dump itself is at fault."""


class LoadFailed(ClientError):
    """It could not be loaded for a reason that says nothing about the dump."""


def listing(dump: Path, pg_restore: str, *, timeout_seconds: float = MAX_LISTING_SECONDS) -> tuple[str, list[str]]:
    """The version of the server that a custom dump came from, and the lines of its table of contents.

    Raises DumpRejected, Absent (there is no pg_restore) or LoadFailed. That it lists proves little: pg_restore lists
    damaged dumps without a word.
    """
    try:
        said = commands.run([pg_restore, "--list", str(dump)], timeout_seconds=timeout_seconds)
    except CommandFailed as error:
        raise _judged(error) from None
    text = said.stdout.decode(errors="replace")
    match = _LISTED_VERSION.search(text)
    return match[1] if match else "", [line for line in text.splitlines() if line and not line.startswith(";")]


def read_through(dump: Path, pg_restore: str, *, timeout_seconds: float) -> None:
    """Have pg_restore unpack a whole custom dump, for the want of a better proof; raise as `listing` does."""
    try:
        commands.run([pg_restore, "--file", os.devnull, str(dump)], timeout_seconds=timeout_seconds)
    except CommandFailed as error:
        raise _judged(error) from None


def load_custom(dump: Path, pg_restore: str, target: Mapping[str, str], *, jobs: int, timeout_seconds: float) -> None:
    """Restore a custom dump into the database that `target` (libpq's parameters) names.

    Raises DumpRejected, Absent or LoadFailed.
    """
    _, entries = listing(dump, pg_restore)
    with login(target) as way_in, tempfile.TemporaryDirectory(prefix="sutazai-load-") as directory:
        contents = Path(directory, "contents")
        contents.write_text("".join(f"{entry}\n" for entry in entries if not _ENTRY.match(entry)))
        argv = [*_without_network(target), pg_restore, "--exit-on-error", "--no-owner", "--no-acl", "--no-password"]
        argv += ["--no-tablespaces", "--jobs", str(jobs), "--use-list", str(contents)]
        argv += [f"--dbname={way_in.conninfo}", str(dump)]
        try:
            with Child(
                argv, timeout_seconds=timeout_seconds, environment=way_in.environment, pass_fds=way_in.pass_fds
            ) as child:
                for _ in child.chunks():
                    pass
                child.wait()
        except CommandFailed as error:
            raise _judged(error) from None


def load_plain(pieces: Iterator[bytes], target: Mapping[str, str], *, timeout_seconds: float) -> None:
    """Restore a plain dump, given in pieces of its text, into the database that `target` names.

    Raises DumpRejected or LoadFailed; what `pieces` raises goes on.
    """
    import psycopg2

    secrets = [target.get("password")]
    try:
        opened = psycopg2.connect(make_dsn(**target))
    except psycopg2.Error as error:
        raise LoadFailed(told(error, secrets)) from None
    with contextlib.closing(opened), _hung_up(opened.fileno(), timeout_seconds) as hung_up:
        opened.autocommit = True
        try:
            with opened.cursor() as cursor:
                for part in PlainDump(pieces).parts():
                    if isinstance(part, bytes):
                        cursor.execute(part)
                    else:
                        cursor.copy_expert(part.statement, part)  # type: ignore[arg-type]  # it needs no more than `read`
        except Unusable as error:
            raise DumpRejected(str(error)) from None
        except psycopg2.Error as error:
            if hung_up.is_set():
                raise LoadFailed(f"it was not restored within {timeout_seconds:g} s") from None
            raise _cause(told(error, secrets))(told(error, secrets)) from None


def _judged(error: CommandFailed) -> ClientError:
    # The first error is the cause; what follows only says that it was an error.
    lines = [line for line in error.output.splitlines() if "error:" in line]
    said = told(" ".join((lines[0] if lines else error.output).split()) or error)
    if error.code is None or error.code < 0:
        return LoadFailed(str(error))
    return _cause(error.output)(said.removeprefix("pg_restore: ").removeprefix("error: "))


def _cause(said: str) -> type[ClientError]:
    if _HOSTILE.search(said):
        return DumpRejected
    return LoadFailed if _NOT_THE_DUMPS_FAULT.search(said) else DumpRejected


def _without_network(target: Mapping[str, str]) -> list[str]:
    """A prefix that leaves a program no network, where it needs none and we may take it away."""
    unshare = shutil.which("unshare")
    local = target.get("host", "").startswith("/")
    return [unshare, "--net"] if unshare and local and os.geteuid() == 0 else []


@contextmanager
def _hung_up(descriptor: int, after_seconds: float) -> Iterator[threading.Event]:
    """Hang up on the server after so long, whatever it is waiting for: libpq waits for ever, and a dump may say so."""
    done, line = threading.Event(), socket.socket(fileno=os.dup(descriptor))

    def hang_up() -> None:
        done.set()
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(after_seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield done
    finally:
        timer.cancel()
        line.close()
