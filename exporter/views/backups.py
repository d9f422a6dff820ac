"""The backups on the disk."""

from __future__ import annotations

from exporter.views.shapes import BackupEntry
from exporter.views.sources import Sources


def backups(sources: Sources) -> list[BackupEntry]:
    """Every backup, newest first."""
    raise NotImplementedError
