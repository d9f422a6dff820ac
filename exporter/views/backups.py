"""The backups on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.views.moments import told
from exporter.views.sources import Sources
from jobs.backups.files import BackupFiles
from jobs.core.backups import Backup, Kind
from jobs.core.model import clean_message

if TYPE_CHECKING:
    from exporter.views.shapes import BackupEntry


def backups(sources: Sources) -> list[BackupEntry]:
    """Every backup, newest first; `file` is its path below the base directory. Raise OSError."""
    files = BackupFiles(sources.configuration.settings.base_dir)
    found = [backup for kind in Kind for backup in files.list(kind, sources.now.tzinfo)]
    return [_entry(sources, one) for one in sorted(found, key=lambda one: one.created.timestamp(), reverse=True)]


def _entry(sources: Sources, backup: Backup) -> BackupEntry:
    proof = backup.proof
    return {
        "file": f"backups/{backup.kind}/{clean_message(backup.path.name)}",
        "kind": backup.kind.value,
        "source": backup.source,
        "created": told(sources, backup.created),
        "bytes": backup.bytes,
        "proof": proof.value if proof else None,
        "verified": told(sources, backup.verified.at) if proof and backup.verified else None,
        "problem": clean_message(backup.problem),
    }
