"""A throwaway PostgreSQL server for restore drills: a cluster in a private directory, reached by its socket alone.

It keeps nothing safe (no fsync, as little WAL as can be) and knows no network: it listens on no address and, where we
may take it away, has none. It never runs as root.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from psycopg2.extensions import make_dsn
from pydantic import SecretStr

from jobs.clients import commands
from jobs.clients.errors import Absent, ClientError
from jobs.clients.pg_programs import USUAL_DIRECTORIES
from jobs.clients.pg_scratch import Place
from jobs.clients.postgres import Postgres
from jobs.core.privileges import WITHOUT_CAPABILITIES, overrides_permissions
from jobs.core.settings import PostgresSettings

_SYSTEM_USERS = ("postgres", "nobody")
_ADMIN = "sutazai_drill"
_INITDB_SECONDS = 120.0
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_LOOK_SECONDS = 0.02
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "shared_buffers": "128MB",
    "max_connections": "16",
    "max_locks_per_transaction": "2048",
    # What is restored stays out of logs.
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
}


def installed(directories: Sequence[Path] = ()) -> dict[int, Path]:
    """Where the programs of a server are, by major version: in `directories`, the usual places, or PATH."""
    found: dict[int, Path] = {}
    usual = (path for pattern in USUAL_DIRECTORIES for path in sorted(Path("/").glob(pattern.lstrip("/"))))
    inside = [*directories, *usual]
    with contextlib.suppress(Absent):
        inside.append(Path(commands.find("initdb")).resolve().parent)
    for directory in dict.fromkeys(inside):
        if all((directory / name).is_file() for name in ("initdb", "postgres", "pg_restore")):
            with contextlib.suppress(ClientError):
                said = commands.run([str(directory / "postgres"), "--version"], timeout_seconds=10).stdout
                if match := re.search(rb"(\d+)", said):
                    found.setdefault(int(match[1]), directory)
    return found


@contextmanager
def private_cluster(
    programs: Path, place: Place, directory: Path | None, *, limit_seconds: float
) -> Iterator[Postgres]:
    """Make a cluster with the programs of a directory, run it, and yield it as a server; nothing of it is left.

    `directory` is where it is put (else where temporary files go), `limit_seconds` how long it may run.
    Raises ClientError where it cannot be made.
    """
    user = _system_user()
    home = _home(place, directory, user)
    try:
        password = secrets.token_urlsafe(24)
        _initialise(programs, home, user, password)
        with _running(programs, home, user, limit_seconds) as child:
            dsn = make_dsn(host=str(home), user=_ADMIN, password=password, dbname="postgres")
            server = Postgres(PostgresSettings(dsn=SecretStr(dsn)), name="private cluster")
            try:
                _wait(server, child)
                yield server
            finally:
                # "Immediate": it gives its shared memory back, and loses data that nobody needs.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGQUIT)
                with contextlib.suppress(ClientError):
                    child.wait(check=False)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def collect(place: Place, directory: Path | None, *, dry_run: bool = False) -> list[str]:
    """Stop and remove the clusters that killed runs of this place have left, and return their directories."""
    parent, removed = directory or Path(tempfile.gettempdir()), []
    if not parent.is_dir():
        return []
    owners = {os.geteuid()} | {entry.pw_uid for entry in map(_account, _SYSTEM_USERS) if entry and os.geteuid() == 0}
    for found in sorted(parent.iterdir()):
        if not place.owns(found.name):
            continue
        status = found.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in owners or stat.S_IMODE(status.st_mode) & 0o077:
            continue
        removed.append(str(found))
        if not dry_run:
            _stop_leftover(found / "data")
            shutil.rmtree(found, ignore_errors=True)
    return removed


def _stop_leftover(data: Path) -> None:
    """End the server of a cluster, if the process is that server beyond doubt: its arguments name this very data."""
    import psutil

    wanted = ["-D", str(data)]
    for process in psutil.process_iter(["name", "cmdline"]):
        arguments = process.info["cmdline"] or []
        if process.info["name"] == "postgres" and arguments[1:3] == wanted:
            children = process.children(recursive=True)
            process.send_signal(signal.SIGQUIT)
            _, alive = psutil.wait_procs([process, *children], timeout=_STOP_SECONDS)
            for one in alive:
                one.kill()
            psutil.wait_procs(alive, timeout=_STOP_SECONDS)


def _account(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _system_user() -> str | None:
    """Whom the server runs as: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in _SYSTEM_USERS:
        if _account(name):
            return name
    raise Absent("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


def _home(place: Place, directory: Path | None, user: str | None) -> Path:
    home = (directory or Path(tempfile.gettempdir())) / place.new_name()
    try:
        home.mkdir(mode=0o700)
        if user:
            shutil.chown(home, user)
    except OSError as error:
        raise ClientError(f"{home}: no directory for a private cluster: {error.strerror}") from None
    return home


def _initialise(programs: Path, home: Path, user: str | None, password: str) -> None:
    file = home / "password"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(password)
    if user:
        shutil.chown(file, user)
    argv = [str(programs / "initdb"), "--pgdata", str(home / "data"), "--username", _ADMIN, "--pwfile", str(file)]
    argv += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
    commands.run(argv, timeout_seconds=_INITDB_SECONDS, user=user, cwd=home)
    file.unlink()


@contextmanager
def _running(programs: Path, home: Path, user: str | None, limit_seconds: float) -> Iterator[commands.Child]:
    settings: Mapping[str, str] = {**_SETTINGS, "unix_socket_directories": str(home)}
    argv = [str(programs / "postgres"), "-D", str(home / "data")]
    argv += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    prefix: list[str] = []
    if user and (unshare := shutil.which("unshare")) and (setpriv := shutil.which("setpriv")):
        account = pwd.getpwnam(user)
        identity = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--no-new-privs"]
        prefix, user = [unshare, "--net", setpriv, *identity], None  # only root takes the network away
    elif os.geteuid() != 0 and overrides_permissions():
        prefix = [sys.executable, "-I", "-S", "-c", WITHOUT_CAPABILITIES]  # what a unit gave us is not for a dump
    with commands.Child([*prefix, *argv], timeout_seconds=limit_seconds, user=user, cwd=home) as child:
        yield child


def _wait(server: Postgres, child: commands.Child) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with server.session():
                return
        except ClientError:
            if time.monotonic() >= deadline or child.ended:
                raise ClientError(f"a private cluster does not start: {commands.last_line(child.stderr())}") from None
        time.sleep(_LOOK_SECONDS)
