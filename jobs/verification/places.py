"""Where drills are made: a private cluster of the dump's own version, or the server that the dump came from."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from jobs.clients.errors import ClientError

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.pg_scratch import Place, Scratch
    from jobs.clients.postgres import Postgres
    from jobs.verification.settings import DrillMode

_RESTORED_TO_DUMP = 10
"""A database with its indexes is seldom more than that much larger than its compressed dump."""
_CLUSTER_BYTES = 128 << 20


class NoPlace(ClientError):
    """There is nowhere to restore it; the message says why."""


@dataclass(frozen=True)
class Where:
    """A server to restore into: what it is called, its major version, and the pg_restore that fits it."""

    server: Postgres
    name: str
    major: int
    find_pg_restore: Callable[[], str]
    private: bool


class Places:
    """Opens places as they are needed and closes them at the end of its `with`. A cluster serves many drills."""

    def __init__(self, clients: Clients, mode: DrillMode, directory: Path | None, *, limit_seconds: float) -> None:
        from jobs.clients.pg_scratch import Place

        self.place: Place = Place.of(clients.base_dir)
        self._clients, self._mode, self._directory, self._limit_seconds = clients, mode, directory, limit_seconds
        self._stack, self._clusters = ExitStack(), dict[int, Where]()
        self._programs: dict[int, Path] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def for_dump(self, source: str, major: int | None, dump_bytes: int = 0) -> Where:
        """Where a dump of `source`, made on a server of that major version, is restored; raise ClientError."""
        if self._mode == "off":
            raise NoPlace("drills are switched off (drill: off)")
        reason = "drill is set to server"
        if self._mode in ("auto", "cluster"):
            programs = self._installed()
            wanted = major if major is not None else max(programs, default=0)
            if wanted in programs:
                self._need_room(dump_bytes)
                return self._cluster(wanted, programs[wanted])
            reason = f"no programs of a PostgreSQL {wanted or ''} server are installed here"
        if self._mode == "cluster":
            raise NoPlace(f"{reason}; install postgresql-{major or 'VERSION'}, or set drill to server")
        return self._server(source, major, reason)

    def scratch(
        self, where: Where, *, extensions: tuple[str, ...], own_role_allowed: bool
    ) -> AbstractContextManager[Scratch]:
        """A scratch database there."""
        from jobs.clients.pg_scratch import scratch_database

        now = self._clients.clock.now()
        return scratch_database(where.server, self.place, now, extensions=extensions, own_role_allowed=own_role_allowed)

    def collect(self, *, dry_run: bool) -> tuple[list[str], list[str]]:
        """Remove what killed runs have left; return its names, and what could not be looked at."""
        from jobs.clients import pg_cluster, pg_scratch
        from jobs.clients.errors import Absent

        names, problems = [], []
        try:
            names += pg_cluster.collect(self.place, self._directory, dry_run=dry_run)
        except OSError as error:
            problems.append(f"private clusters: {error.strerror}")
        for server in self._clients.postgres_servers:
            try:
                left = pg_scratch.collect(server, self.place, self._clients.clock.now(), dry_run=dry_run)
                names += [f"{server.name}/{name}" for name in left]
            except Absent:
                continue
            except ClientError as error:
                problems.append(str(error))
        return names, problems

    def _installed(self) -> dict[int, Path]:
        if self._programs is None:
            from jobs.clients.pg_cluster import installed

            self._programs = installed(self._clients.world.postgres.programs)
        return self._programs

    def _need_room(self, dump_bytes: int) -> None:
        directory = self._directory or Path(tempfile.gettempdir())
        free, needed = shutil.disk_usage(directory).free, dump_bytes * _RESTORED_TO_DUMP + _CLUSTER_BYTES
        if free < needed:
            raise NoPlace(
                f"{directory} has {free >> 20} MiB left, and restoring it may take {needed >> 20} MiB: "
                "set drill_directory to a place with more"
            )

    def _cluster(self, major: int, programs: Path) -> Where:
        if major not in self._clusters:
            from jobs.clients.pg_cluster import private_cluster

            made = private_cluster(programs, self.place, self._directory, limit_seconds=self._limit_seconds)
            server = self._stack.enter_context(made)
            name = f"a private cluster of PostgreSQL {major}"
            self._clusters[major] = Where(server, name, major, lambda: str(programs / "pg_restore"), private=True)
        return self._clusters[major]

    def _server(self, source: str, major: int | None, reason: str) -> Where:
        name = source.partition("/")[0]
        servers = {server.name: server for server in self._clients.postgres_servers}
        server = servers.get(name) or self._clients.postgres
        try:
            with server.session() as session:
                found = session.server_version // 10000
        except ClientError as error:
            raise NoPlace(f"{reason}, and the server cannot be used: {error}") from None
        if major is not None and found < major:
            raise NoPlace(f"it came from PostgreSQL {major}, and {server.where} is {found}")
        return Where(
            server, f"PostgreSQL {found} at {server.where}", found, lambda: find_pg_restore(self._clients, found), False
        )


def find_pg_restore(clients: Clients, major: int | None = None) -> str:
    """The pg_restore of a major version, else of the next newer one, else the newest; raise Absent."""
    from jobs.clients.pg_cluster import installed
    from jobs.clients.pg_programs import find_program

    directories = clients.world.postgres.programs
    wanted = major if major is not None else max(installed(directories), default=1)
    return find_program("pg_restore", wanted, directories).path
