"""What is to be backed up: found anew in each run, by the same code whether it is then done or only told."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.backups.archive import archive_maker
from jobs.backups.database import database_maker
from jobs.backups.redis import redis_maker
from jobs.backups.settings import BackupMaking
from jobs.backups.targets import Target
from jobs.clients.errors import Absent, ClientError
from jobs.core.backups import Format, Kind, database_source, stem
from jobs.core.settings import MAIN_SERVER

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.postgres import Postgres

CONFIG_DIRECTORY, CERTIFICATES_DIRECTORY = "config", "ssl"


@dataclass(frozen=True)
class Unplanned:
    """Something that should be backed up, and of which not even the parts are known: why, and what helps."""

    kind: Kind
    source: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class Plan:
    """What is to be made, in this order, and what cannot be."""

    targets: Sequence[Target]
    unplanned: Sequence[Unplanned]


def make_plan(settings: BackupMaking, clients: Clients, known: Collection[tuple[Kind, str]]) -> Plan:
    """Look for everything that is to be backed up. `known` are kinds and sources of which there are backups."""
    targets: list[Target] = [*_archives(settings, clients)]
    unplanned: list[Unplanned] = []
    for server in clients.postgres_servers:
        before = any(kind is Kind.DATABASE and source.startswith(f"{server.name}/") for kind, source in known)
        _plan(targets, unplanned, Kind.DATABASE, server.name, before, _databases(settings, clients, server))
    if settings.backup_redis:
        before = (Kind.REDIS, str(Kind.REDIS)) in known
        _plan(targets, unplanned, Kind.REDIS, Kind.REDIS, before, _redis(clients))
    return Plan(targets, unplanned)


def _plan(
    targets: list[Target], unplanned: list[Unplanned], kind: Kind, source: str, before: bool, found: Iterator[Target]
) -> None:
    """Add what is found. A server that is neither configured nor there is missed only if it was there before."""
    try:
        targets += list(found)
    except Absent as error:
        if before:
            remedy = f"start it; if it is gone for good, move its backups out of backups/{kind}/"
            unplanned.append(Unplanned(kind, source, f"there are backups of it, and now {error}", remedy))
    except ClientError as error:
        unplanned.append(Unplanned(kind, source, str(error), "see that it runs and lets the exporter in"))


def _databases(settings: BackupMaking, clients: Clients, server: Postgres) -> Iterator[Target]:
    # Those that somebody named are taken as they are: one that is missing must not keep the others from being found.
    names = server.configured_databases or server.databases()
    main = server.parameters().get("dbname", "") if server.configured and server.name == MAIN_SERVER else ""
    for name in names:
        yield Target(
            kind=Kind.DATABASE,
            source=database_source(server.name, name),
            form=settings.dump_format,
            stem=stem(Kind.DATABASE, server.name, name, main),
            make=database_maker(
                clients,
                server,
                name,
                settings.dump_format,
                lock_timeout_seconds=settings.backup_lock_timeout_seconds,
            ),
        )


def _redis(clients: Clients) -> Iterator[Target]:
    where = clients.redis.where  # Absent where nobody configured it and nobody is there
    yield Target(Kind.REDIS, Kind.REDIS, Format.RDB, stem(Kind.REDIS), redis_maker(clients), where)


def _archives(settings: BackupMaking, clients: Clients) -> Iterator[Target]:
    base_dir = clients.base_dir
    config, certificates = base_dir / CONFIG_DIRECTORY, base_dir / CERTIFICATES_DIRECTORY
    in_use = [clients.config_file] if clients.config_file else []
    named = (*in_use, *settings.backup_config_paths)
    paths = [*([config] if config.is_dir() else []), *(Path(os.path.normpath(base_dir / path)) for path in named)]
    if paths:
        yield _archive(settings, base_dir, Kind.CONFIG, paths)
    if certificates.is_dir() and any(certificates.iterdir()):
        yield _archive(settings, base_dir, Kind.CERTIFICATES, [certificates])


def _archive(settings: BackupMaking, base_dir: Path, kind: Kind, paths: Sequence[Path]) -> Target:
    max_bytes = settings.backup_max_archive_mb << 20
    distinct = [path for path in paths if not any(path != other and path.is_relative_to(other) for other in paths)]
    make = archive_maker(base_dir, distinct, max_bytes=max_bytes, source=kind)
    return Target(kind, kind, Format.TAR, stem(kind), make, ", ".join(sorted({str(path) for path in distinct})))
