"""What there is to be checked below `backups/`: backups with a manifest, and what older scripts have left.

backups/database/*.dump, *.sql.gz      backups/redis/*.rdb      backups/config/, backups/system/ *.tar.gz
backups/certificates/*.tar.gz          backups/certificates/*.pem          backups/certificates/backup_TIME/
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import StrEnum
from pathlib import Path

from jobs.backups.files import BackupFiles
from jobs.core.backups import Backup, Format, Kind

SYSTEM = "system"
"""A directory of archives that older scripts made, and nothing here does."""
KINDS = (*Kind, SYSTEM)
LIST_NAME = "manifest.json"


class Form(StrEnum):
    """What an item is, and so how it is checked."""

    CUSTOM_DUMP = "custom dump"
    SQL = "plain dump"
    RDB = "Redis snapshot"
    TAR = "archive"
    PEM = "PEM file"
    PAIR = "directory with a certificate and its key"


_FORMS = {Format.CUSTOM_DUMP: Form.CUSTOM_DUMP, Format.SQL: Form.SQL, Format.RDB: Form.RDB, Format.TAR: Form.TAR}


@dataclass(frozen=True)
class Item:
    """One thing to be checked. `name` is its path below `backups/`; `backup` is None where it can have no manifest."""

    path: Path
    name: str
    kind: str
    form: Form
    source: str
    created: datetime
    bytes: int
    backup: Backup | None = None
    has_own_list: bool = False
    """Whether a directory has a list of its files with it (`manifest.json`), as certificate renewal writes it."""

    @property
    def has_manifest(self) -> bool:
        """Whether it is known what it must be."""
        return self.has_own_list or bool(self.backup and self.backup.manifest)


def all_items(files: BackupFiles, zone: tzinfo | None) -> list[Item]:
    """Everything there is to check, newest first of each kind; raise OSError where a directory cannot be read."""
    found = [_item(files, backup) for kind in Kind for backup in files.list(kind, zone)]
    return [*found, *_loose_certificates(files, zone), *_loose_archives(files, zone)]


def _item(files: BackupFiles, backup: Backup) -> Item:
    form = next(form for suffix, form in _FORMS.items() if backup.path.name.endswith(suffix))
    name = str(backup.path.relative_to(files.directory))
    return Item(backup.path, name, backup.kind, form, backup.source, backup.created, backup.bytes, backup)


def _loose_certificates(files: BackupFiles, zone: tzinfo | None) -> Iterator[Item]:
    for path in _entries(files.of(Kind.CERTIFICATES)):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode) and path.name.endswith(".pem"):
            yield _loose(files, path, Kind.CERTIFICATES, Form.PEM, zone)
        elif stat.S_ISDIR(mode) and path.name.startswith("backup_"):
            yield _loose(files, path, Kind.CERTIFICATES, Form.PAIR, zone)


def _loose_archives(files: BackupFiles, zone: tzinfo | None) -> Iterator[Item]:
    for path in _entries(files.directory / SYSTEM):
        if stat.S_ISREG(path.lstat().st_mode) and path.name.endswith(Format.TAR):
            yield _loose(files, path, SYSTEM, Form.TAR, zone)


def _loose(files: BackupFiles, path: Path, kind: str, form: Form, zone: tzinfo | None) -> Item:
    status = path.lstat()
    created = datetime.fromtimestamp(status.st_mtime, zone).astimezone(zone)
    listed = form is Form.PAIR and (path / LIST_NAME).is_file()
    name = str(path.relative_to(files.directory))
    return Item(path, name, kind, form, kind, created, status.st_size, has_own_list=listed)


def _entries(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted((path for path in directory.iterdir() if not path.name.startswith(".")), reverse=True)
