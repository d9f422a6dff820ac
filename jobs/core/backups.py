"""What is known of a backup: its manifest, whether it was verified, and which backups may go.

Beside each backup stand `NAME.manifest.json`, written with it, and `NAME.verified.json`, written by whoever has
proven it good. Both name the backup's sha256, so neither speaks for a file that was changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from jobs.core.model import FiniteFloat, Text, Value
from jobs.core.settings import AGENT_NAME, MAIN_SERVER

MANIFEST_SUFFIX = ".manifest.json"
VERIFIED_SUFFIX = ".verified.json"
MAX_MANIFEST_BYTES = 64 << 20
"""A database of a hundred thousand tables has a manifest of about 10 MB."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Kind(StrEnum):
    """What a backup is of; the directory below `backups/` that it stands in."""

    DATABASE = "database"
    REDIS = "redis"
    CONFIG = "config"
    CERTIFICATES = "certificates"


class Format(StrEnum):
    """What a backup's file is; the value is the end of its name."""

    CUSTOM_DUMP = ".dump"
    SQL = ".sql.gz"
    RDB = ".rdb"
    TAR = ".tar.gz"


class Manifest(Value):
    """What a backup must be, written when it was made.

    `source` is what was backed up (`main/sutazai` for a database, `redis`, `config`, `certificates`). The fields from
    `database` on are a database's: `row_counts` by quoted table name, in the very snapshot that was dumped. `members`
    are an archive's files with the sha256 of each; `keys` is the number of keys in a Redis snapshot, where known.
    """

    version: Literal[1] = 1
    kind: Kind
    format: Format
    file: Text
    source: Text
    created: datetime
    bytes: int = Field(ge=0)
    sha256: Sha256
    tool: Text = ""
    server_version: Text = ""
    database: Text = ""
    schema_fingerprint: Sha256 | None = None
    row_counts: Mapping[str, Annotated[int, Field(ge=0)]] = {}
    members: Mapping[str, Sha256] = {}
    keys: Annotated[int, Field(ge=0)] | None = None


class Proof(StrEnum):
    """How far a backup was proven: its file is whole, or it was restored (opened, for what is not a database)."""

    INTEGRITY = "integrity"
    RESTORED = "restored"


class Verified(Value):
    """That a backup was proven good, when, how far, and how long that took."""

    version: Literal[1] = 1
    sha256: Sha256
    at: datetime
    proof: Proof
    seconds: FiniteFloat


@dataclass(frozen=True)
class Backup:
    """A backup that is there. `problem` says why it has no manifest to go by, or none that can be read."""

    path: Path
    kind: Kind
    bytes: int
    modified: datetime
    manifest: Manifest | None
    verified: Verified | None
    problem: str = ""

    @property
    def source(self) -> str:
        """What it is a backup of; of one without a manifest only its kind is known."""
        return self.manifest.source if self.manifest else self.kind

    @property
    def created(self) -> datetime:
        """When it was made, as far as is known."""
        return self.manifest.created if self.manifest else self.modified

    @property
    def proof(self) -> Proof | None:
        """How far this very file was proven good."""
        proven = self.manifest and self.verified and self.verified.sha256 == self.manifest.sha256
        return self.verified.proof if proven and self.verified else None


def database_source(server: str, database: str) -> str:
    """The source of a database's backups: `main/sutazai`. Of a name that cannot be shown, what `stem` makes of it."""
    return f"{server}/{database if database.isprintable() else _slug(database)}"


def stem(kind: Kind, server: str = MAIN_SERVER, database: str = "", main_database: str = "") -> str:
    """How the names of backups of something begin: `sutazai_backup` for the database that `postgres.dsn` names.

    Any other is `DATABASE@SERVER_backup`, its name made fit for a file. No two databases share one.
    """
    if kind is not Kind.DATABASE:
        return f"{kind}_backup"
    if (server, database) == (MAIN_SERVER, main_database):
        return "sutazai_backup"
    return f"{_slug(database)}@{server}_backup"


def _slug(name: str) -> str:
    if AGENT_NAME.fullmatch(name) and len(name) <= 64:
        return name
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', name)[:40]}+{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def outdated(backups: Sequence[Backup], now: datetime, retention_days: float) -> list[Backup]:
    """The backups that are older than their time and can be spared, oldest first.

    Of each source stay: the newest, and the newest that was proven by restoring it (where none was, the newest whose
    file was proven whole).
    """
    kept: set[Path] = set()
    by_source: dict[tuple[Kind, str], list[Backup]] = {}
    for backup in sorted(backups, key=lambda backup: backup.created, reverse=True):
        by_source.setdefault((backup.kind, backup.source), []).append(backup)
    for newest_first in by_source.values():
        restored = [backup for backup in newest_first if backup.proof is Proof.RESTORED]
        proven = restored or [backup for backup in newest_first if backup.proof]
        kept |= {backup.path for backup in (*newest_first[:1], *proven[:1])}
    oldest = now - timedelta(days=retention_days)
    spare = [backup for backup in backups if backup.created < oldest and backup.path not in kept]
    return sorted(spare, key=lambda backup: backup.created)
