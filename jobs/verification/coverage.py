"""What should have a backup, and whether it has one that is young enough; and how full the backups' disk is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.clients.errors import Absent, ClientError
from jobs.core.backups import Kind, database_source, stem
from jobs.core.settings import MAIN_SERVER
from jobs.verification.items import Item

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.postgres import Postgres


@dataclass(frozen=True)
class Wanted:
    """Something that should have a backup. `stem` is how the names of its backups begin."""

    kind: Kind
    source: str
    stem: str


@dataclass(frozen=True)
class Expected:
    """What should have a backup, and what could not be asked about that."""

    wanted: tuple[Wanted, ...]
    problems: tuple[str, ...]


def expected(clients: Clients) -> Expected:
    """Every database of every server that is there, and Redis where it is configured."""
    wanted: list[Wanted] = []
    problems: list[str] = []
    for server in clients.postgres_servers:
        try:
            wanted += _databases(server)
        except Absent as error:
            if server.configured:
                problems.append(str(error))
        except ClientError as error:
            problems.append(str(error))
    if clients.redis.configured:
        wanted.append(Wanted(Kind.REDIS, str(Kind.REDIS), stem(Kind.REDIS)))
    return Expected(tuple(wanted), tuple(problems))


def _databases(server: Postgres) -> list[Wanted]:
    from jobs.clients.pg_scratch import PREFIX

    main = server.parameters().get("dbname", "") if server.configured and server.name == MAIN_SERVER else ""
    names = [name for name in (server.wanted_databases or server.databases()) if not name.startswith(f"{PREFIX}_")]
    return [
        Wanted(Kind.DATABASE, database_source(server.name, name), stem(Kind.DATABASE, server.name, name, main))
        for name in names
    ]


def newest(wanted: Wanted, items: Sequence[Item]) -> Item | None:
    """The newest backup of something; one without a manifest goes by its name."""
    mine = (item for item in items if item.kind == wanted.kind and _is_of(item, wanted))
    return max(mine, key=lambda item: item.created, default=None)


def _is_of(item: Item, wanted: Wanted) -> bool:
    if item.backup and item.backup.manifest:
        return item.source == wanted.source
    return item.path.name.startswith(f"{wanted.stem}_")


def too_old(items: Sequence[Item], now: datetime, max_age_days: float) -> list[Item]:
    """The newest backup of each source, where that is older than it may be."""
    newest_of: dict[tuple[str, str], Item] = {}
    for item in items:
        key = (item.kind, item.source)
        if key not in newest_of or item.created > newest_of[key].created:
            newest_of[key] = item
    return [item for item in newest_of.values() if item.created < now - timedelta(days=max_age_days)]


def storage_used_ratio(directory: Path) -> float | None:
    """How full the file system of the backups is, as df reckons it; None where there is no such directory."""
    try:
        figures = os.statvfs(directory)
    except FileNotFoundError:
        return None
    used, free = figures.f_blocks - figures.f_bfree, figures.f_bavail
    return used / (used + free) if used + free else 0.0
